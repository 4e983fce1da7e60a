"""What a request costs, as a number that no other work of the machine changes: function calls of the interpreter.

    python -m benchmarks.calls

The whole suite runs in one loop, over the memory network and under virtual time; some clients send the same request
again and again over TLS connections that stay open, and every call of a Python or C function is counted, the clients'
own few included. Two runs differ by a percent, for Trio shuffles who runs first.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import trio
from trio.testing import MockClock

from ordermgmt.inventory.contract import Goods
from ordermgmt.inventory.domain import Key
from ordermgmt.inventory.main import open_inventory
from ordermgmt.net.tls_stream import TlsStream
from ordermgmt.security.tls import PublicTls
from ordermgmt.telemetry.logs import configure_logs
from ordermgmt.testing.harness import RunningSystem, running_system

__all__ = ["WORKS", "calls_per_request", "connect", "converse", "requests_of", "stock_up"]

WORKS = ("create", "get", "update", "gateway create", "gateway get")
ITEMS = '"items": [{"category": "electronics", "code": "SOWH1000XM4", "qty": %d}]'
WARM_UP = 8
"""Requests of each client before the count begins: connections are opened, tokens fetched."""
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)

Request = Callable[[], tuple[bytes, bytes]]


def calls_per_request(work: str, *, clients: int, requests: int, where: Counter[str] | None = None) -> float:
    """Return the function calls for one request, of `requests` by each client. `where` counts them by function."""
    with tempfile.TemporaryDirectory() as folder:
        return trio.run(_measure, Path(folder), work, clients, requests, where, clock=MockClock(autojump_threshold=0))


async def _measure(folder: Path, work: str, clients: int, requests: int, where: Counter[str] | None) -> float:
    service = "gateway" if work.startswith("gateway") else "order"
    async with running_system(folder) as system:
        await stock_up(system)
        made = await requests_of(system, service, work.rpartition(" ")[2], clients)
        streams = [await connect(system, service) for _ in range(clients)]
        with _counting(where) as counted:
            for size in (WARM_UP, requests):
                counted.clear()
                async with trio.open_nursery() as nursery:
                    for stream in streams:
                        nursery.start_soon(converse, stream, made, size)
        for stream in streams:
            await trio.aclose_forcefully(stream.transport_stream)
        return counted["calls"] / (clients * requests)


async def connect(system: RunningSystem, service: str) -> TlsStream:
    """Open a connection; the caller closes it."""
    wire = await system.runtime.network.connect(system.address(service))
    tls = PublicTls(system.certs / "ca.pem", clock=system.runtime.clock)
    stream = TlsStream(wire, tls.context(), server_hostname="localhost")
    await stream.do_handshake()
    return stream


async def stock_up(system: RunningSystem) -> None:
    """Have more goods than anybody orders."""
    async with open_inventory(system.location("inventory"), system.runtime) as inventory:
        await inventory.stock_up(Key("electronics", "SOWH1000XM4"), Goods(operation="much", add=10**6))


async def requests_of(system: RunningSystem, service: str, work: str, clients: int) -> Request:
    """Return what makes requests, each with the status that it must have."""
    resource = system.suite.endpoints.order_url if service == "order" else None
    token = await system.token("admin-app", resource=resource)
    numbers = count(1)
    host = f"Host: localhost\r\nAuthorization: Bearer {token}\r\n".encode()

    def create() -> tuple[bytes, bytes]:
        return _with_body(b"POST /order", host, f'{{"id": "o{next(numbers)}", "name": "Sample", {ITEMS % 1}}}'), b"201"

    def update() -> tuple[bytes, bytes]:
        number = next(numbers)
        # More orders than clients, so that two changes never meet; other goods each time.
        target = b"PUT /order/o%d" % (number % (2 * clients) + 1)
        return _with_body(target, host, f'{{"name": "Sample", {ITEMS % (number // (2 * clients) % 2 + 1)}}}'), b"200"

    def get() -> tuple[bytes, bytes]:
        return b"GET /order/o1 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"200"

    if work == "create":
        return create
    stream = await connect(system, service)
    await converse(stream, create, 2 * clients)
    await trio.aclose_forcefully(stream.transport_stream)
    return update if work == "update" else get


def _with_body(line: bytes, host: bytes, body: str) -> bytes:
    fields = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    return line + b" HTTP/1.1\r\n" + host + fields + b"\r\n" + body.encode()


async def converse(stream: TlsStream, made: Request, times: int) -> None:
    """Send so many requests, one after the other. Raises RuntimeError for an answer that is not as it must be."""
    for _ in range(times):
        request, status = made()
        await stream.send_all(request)
        answer = b""
        while (head := answer.find(b"\r\n\r\n")) < 0:
            answer += await stream.receive_some(65536)
        length = LENGTH.search(answer[: head + 2])
        while length is not None and len(answer) < head + 4 + int(length[1]):
            answer += await stream.receive_some(65536)
        if answer[9:12] != status:
            raise RuntimeError(answer)


@contextmanager
def _counting(where: Counter[str] | None) -> Iterator[Counter[str]]:
    """Count calls while the block runs."""
    counted: Counter[str] = Counter()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            counted["calls"] += 1
            if where is not None:
                code = frame.f_code
                where[f"{code.co_filename.rpartition('/')[2]}:{code.co_qualname}"] += 1
        elif event == "c_call":
            counted["calls"] += 1
            if where is not None:
                code = frame.f_code
                where[f"  c in {code.co_filename.rpartition('/')[2]}:{code.co_qualname} {argument.__qualname__}"] += 1

    sys.setprofile(note)
    try:
        yield counted
    finally:
        sys.setprofile(None)


def main() -> None:
    """Print the calls for each kind of request, alone and with many at once."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        configure_logs(nowhere, pretty=False)
        for work in WORKS:
            alone, many = (calls_per_request(work, clients=clients, requests=16) for clients in (1, 16))
            sys.stdout.write(f"{work:<16}{alone:8.0f} calls alone {many:8.0f} among 16\n")


if __name__ == "__main__":
    main()
