"""What a token costs, by grant: at the core of the token service, and as a client sees it over TLS.

    python -m benchmarks.sts

The core is what answers a parsed request: one read, the decision, and one durable commit where something is kept (a
JWT is not). Over TLS it is a process of its own, asked over one connection that is kept. The last lines are bursts of
equal requests at the gateway, one with a token that it has not seen, whose first caller hangs up, and one with a token
that it knows. They tell how many exchanges there were, what was answered, and what a request cost each process in CPU,
which other work on the machine changes little.
"""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import click
import msgspec
import trio
from rich.console import Console
from rich.table import Table

from benchmarks.subjects import cpu_seconds
from ordermgmt.sts.operations import TokenService
from ordermgmt.sts.registration import system_clients
from ordermgmt.sts.token_request import TokenRequest
from ordermgmt.telemetry.secrets import Secret
from tests.browser import Browser
from tests.system.processes import PATIENCE, SuiteProcess, suite
from tests.system.test_two_token_services import (
    GRANTS,
    ISSUER,
    Pair,
    log_in,
    open_clients,
    redemption,
)
from tests.system.visiting import CALLBACK
from tests.unit import authorization_setup as core_setup
from tests.unit.sts_setup import ACCESS_TOKEN, DOMAIN, RULES, TOKEN_EXCHANGE

BURST = 500
WARM_UP = 10
PROCESSES = ("gateway", "order", "sts")
Post = Callable[[Mapping[str, str]], Awaitable[str]]
"""Asks for a token and returns what the next request needs of the answer."""
Costs = dict[str, list[float]]
"""Microseconds of each request, by grant."""


class Burst(NamedTuple):
    """How often there was each answer: its status, and the code of what went wrong. What it took, in seconds."""

    answers: Counter[str]
    seconds: float
    exchanges: int
    """Requests of the gateway to the token service."""
    cpu: Mapping[str, float]
    """Seconds of CPU, by service."""


class Void(Exception):
    """The run measured something else than tokens."""


@click.command(context_settings={"show_default": True})
@click.option("--count", default=300, help="Requests of each grant.")
def main(*, count: int) -> None:
    """Measure what each grant costs."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        _say("at the core")
        core = trio.run(_at_the_core, Path(name), count)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        _say("over TLS")
        over_tls, bursts = _over_tls(Path(name), count)
    table = Table("grant", "core us", "over TLS us", "over TLS p99 us", box=None)
    for grant, costs in over_tls.items():
        p99 = sorted(costs)[int(len(costs) * 0.99)]
        table.add_row(grant, *(f"{figure:.0f}" for figure in (_p50(core[grant]), _p50(costs), p99)))
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for burst, token in zip(bursts, ("new to it", "it knows"), strict=True):
        console.print(f"a burst of {BURST} at the gateway with a token {token}: {_described(burst)}")
    console.print(f"medians of {count}; load {load:.1f} when it began")


def _p50(costs: list[float]) -> float:
    return statistics.median(costs)


def _described(burst: Burst) -> str:
    answers = ", ".join(f"{count} times {answer}" for answer, count in burst.answers.most_common())
    cpu = ", ".join(f"{name} {seconds / BURST * 1e3:.1f} ms" for name, seconds in burst.cpu.items())
    return f"{answers} within {burst.seconds:.2f} s; exchanges: {burst.exchanges}; CPU of a request: {cpu}"


async def _at_the_core(folder: Path, count: int) -> Costs:
    async with core_setup.open_authorization(folder) as browser:
        system = system_clients(DOMAIN)
        service = TokenService(browser.sts.database, browser.sts.mint, RULES, system, browser.sts.clock)
        secret = "secret-of-web"  # noqa: S105 - of the tests

        async def post(form: Mapping[str, str]) -> str:
            response = await service.issue_token(TokenRequest("web", form, secret=Secret(secret)))
            return str(response.refresh_token or response.access_token)

        async def exchange(form: Mapping[str, str]) -> str:
            uri = f"spiffe://{DOMAIN}/gateway"
            asked = TokenRequest("gateway", form, audiences=["order"], certificate_uri=uri, thumbprint="thumb")
            return str((await service.issue_token(asked)).access_token)

        async def codes() -> AsyncIterator[dict[str, str]]:
            while True:
                yield core_setup.redemption(await browser.code())

        return await _grants(count, codes(), post, exchange)


async def _grants(count: int, codes: AsyncIterator[dict[str, str]], post: Post, exchange: Post) -> Costs:
    """Measure all grants, one after the other."""
    costs: Costs = {"client_credentials": [], "authorization_code": [], "refresh_token": [], "token exchange": []}

    async def timed(grant: str, number: int, ask: Post, form: Mapping[str, str]) -> str:
        began = time.perf_counter()
        answer = await ask(form)
        if number >= WARM_UP:
            costs[grant].append((time.perf_counter() - began) * 1e6)
        return answer

    opaque = refresh = ""
    for number in range(WARM_UP + count):
        opaque = await timed("client_credentials", number, post, {"grant_type": "client_credentials"})
        refresh = await timed("authorization_code", number, post, await anext(codes))
    for number in range(WARM_UP + count):
        form = {"grant_type": "refresh_token", "refresh_token": refresh}
        refresh = await timed("refresh_token", number, post, form)
        subject = {"grant_type": TOKEN_EXCHANGE, "subject_token": opaque, "subject_token_type": ACCESS_TOKEN}
        await timed("token exchange", number, exchange, subject)
    return costs


def _over_tls(folder: Path, count: int) -> tuple[Costs, list[Burst]]:
    with suite(folder, "--processes", changes={"ORDERMGMT_STS_PUBLIC_URL": ISSUER}) as running:
        grants = [option for grant in GRANTS for option in ("--grant", grant)]
        scopes = ("--scope", "openid", "--scope", "add_order")
        added = running.command(
            "clients", "add", "shop", *grants, *scopes, "--redirect-uri", CALLBACK, "--target", "order"
        )
        password = running.command("users", "add", "carol", "--scope", "add_order", "--generate").strip()
        pair = Pair((running, running), folder / "certs", added.strip().rpartition("\n")[2], password)
        measured = trio.run(_ask, pair, count)
        running.stop()
    return measured


async def _ask(pair: Pair, count: int) -> tuple[Costs, list[Burst]]:
    basic = base64.b64encode(f"shop:{pair.secret}".encode()).decode()
    plain = _connection(pair, "sts")
    mutual = _connection(pair, "sts_mtls", "gateway")

    async def post(form: Mapping[str, str]) -> str:
        answer = _send(plain, form, {"authorization": f"Basic {basic}"})
        return str(answer.get("refresh_token") or answer["access_token"])

    async def exchange(form: Mapping[str, str]) -> str:
        return str(_send(mutual, {**form, "client_id": "gateway", "audience": "order"}, {})["access_token"])

    async with open_clients(pair) as clients:
        opened = await log_in(clients)
        costs = await _grants(count, _codes(opened), post, exchange)
    token = await post({"grant_type": "client_credentials"})
    return costs, [await _burst(pair, token), await _burst(pair, token)]


async def _codes(opened: Browser) -> AsyncIterator[dict[str, str]]:
    while True:
        yield await redemption(opened)


def _tls(pair: Pair, identity: str = "") -> ssl.SSLContext:
    tls = ssl.create_default_context(cafile=pair.certs / "ca.pem")
    if identity:
        tls.load_cert_chain(pair.certs / f"{identity}.pem", pair.certs / f"{identity}.key")
    return tls


def _connection(pair: Pair, listener: str, identity: str = "") -> http.client.HTTPSConnection:
    tls = _tls(pair, identity)
    return http.client.HTTPSConnection("localhost", pair.both[0].ports[listener], context=tls, timeout=PATIENCE)


def _send(
    connection: http.client.HTTPSConnection, form: Mapping[str, str], headers: Mapping[str, str]
) -> dict[str, object]:
    content_type = {"content-type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/oauth2/token", urlencode(form), {**content_type, **headers})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise Void(content.decode())
    return dict(msgspec.json.decode(content))


async def _burst(pair: Pair, token: str) -> Burst:
    """Send `BURST` equal requests at once, over open connections, after one whose caller hangs up."""
    answers: Counter[str] = Counter()
    running = pair.both[0]
    tls = _tls(pair)
    streams = [await _open(running.ports["gateway"], tls) for _ in range(BURST + 1)]
    request = f"GET /order HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n".encode()

    async def ask(stream: trio.SSLStream[trio.SocketStream]) -> None:
        await stream.send_all(request)
        answers[_answer(bytes(await stream.receive_some(65536)))] += 1

    exchanges = _exchanges(running)
    before, began = {name: cpu_seconds([running.pids[name]]) for name in PROCESSES}, time.perf_counter()
    first = streams.pop()
    await first.send_all(request)
    await trio.aclose_forcefully(first)
    async with trio.open_nursery() as nursery:
        for stream in streams:
            nursery.start_soon(ask, stream)
    seconds = time.perf_counter() - began
    cpu = {name: cpu_seconds([running.pids[name]]) - before[name] for name in PROCESSES}
    for stream in streams:
        await trio.aclose_forcefully(stream)
    return Burst(answers, seconds, _exchanges(running) - exchanges, cpu)


def _answer(received: bytes) -> str:
    """Return the status of an answer, and of a problem its code."""
    head, _, body = received.decode().partition("\r\n\r\n")
    status = head[9:12]
    return f"{status} {body.partition('urn:')[2].partition(chr(34))[0].rpartition(':')[2]}".strip()


def _exchanges(running: SuiteProcess) -> int:
    """Return how many exchanges the gateway has asked for."""
    _, text = running.curl(f"http://127.0.0.1:{running.ports['admin']}/metrics")
    wanted = ("ordermgmt_call_seconds_count{", 'service="gateway"', 'what="exchange"')
    return sum(int(float(line.split()[-1])) for line in text.splitlines() if all(part in line for part in wanted))


async def _open(port: int, tls: ssl.SSLContext) -> trio.SSLStream[trio.SocketStream]:
    plain = await trio.open_tcp_stream("127.0.0.1", port)
    stream = trio.SSLStream(plain, tls, server_hostname="localhost", https_compatible=True)
    await stream.do_handshake()
    return stream


def _say(line: str) -> None:
    sys.stderr.write(f"measuring {line}\n")


if __name__ == "__main__":
    main()
