"""Listening sockets that go from one process to another."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trio

from ordermgmt.clock import SystemClock
from ordermgmt.config import Config, IssuerConfig, OrderConfig
from ordermgmt.errors import StartError
from ordermgmt.net import Address, TcpBinding, TcpNetwork
from ordermgmt.net.network import ACCEPT_TURN
from ordermgmt.placement import Assignment
from ordermgmt.processes import InheritedAssignment, work_with
from ordermgmt.runtime import Runtime
from ordermgmt.supervision.bells import Bells
from ordermgmt.supervision.health import Probes
from ordermgmt.threads import WorkerThreads


@pytest.fixture
def descriptor() -> Iterator[int]:
    """A listening socket as a child gets it: inheritable, and in the way of nobody."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        descriptor = os.dup(sock.fileno())
        os.set_inheritable(descriptor, True)
        yield descriptor


async def test_it_is_taken_over_and_not_passed_on(descriptor: int) -> None:
    binding = TcpBinding.adopt(descriptor)
    try:
        assert not os.get_inheritable(descriptor)
        network = TcpNetwork()
        async with binding.open_listener() as listener, await network.connect(binding.address) as client:
            accepted = await listener.accept()
            async with accepted:
                await client.send_all(b"x")
                assert await accepted.receive_some(1) == b"x"
    finally:
        binding.close()


async def test_one_that_others_share_leaves_the_next_connection_to_them_for_a_moment(descriptor: int) -> None:
    binding = TcpBinding.adopt(descriptor, shared=True)
    try:
        network = TcpNetwork()
        async with (
            binding.open_listener() as listener,
            await network.connect(binding.address),
            await network.connect(binding.address),
        ):
            begin = trio.current_time()
            async with await listener.accept(), await listener.accept():
                assert trio.current_time() - begin >= ACCEPT_TURN
    finally:
        binding.close()


def test_what_is_no_listening_socket_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(StartError, match="is no socket: "):
        TcpBinding.adopt(file.fileno())
    idle = socket.socket().detach()
    with pytest.raises(StartError, match="does not listen"):
        TcpBinding.adopt(idle)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(idle)


async def test_one_that_is_bound_elsewhere_than_assigned_is_refused(descriptor: int) -> None:
    elsewhere = {"inventory": {"listen": Address("127.0.0.1", 1)}}
    told = InheritedAssignment(
        Assignment("inventory", Config(), elsewhere, guide=False, demo=False), {"listen": descriptor}
    )
    runtime = Runtime(SystemClock(), TcpNetwork(), WorkerThreads(), secrets.token_bytes)
    with pytest.raises(StartError, match=r"^inventory\.listen is bound to 127\.0\.0\.1:\d+, not as assigned$"):
        await work_with(runtime)(
            msgspec.json.encode(told), trio.Event(), Probes(), Bells(), task_status=trio.TASK_STATUS_IGNORED
        )


def test_an_assignment_arrives_as_it_was_told() -> None:
    issuer = IssuerConfig(issuer="wso2", audience="ballerina", jwks_url="https://localhost:1/", scopes={"a": "b"})
    config = Config(order=OrderConfig(issuers=(issuer,), inventory_timeout=2.5))
    addresses = {"order": {"listen": Address("::1", 9090)}, "admin": {"listen": Address("127.0.0.1", 1)}}
    told = InheritedAssignment(Assignment("order", config, addresses, guide=True, demo=True), {"listen": 7})
    assert msgspec.json.decode(msgspec.json.encode(told), type=InheritedAssignment) == told
