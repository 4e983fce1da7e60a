"""What is measured once beside the rounds: starts, memory, workers, the size of the database, tokens, handshakes."""

from __future__ import annotations

import base64
import random
import ssl
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from benchmarks.rounds import Cell, run_round, run_wrk
from benchmarks.subjects import Ours, Subject, cpu_seconds, running_suite
from benchmarks.tokens import measure
from ordermgmt.clock import SystemClock
from ordermgmt.net import Address, TcpNetwork
from ordermgmt.net.outbound import open_suite_client
from ordermgmt.net.tls_stream import TlsStream
from ordermgmt.security.tls import client_tls, load_credential
from ordermgmt.sts.client import StsClient
from tests.system.processes import suite

__all__ = ["Figure", "exchanges", "handshakes", "sizes", "starts", "tokens", "workers"]

Figure = tuple[str, str]
"""What it is, and what it came to."""
IDLE = 5000
FEW, MANY = 1000, 1_000_000
TURNS = 4
READY = b"GET /order/none HTTP/1.1\r\nHost: localhost\r\n\r\n"


def starts(folder: Path) -> Iterator[Figure]:
    """Measure the suite in one process: both starts, its memory at rest and with idle connections, the drain."""
    began = time.monotonic()
    with suite(folder) as running:
        first = time.monotonic() - began
        running.stop()
    yield "first start, which makes certificates and databases", f"{first:.2f} s"
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        with suite(folder) as running:
            seconds.append(time.monotonic() - began)
            running.stop()
    yield "second start, from exec to ready", f"{statistics.median(seconds):.2f} s"
    with suite(folder) as running:
        pid = running.process.pid
        rest = resident(pid)
        yield "the suite at rest, resident", f"{rest / 1e6:.0f} MB"
        held, grown = trio.run(_hold_idle, running.folder, running.ports["order"], pid)
        yield f"an idle TLS connection, of {held}", f"{grown / held / 1e3:.1f} kB"
    with suite(folder) as running:
        began = time.monotonic()
        running.stop()
        yield "drain at rest", f"{time.monotonic() - began:.2f} s"


def sizes(folder: Path) -> Iterator[Figure]:
    """Compare reads among a few orders and among many, in turns, with a suite for each."""
    with _filled(folder / "few", FEW) as few, _filled(folder / "many", MANY) as many:
        for name, run in (("get of an order", _get), ("page of a list, by cursor", _page)):
            ratios, costs = [], []
            for turn in range(TURNS):
                one, other = run(few, FEW, folder, 2 * turn), run(many, MANY, folder, 2 * turn + 1)
                ratios.append(other / one)
                costs.append(other)
            of = f"{name} among {MANY:,}, in CPU, to the same among {FEW:,}"
            yield of, f"{statistics.median(ratios):.2f} ({statistics.median(costs):.3f} ms)"


def workers(folder: Path) -> Iterator[Figure]:
    """Compare creates by two workers of each service with those by one, in turns, with a suite for each."""
    for name in ("one", "two"):
        (folder / name).mkdir()
    with (
        running_suite(folder / "one", "--workers", "1") as (one, _),
        running_suite(folder / "two", "--workers", "2") as (two, _),
    ):
        for connections in (32, 128):
            cell, costs, ratios, rates = Cell("create", connections), [], [], []
            for turn in range(TURNS + 1):
                number = 2000 + 10 * connections + 2 * turn
                alone, both = (run_round(ours, cell, 2, number + n, folder) for n, ours in enumerate((one, two)))
                if turn:  # the first is to warm up
                    costs.append(both.cpu)
                    ratios.append(both.cpu / alone.cpu)
                    rates.append(both.per_second / alone.per_second)
            of = f"create over {connections} connections with `--workers 2`, to one process for each service"
            yield f"CPU of a {of}", f"{statistics.median(ratios):.2f} ({statistics.median(costs):.2f} ms)"
            yield f"requests per second, {of}", f"{statistics.median(rates):.2f}"


def tokens() -> Iterator[Figure]:
    """Measure verification on one core."""
    for algorithm in ("ES256", "RS256"):
        cost = measure(algorithm)
        yield f"tokens verified per second, {algorithm}, new", f"{1e6 / cost.miss:,.0f}"
        yield f"tokens verified per second, {algorithm}, known", f"{1e6 / cost.hit:,.0f}"


def exchanges(ours: Ours) -> Iterator[Figure]:
    """Exchange an opaque token, as the gateway does."""
    seconds, cpu, count = trio.run(_exchange, ours)
    yield "token exchanges per second (8 at once)", f"{count / seconds:.0f}"
    yield "CPU of the STS per exchange", f"{cpu / count * 1e3:.2f} ms"


def handshakes(subject: Subject, ca_file: Path) -> Iterator[Figure]:
    """Connect and hang up."""
    count = 320
    port = int(subject.url.rpartition(":")[2])
    before, began = cpu_seconds(subject.roots), time.monotonic()
    trio.run(_connect_many, ca_file, port, count)
    elapsed, cpu = time.monotonic() - began, cpu_seconds(subject.roots) - before
    yield f"TLS handshakes per second, {subject.name}", f"{count / elapsed:.0f} ({cpu / count * 1e3:.2f} ms CPU)"


def resident(pid: int) -> int:
    """Return the bytes of a process that are in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    msg = f"process {pid} is gone"
    raise RuntimeError(msg)


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


async def _hold_idle(folder: Path, port: int, pid: int) -> tuple[int, int]:
    """Open connections and ask something once on each; return how many stay, and how much memory they take."""
    context = ssl.create_default_context(cafile=folder / "certs" / "ca.pem")
    limiter = trio.CapacityLimiter(16)
    streams: list[TlsStream] = []

    async def hold() -> None:
        async with limiter:
            stream = TlsStream(await trio.open_tcp_stream("127.0.0.1", port), context, server_hostname="localhost")
            await stream.do_handshake()
            await stream.send_all(READY)
            await stream.receive_some()
            streams.append(stream)

    before, files = resident(pid), _descriptors(pid)
    async with trio.open_nursery() as nursery:
        for _ in range(IDLE):
            nursery.start_soon(hold)
    held, grown = _descriptors(pid) - files, resident(pid) - before
    for stream in streams:
        await trio.aclose_forcefully(stream.transport_stream)
    return held, grown


@contextmanager
def _filled(folder: Path, count: int) -> Iterator[Ours]:
    folder.mkdir()
    with running_suite(folder, "--processes") as (direct, _):
        direct.seed("s", count)
        yield direct


def _get(ours: Ours, count: int, folder: Path, turn: int) -> float:
    return run_round(ours, Cell("get", 8), 2, 1000 + turn, folder, seeded=count).cpu


def _page(ours: Ours, count: int, folder: Path, turn: int) -> float:
    token, cursors = folder / f"token-{turn}", folder / f"cursors-{turn}"
    token.touch(mode=0o600)
    token.write_text(ours.token())
    shuffled = random.Random(turn)  # noqa: S311 - a load, the same in each run
    places = [shuffled.randrange(count // 10, count).to_bytes(8, "big") for _ in range(500)]
    cursors.write_text("".join(base64.urlsafe_b64encode(place).decode().rstrip("=") + "\n" for place in places))
    before = cpu_seconds(ours.roots)
    seen = run_wrk(ours.url, "lists.lua", 8, 2, {"BENCH_TOKEN": str(token), "BENCH_CURSORS": str(cursors)})
    return (cpu_seconds(ours.roots) - before) / int(seen["requests"]) * 1000


async def _exchange(ours: Ours) -> tuple[float, float, int]:
    running, count = ours.suite, 400
    credential = load_credential(running.folder / "certs", "gateway", "ordermgmt.local")
    tls = client_tls(credential, expected="sts", clock=SystemClock())
    subject = Ours(running, ours.secret, "gateway").token()
    async with open_suite_client(TcpNetwork(), [Address("localhost", running.ports["sts_mtls"])], tls=tls) as http:
        sts = StsClient(http, "gateway")

        async def some(times: int) -> None:
            for _ in range(times):
                await sts.exchange(subject, "order")

        await _at_once(some, 8, 2)
        roots = [running.pids["sts"]]
        before, began = cpu_seconds(roots), time.monotonic()
        await _at_once(some, 8, count // 8)
        return time.monotonic() - began, cpu_seconds(roots) - before, count


async def _connect_many(ca_file: Path, port: int, count: int) -> None:
    context = ssl.create_default_context(cafile=ca_file)

    async def some(times: int) -> None:
        for _ in range(times):
            stream = TlsStream(await trio.open_tcp_stream("127.0.0.1", port), context, server_hostname="localhost")
            await stream.do_handshake()
            await stream.aclose()

    await _at_once(some, 8, count // 8)


async def _at_once(some: Callable[[int], Awaitable[None]], tasks: int, times: int) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(some, times)
