"""From the answer of /oauth2/revoke to the last use of what came of the token: real processes, sockets and time."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

from tests.system.processes import SuiteProcess, suite, wait_until
from tests.system.relay import Relay, relay

T_STREAM, T_CUT = 2.0, 60.0
FORM = {"content-type": "application/x-www-form-urlencoded"}
PAUSE = 0.01
let_pass = threading.Event().wait
"""Lets time pass: what is measured is time, while others use their tokens."""
EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "client_id": "gateway",
    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "audience": "order",
}


class Use(NamedTuple):
    """A request of whoever has a token, or a session's cookie."""

    service: str
    path: str
    header: tuple[str, str]


def bearer(service: str, token: str) -> Use:
    return Use(service, "/order", ("authorization", f"Bearer {token}"))


class World:
    """A running suite whose mTLS listener of the token service is reached through a relay."""

    def __init__(self, running: SuiteProcess, between: Relay) -> None:
        self.running = running
        self.between = between
        self._context = ssl.create_default_context(cafile=running.folder / "certs" / "ca.pem")

    def connect(self, service: str) -> http.client.HTTPSConnection:
        context = self._context
        if service == "sts_mtls":
            certs = self.running.folder / "certs"
            context = ssl.create_default_context(cafile=certs / "ca.pem")
            context.load_cert_chain(certs / "gateway.pem", certs / "gateway.key")
        return http.client.HTTPSConnection("localhost", self.running.ports[service], context=context, timeout=30)

    def post(self, service: str, path: str, form: dict[str, str], client: str = "") -> bytes:
        headers = dict(FORM)
        if client:
            headers["authorization"] = "Basic " + b64encode(f"{client}:{self.secret(client)}".encode()).decode()
        connection = self.connect(service)
        connection.request("POST", path, urlencode(form), headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == 200, body
        return body

    def secret(self, client: str) -> str:
        for line in (self.running.folder / "var" / "demo-credentials").read_text().splitlines():
            kind, name, secret = line.split(" ")
            if (kind, name) == ("client", client):
                return secret
        raise KeyError(client)

    def token(self) -> str:
        form = {"grant_type": "client_credentials"}
        return str(json.loads(self.post("sts", "/oauth2/token", form, "alice-app"))["access_token"])

    def exchange(self, token: str) -> str:
        body = self.post("sts_mtls", "/oauth2/token", EXCHANGE | {"subject_token": token})
        return str(json.loads(body)["access_token"])

    def revoke(self, token: str) -> None:
        self.post("sts", "/oauth2/revoke", {"token": token}, "alice-app")

    def disable(self, _: str) -> None:
        self.running.command("clients", "disable", "alice-app")


def go_on(world: World, use: Use, stop: threading.Event, seen: list[tuple[float, int]]) -> None:
    connection = world.connect(use.service)
    while not stop.is_set():
        connection.request("GET", use.path, headers=dict([use.header]))
        answer = connection.getresponse()
        answer.read()
        seen.append((time.monotonic(), answer.status))
        if answer.will_close:
            connection.close()
        stop.wait(PAUSE)
    connection.close()


@contextmanager
def used(world: World, uses: dict[str, Use]) -> Iterator[dict[str, list[tuple[float, int]]]]:
    """Do all of these, all the time; give what is seen, by the name of each."""
    stop = threading.Event()
    seen: dict[str, list[tuple[float, int]]] = {name: [] for name in uses}
    threads = [threading.Thread(target=go_on, args=(world, use, stop, seen[name])) for name, use in uses.items()]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def last_uses(world: World, uses: dict[str, Use], end: Callable[[], object], seconds: float) -> dict[str, float]:
    """Return for how many seconds after `end` each was accepted; wait so many until it is not."""
    with used(world, uses) as seen:
        wait_until(lambda: all(done and done[-1][1] == 200 for done in seen.values()), "a first use")
        end()
        ended_at = time.monotonic()
        while any(done[-1][1] == 200 for done in seen.values()):
            assert time.monotonic() < ended_at + seconds, "still accepted"
            let_pass(PAUSE)
        let_pass(0.3)
    return {name: max(at for at, status in done if status == 200) - ended_at for name, done in seen.items()}


def uses_of(world: World, token: str) -> dict[str, Use]:
    return {"gateway": bearer("gateway", token), "order": bearer("order", world.exchange(token))}


@contextmanager
def opened(folder: Path, *arguments: str) -> Iterator[World]:
    with relay() as between:
        changes = {"ORDERMGMT_SUITE_STS_MTLS": f"127.0.0.1:{between.port}"}
        with suite(folder, *arguments, changes=changes) as running:
            between.target = running.ports["sts_mtls"]
            world = World(running, between)
            wait_until(lambda: age(running) < 2.5, "streams")
            yield world
            between.close()
            assert running.stop() == 0


def age(running: SuiteProcess) -> float:
    """How old the news of the service is that has heard of them longest ago."""
    address = f"http://127.0.0.1:{running.ports['admin']}/metrics"
    _, text = running.curl(address)
    ages = [float(line.split()[1]) for line in text.splitlines() if line.startswith("ordermgmt_revocations_age")]
    assert len(ages) == 2
    heard = [line for line in running.log.splitlines() if "revocations-followed" in line]
    return max(ages) if len(heard) >= 2 else 1000.0


def in_flight(world: World) -> dict[str, float]:
    """Revoke a token whose exchange is decided and not answered; use it all the time."""
    token = world.token()
    world.between.delay = 0.7
    with used(world, {"gateway": bearer("gateway", token)}) as seen:
        let_pass(0.3)
        started_at = time.monotonic()
        world.revoke(token)
        ended_at = time.monotonic()
        let_pass(0.5)
        world.between.delay = 0.0
        let_pass(T_STREAM)
    assert seen["gateway"][-1][1] == 401
    accepted = [at for at, status in seen["gateway"] if status == 200]
    assert accepted, "never accepted"
    assert max(accepted) > started_at, "no use while it was revoked"
    return {"in flight": max(accepted) - ended_at}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("--processes",)], ids=["one process", "processes"])
def test_with_the_stream_what_is_revoked_is_over_within_two_seconds(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(tmp_path, *arguments) as world:
        found: dict[str, float] = {}
        for how, end in (("revoke", world.revoke), ("clients disable", world.disable)):
            if how == "clients disable":
                found |= in_flight(world)
            token = world.token()
            for service, seconds in last_uses(world, uses_of(world, token), partial(end, token), 10).items():
                found[f"{how}, {service}"] = seconds
    with capsys.disabled():
        shown = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found.items())
        print(f"\nlast use, stream up, {arguments or 'one process'}: {shown}")  # noqa: T201
    assert max(found.values()) <= T_STREAM


@pytest.mark.slow
def test_without_the_stream_it_is_over_within_a_minute(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(tmp_path) as world:
        token = world.token()
        uses = uses_of(world, token)

        def silence_and_revoke() -> None:
            world.between.silence()
            world.revoke(token)

        found = last_uses(world, uses, silence_and_revoke, 70)
    with capsys.disabled():
        print(f"\nlast use, stream silent: {found}")  # noqa: T201
    assert max(found.values()) <= T_CUT
