"""Listeners over real sockets."""

from __future__ import annotations

import ssl
import subprocess
import sys

import trio

from ordermgmt.net import Address, TcpNetwork
from ordermgmt.net.limits import Limits
from ordermgmt.net.server import serve
from tests.unit.http2_setup import AUTHORITY, FIELDS, Client, context
from tests.unit.server_setup import get, sample_app

SCRIPT = """
import resource
from ordermgmt.net.open_files import raise_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (64, {hard}))
print(raise_open_files(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(hard=900)], check=True, capture_output=True, text=True, timeout=60
    )
    assert run.stdout.split() == ["900", "900", "900"]


async def test_over_sockets_one_address_does_not_take_all() -> None:
    binding = await TcpNetwork().bind(Address("127.0.0.1", 0))
    drain = trio.Event()
    async with trio.open_nursery() as nursery:
        limits = Limits(connections=4, connections_per_address=3)

        async def run(task_status: trio.TaskStatus[None]) -> None:
            await serve(sample_app(), binding.open_listener(), drain=drain, limits=limits, task_status=task_status)

        await nursery.start(run)
        hoard = [await trio.open_tcp_stream("127.0.0.1", binding.address.port) for _ in range(3)]
        for stream in hoard:
            await stream.send_all(get("/hello"))
            assert (await stream.receive_some()).endswith(b"hello")
        other = await trio.open_tcp_stream("127.0.0.1", binding.address.port, local_address="127.0.0.2")
        await other.send_all(get("/hello"))
        assert (await other.receive_some()).endswith(b"hello")
        newest = await trio.open_tcp_stream("127.0.0.1", binding.address.port)
        await newest.send_all(get("/hello"))
        assert (await newest.receive_some()).endswith(b"hello")
        assert await hoard[0].receive_some() == b""
        await other.send_all(get("/hello"))
        assert (await other.receive_some()).endswith(b"hello")
        drain.set()
    for stream in (*hoard, other, newest):
        await trio.aclose_forcefully(stream)
    binding.close()


async def test_over_sockets_http2_is_chosen_by_alpn_alone() -> None:
    binding = await TcpNetwork().bind(Address("127.0.0.1", 0))
    drain = trio.Event()
    offered = context()
    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[None]) -> None:
            listener = binding.open_listener()
            await serve(sample_app(), listener, drain=drain, tls=lambda: offered, task_status=task_status)

        await nursery.start(run)
        trusting = ssl.create_default_context()
        AUTHORITY.configure_trust(trusting)
        for protocols, wanted in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1")):
            trusting.set_alpn_protocols(protocols)
            stream = await trio.open_ssl_over_tcp_stream(
                "localhost", binding.address.port, ssl_context=trusting, https_compatible=True
            )
            await stream.do_handshake()
            assert stream.selected_alpn_protocol() == wanted
            if wanted == "h2":
                client = Client(stream)
                assert await client.answer(await client.request(FIELDS)) == (200, b"hello")
            else:
                await stream.send_all(get("/hello"))
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 OK")
            await trio.aclose_forcefully(stream)
        drain.set()
    binding.close()
