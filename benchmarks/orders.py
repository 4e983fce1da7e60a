"""What an order costs, from the client's TLS connection to the stock and back, with a process for each service.

    python -m benchmarks.orders

Clients of one more process create orders at the order service as fast as they are answered, each over a connection of
its own. Commits and hops are the services' own counts, read from /metrics around each round. An answer other than 201
voids everything.
"""

from __future__ import annotations

import math
import os
import re
import ssl
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import httpx
import trio
from rich.console import Console
from rich.table import Table

from benchmarks.orders_report import Level, Round, write_report
from ordermgmt.config import SuiteConfig
from tests import postgres_setup
from tests.crash.registration import Secret, register
from tests.system.processes import SuiteProcess, run_module, suite

CLIENTS = (1, 8, 32, 128)
ITEM = ("books", "978-1484220498")
BODY = b'{"name": "Benchmark", "items": [{"category": "books", "code": "978-1484220498", "qty": 1}]}'
COUNTERS = {
    "order_commits": 'ordermgmt_storage_commits_total{service="order"}',
    "inventory_commits": 'ordermgmt_storage_commits_total{service="inventory"}',
    "hops": 'ordermgmt_inventory_hops_total{service="order"}',
}
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Void(Exception):
    """The run measured something else than orders."""


@click.command(context_settings={"show_default": True})
@click.option("--rounds", default=5, help="Rounds of each number of clients; they take turns.")
@click.option("--seconds", default=4.0, help="Length of a round.")
@click.option("--warm-up", default=2.0, help="Seconds before the first round of each number of clients.")
@click.option("--database", "databases", multiple=True, default=("sqlite", "postgres"))
@click.option("--docs", type=click.Path(path_type=Path), default=Path("docs"), help="Folder of the report.")
def main(*, rounds: int, seconds: float, warm_up: float, databases: Sequence[str], docs: Path) -> None:
    """Measure orders per second, and what each costs, on SQLite and on PostgreSQL; write the report."""
    load = os.getloadavg()[0]
    found: dict[str, list[Level]] = {}
    for name in databases:
        with _running(name) as (running, secret):
            levels = trio.run(_measure, running, secret, rounds, seconds, warm_up)
        found[name] = levels
        _show(name, levels)
    for path in write_report(docs, found, rounds=rounds, seconds=seconds, load=load):
        sys.stderr.write(f"written: {path}\n")


@contextmanager
def _running(database: str) -> Iterator[tuple[SuiteProcess, Secret]]:
    """Start the suite with a client of ours and enough goods."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, _dsn(database) as dsn:
        folder = Path(name)
        changes = {"ORDERMGMT_STS_EXCHANGED_TOKEN_LIFETIME": "3600"}
        if dsn:
            changes["ORDERMGMT_SUITE_DATABASE"] = dsn
        secret = trio.run(register, SuiteConfig(database=dsn), folder / "var", "benchmark")
        stocked = run_module(folder, "inventory", "restock", *ITEM, "1000000000", changes=changes)
        if stocked.returncode:
            raise Void(stocked.stderr)
        with suite(folder, "--processes", changes=changes) as running:
            yield running, secret
            running.stop()


@contextmanager
def _dsn(database: str) -> Iterator[str]:
    if database == "sqlite":
        yield ""
        return
    with postgres_setup.server() as server, postgres_setup.database(server) as dsn:
        yield dsn


async def _measure(running: SuiteProcess, secret: Secret, rounds: int, seconds: float, warm_up: float) -> list[Level]:
    """Warm up, then let all numbers of clients take turns, so that what else the machine does meets all of them."""
    tls = ssl.create_default_context(cafile=running.folder / "certs" / "ca.pem")
    request = _request(await _token(running, secret, tls))
    levels = [Level(clients) for clients in CLIENTS]
    for number in range(rounds + 1):
        for level in levels:
            sys.stderr.write(f"{f'round {number} of {rounds}' if number else 'warm-up'}: {level.clients} clients\n")
            measured = await _round(running, tls, request, level.clients, seconds if number else warm_up)
            if number:
                level.rounds.append(measured)
    return levels


async def _token(running: SuiteProcess, secret: Secret, tls: ssl.SSLContext) -> str:
    async with httpx.AsyncClient(verify=tls, trust_env=False) as http:
        answer = await http.post(
            running.url("sts", "/oauth2/token"),
            data={"grant_type": "client_credentials", "resource": running.url("order")},
            auth=(secret.client_id, secret.secret),
        )
    return str(answer.raise_for_status().json()["access_token"])


def _request(token: str) -> bytes:
    head = f"POST /order HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY


async def _round(running: SuiteProcess, tls: ssl.SSLContext, request: bytes, clients: int, seconds: float) -> Round:
    latencies: list[float] = []
    connections = [await _connect(running.ports["order"], tls) for _ in range(clients)]
    before, cpu = _counters(running), time.process_time()
    began = time.monotonic()
    async with trio.open_nursery() as nursery:
        for connection in connections:
            nursery.start_soon(_client, connection, request, began + seconds, latencies)
    elapsed = time.monotonic() - began
    after, cpu = _counters(running), time.process_time() - cpu
    for connection in connections:
        await trio.aclose_forcefully(connection)
    orders = len(latencies)
    latencies.sort()
    spent = {name: (after[name] - before[name]) / orders for name in COUNTERS}
    return Round(
        per_second=orders / elapsed,
        p50=statistics.median(latencies) * 1000,
        p99=latencies[math.ceil(orders * 0.99) - 1] * 1000,
        client_cpu=cpu / elapsed,
        **spent,
    )


async def _connect(port: int, tls: ssl.SSLContext) -> trio.SSLStream[trio.SocketStream]:
    stream = trio.SSLStream(
        await trio.open_tcp_stream("127.0.0.1", port), tls, server_hostname="localhost", https_compatible=True
    )
    await stream.do_handshake()
    return stream


async def _client(
    stream: trio.SSLStream[trio.SocketStream], request: bytes, end: float, latencies: list[float]
) -> None:
    """Send the request again and again until `end`. Raises Void for any answer but 201."""
    while (began := time.monotonic()) < end:
        await stream.send_all(request)
        answer = b""
        while (head := answer.find(b"\r\n\r\n")) < 0:
            answer += await _some(stream)
        length = LENGTH.search(answer[: head + 2])
        while length is not None and len(answer) < head + 4 + int(length[1]):
            answer += await _some(stream)
        if length is None or not answer.startswith(b"HTTP/1.1 201 "):
            raise Void(answer.decode(errors="replace"))
        latencies.append(time.monotonic() - began)


async def _some(stream: trio.SSLStream[trio.SocketStream]) -> bytes:
    received = await stream.receive_some(65536)
    if not received:
        msg = "the order service closed a connection"
        raise Void(msg)
    return bytes(received)


def _counters(running: SuiteProcess) -> dict[str, float]:
    """Read the services' own counts; between rounds, so that blocking delays nobody."""
    with urllib.request.urlopen(f"http://127.0.0.1:{running.ports['admin']}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(figures[metric]) for name, metric in COUNTERS.items()}


def _show(database: str, levels: Sequence[Level]) -> None:
    table = Table(title=database, box=None, min_width=110)
    for column in Level.COLUMNS:
        table.add_column(column, justify="right")
    for level in levels:
        table.add_row(*level.row())
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main()
