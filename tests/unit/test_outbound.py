"""The outbound client on the memory network: which failure is which, and what a cancelled request leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from ordermgmt.net import Address
from ordermgmt.net import outbound as module
from ordermgmt.net.outbound import HttpClient, Interrupted, Unreachable, open_client, open_suite_client
from ordermgmt.pki import files as pki
from ordermgmt.security.tls import client_tls, load_credential, server_context
from ordermgmt.testing.clocks import VirtualClock
from ordermgmt.testing.memory import MemoryNetwork
from ordermgmt.testing.memory_stream import MemoryStream

OPENERS = {"anybody": open_client, "suite": open_suite_client}
Open = Callable[..., AbstractAsyncContextManager[HttpClient]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Handler = Callable[[MemoryStream], Awaitable[None]]


@pytest.fixture(params=OPENERS)
def opened(request: pytest.FixtureRequest) -> Open:
    """What opens the client: each test is of both."""
    return OPENERS[request.param]


class Server:
    """Listens at an address and hands each connection to `handler`; counts connections and requests."""

    def __init__(self, handler: Handler | None = None) -> None:
        self.handler = handler or self.answer
        self.connections = 0
        self.requests = 0

    async def run(
        self, network: MemoryNetwork, address: Address, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        binding = await network.bind(address)
        listener = binding.open_listener()

        async def connected(stream: MemoryStream) -> None:
            self.connections += 1
            await self.handler(stream)

        try:
            task_status.started()
            await trio.serve_listeners(connected, [listener])
        finally:
            binding.close()

    async def answer(self, stream: MemoryStream) -> None:
        """Answer every request."""
        while await read_request(stream):
            self.requests += 1
            await stream.send_all(OK)

    async def hang_up(self, stream: MemoryStream) -> None:
        """Take a request and go."""
        self.requests += bool(await read_request(stream))


async def read_request(stream: MemoryStream) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        data = await stream.receive_some()
        if not data:
            return b""
        request += data
    return request


def addresses(count: int) -> list[Address]:
    return [Address("127.0.0.1", 1000 + number) for number in range(count)]


@asynccontextmanager
async def serving(opened: Open, *servers: Server | None) -> AsyncIterator[HttpClient]:
    """Open a client of these servers; None is an address where nobody listens."""
    network = MemoryNetwork()
    places = addresses(len(servers))
    async with trio.open_nursery() as nursery:
        for server, place in zip(servers, places, strict=True):
            if server is not None:
                await nursery.start(server.run, network, place)
        async with opened(network, places, tls=None) as client:
            yield client
        nursery.cancel_scope.cancel()


async def get(client: HttpClient, times: int = 1) -> None:
    for _ in range(times):
        assert (await client.request("GET", "/")).content == b"ok"


async def test_requests_go_round_the_addresses(opened: Open, autojump_clock: trio.abc.Clock) -> None:
    servers = [Server() for _ in range(3)]
    async with serving(opened, *servers) as client:
        await get(client, 9)
        assert [server.requests for server in servers] == [3, 3, 3]


async def test_an_address_that_fails_is_skipped_and_tried_again_later(
    opened: Open, autojump_clock: trio.abc.Clock
) -> None:
    network, places, server, back = MemoryNetwork(), addresses(2), Server(), Server()
    attempts: list[Address] = []
    connect = network.connect

    async def counted(address: Address) -> MemoryStream:
        attempts.append(address)
        return await connect(address)

    network.connect = counted  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run, network, places[0])
        async with opened(network, places, tls=None) as client:
            await get(client, 6)
            assert attempts.count(places[1]) == 1
            await trio.sleep(module.AVOID_FOR + 1)
            await nursery.start(back.run, network, places[1])
            await get(client, 6)
            assert back.requests == 3
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_what_reaches_nobody_surely_never_left(opened: Open, count: int, autojump_clock: trio.abc.Clock) -> None:
    async with serving(opened, *[None] * count) as client:
        with pytest.raises(Unreachable):
            await client.request("POST", "/", content=b"x", repeatable=True)


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 1_000_000])
async def test_what_a_server_took_may_have_arrived(
    opened: Open, content: bytes, autojump_clock: trio.abc.Clock
) -> None:
    server = Server()
    server.handler = server.hang_up
    async with serving(opened, server) as client:
        with pytest.raises(Interrupted):
            await client.request("POST", "/", content=content)
        assert server.requests == 1
        with pytest.raises(Interrupted):
            await client.request("POST", "/", content=content, repeatable=True)
        assert server.requests == 3


async def test_a_repeatable_request_survives_one_interruption(opened: Open, autojump_clock: trio.abc.Clock) -> None:
    bad, good = Server(), Server()
    bad.handler = bad.hang_up
    async with serving(opened, good, bad) as client:
        answer = await client.request("GET", "/", repeatable=True)
        assert (answer.content, bad.requests, good.requests) == (b"ok", 1, 1)


async def test_a_second_attempt_that_never_left_does_not_undo_the_first(
    opened: Open, autojump_clock: trio.abc.Clock
) -> None:
    network, (place,), server = MemoryNetwork(), addresses(1), Server()
    async with trio.open_nursery() as dying:

        async def take_and_die(stream: MemoryStream) -> None:
            await read_request(stream)
            dying.cancel_scope.cancel()

        server.handler = take_and_die
        await dying.start(server.run, network, place)
        async with opened(network, [place], tls=None) as client:
            with trio.CancelScope(shield=True), pytest.raises(Interrupted):
                await client.request("POST", "/", content=b"x", repeatable=True)
    assert server.connections == 1


async def test_an_answer_has_a_bound(
    opened: Open, autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER", 100_000)

    async def talk(stream: MemoryStream, size: int) -> None:
        await read_request(stream)
        with suppress(trio.BrokenResourceError):
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)

    server = Server()
    async with serving(opened, server) as client:
        server.handler = lambda stream: talk(stream, 100_000)
        assert len((await client.request("GET", "/")).content) == 100_000
    async with serving(opened, server) as client:
        server.handler = lambda stream: talk(stream, 10_000_000)
        with pytest.raises(Interrupted, match="over 100000 bytes"):
            await client.request("GET", "/")
        server.handler = server.answer
        await get(client)


async def test_cancelled_requests_leave_nothing_behind(opened: Open, autojump_clock: trio.abc.Clock) -> None:
    server, delay = Server(), 10.0

    async def slow(stream: MemoryStream) -> None:
        with suppress(trio.BrokenResourceError):
            while await read_request(stream):
                await trio.sleep(delay)
                await stream.send_all(OK)

    server.handler = slow
    async with serving(opened, server) as client:

        async def impatient(number: int) -> None:
            with trio.move_on_after(number % 30):
                await client.request("GET", "/")

        async with trio.open_nursery() as nursery:
            for number in range(500):
                nursery.start_soon(impatient, number)
        await trio.sleep(60)
        delay = 0.0
        with trio.fail_after(60):
            await get(client, 200)


def contexts(folder: Path, names: Sequence[str]) -> None:
    folder.mkdir()
    pki.ensure(folder, names, ["localhost"], "ordermgmt.local", VirtualClock().now())


async def test_a_server_of_another_identity_gets_no_byte_of_the_request(
    opened: Open, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    certs, clock = tmp_path / "certs", VirtualClock()
    contexts(certs, ["order", "gateway", "inventory"])
    network, received = MemoryNetwork(), []

    async def impostor(wire: MemoryStream) -> None:
        context = server_context(
            load_credential(certs, "gateway", "ordermgmt.local"), client_certificates=True, clock=clock
        )
        stream = trio.SSLStream(wire, context, server_side=True, https_compatible=True)
        try:
            received.append(await stream.receive_some())
        except trio.BrokenResourceError:
            received.append(b"")

    server = Server(impostor)
    order = load_credential(certs, "order", "ordermgmt.local")
    for expected, reached in (("inventory", False), ("gateway", True)):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run, network, addresses(1)[0])
            tls = client_tls(order, expected=expected, clock=clock)
            async with opened(network, addresses(1), tls=tls) as client:
                with pytest.raises(Interrupted if reached else Unreachable):
                    await client.request("GET", "/secret")
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        assert (b"/secret" in received.pop()) == reached


async def test_a_cookie_that_one_caller_is_given_is_not_sent_for_the_next(opened: Open) -> None:
    requests: list[bytes] = []

    async def give_cookies(stream: MemoryStream) -> None:
        while request := await read_request(stream):
            requests.append(request.lower())
            await stream.send_all(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=1; Path=/\r\n\r\n"))

    async with serving(opened, Server(give_cookies)) as client:
        for headers in ([], [("cookie", "own=1")], []):
            assert (await client.request("GET", "/", headers=headers)).headers["set-cookie"] == "a=1; Path=/"
    assert [b"cookie: own=1" in request for request in requests] == [False, True, False]
    assert [b"a=1" in request for request in requests] == [False] * 3
