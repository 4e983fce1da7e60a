"""Processes to be attacked: one small Quart-Trio application, on stock Hypercorn or on our own server.

`python -m tests.faults.victim CERTIFICATE_AND_KEY` imports everything once, and then forks a victim for every line of
JSON that it reads (an `Order`), so that each attack meets a fresh process that took milliseconds to start. It answers,
one a line: `PID PLAIN_PORT TLS_PORT` as soon as the victim serves; for `{"reap": PID}` the exit status of a victim that
has ended. When the input ends, the victims that are left are killed.
"""

from __future__ import annotations

import os
import signal
import ssl
import sys
import traceback
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any, Literal

import hypercorn.trio
import msgspec
import trio
from hypercorn.config import Config
from quart import websocket

from ordermgmt.net import Address, TcpNetwork
from ordermgmt.net.app import App, new_app, read_body
from ordermgmt.net.connection import Limits
from ordermgmt.net.server import serve

BIG = 4 * 1024 * 1024
"""Bytes of the answer that does not fit into the buffers between server and client."""
HERE = Address("127.0.0.1", 0)

Report = Callable[[int, int], None]


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """What to start. Times are in seconds; `log` is a path."""

    server: Literal["stock", "ours"]
    log: str
    patience: float
    """Every deadline of the server but those of its end, and that of closing, which is a quarter of it."""
    drain: float


class Reap(msgspec.Struct, forbid_unknown_fields=True):
    """Whose exit status is asked for."""

    reap: int


def small_app(patience: float) -> App:
    app = new_app("victim")
    app.config["BODY_TIMEOUT"] = patience

    @app.get("/hello")
    async def hello() -> str:
        return "hello"

    @app.post("/echo")
    async def echo() -> str:
        return str(len(await read_body()))

    @app.get("/big")
    async def big() -> bytes:
        return b"x" * BIG

    @app.websocket("/ws")
    async def ws() -> None:
        while True:
            await websocket.send(await websocket.receive())

    return app


async def _terminated() -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            return


async def _stock(order: Order, certificate: str, report: Report) -> None:
    config = Config()
    config.bind, config.insecure_bind = ["127.0.0.1:0"], ["127.0.0.1:0"]
    config.certfile = config.keyfile = certificate
    config.graceful_timeout = order.drain
    async with trio.open_nursery() as nursery:
        run = partial(hypercorn.trio.serve, small_app(order.patience), config, shutdown_trigger=_terminated)
        secure, plain = await nursery.start(run)
        report(int(plain.rpartition(":")[2]), int(secure.rpartition(":")[2]))


async def _ours(order: Order, certificate: str, report: Report) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    deadlines: dict[str, Any] = {field.name: order.patience for field in fields(Limits) if field.type == "float"}
    # What the server does for well-behaved clients at its end is as it always is.
    ends = {name: getattr(Limits(), name) for name in ("drain_delay", "farewell")}
    limits = Limits(**deadlines | ends | {"close": order.patience / 4, "lifetime": 60.0})
    app, network, drain = small_app(order.patience), TcpNetwork(), trio.Event()
    plain, secure = await network.bind(HERE), await network.bind(HERE)
    run = partial(serve, app, drain=drain, limits=limits, drain_timeout=order.drain)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(run, plain.open_listener()))
        await nursery.start(partial(run, secure.open_listener(), tls=lambda: context))
        report(plain.address.port, secure.address.port)
        await _terminated()
        plain.close()
        secure.close()
        drain.set()


def _live(order: Order, certificate: str, answers: int) -> int:
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(target, number)

    def report(plain: int, secure: int) -> None:
        os.write(answers, f"{os.getpid()} {plain} {secure}\n".encode())

    try:
        trio.run(_ours if order.server == "ours" else _stock, order, certificate, report)
    except Exception:  # noqa: BLE001 - whatever it died of is what the test asks about
        traceback.print_exc()
        return 1
    return 0


def main(certificate: str) -> None:
    answers = os.dup(1)
    victims: set[int] = set()
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=dict)
        if "reap" in order:
            pid = msgspec.convert(order, Reap).reap
            victims.discard(pid)
            _, status = os.waitpid(pid, 0)
            os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))
            continue
        pid = os.fork()
        if pid == 0:
            os._exit(_live(msgspec.convert(order, Order), certificate, answers))
        victims.add(pid)
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(sys.argv[1])
