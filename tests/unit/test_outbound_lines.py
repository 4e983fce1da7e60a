"""Answers that are read line by line as they come."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from ordermgmt.net.outbound import Interrupted, TooLong, Unreachable
from ordermgmt.testing.memory_stream import MemoryStream
from tests.unit.test_outbound import OPENERS, Open, Server, read_request, serving

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
LIMIT = 1000


@pytest.fixture(params=OPENERS)
def opened(request: pytest.FixtureRequest) -> Open:
    return OPENERS[request.param]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def saying(*parts: bytes, pause: float = 1.0, end: bytes = b"0\r\n\r\n") -> Server:
    async def handler(stream: MemoryStream) -> None:
        with suppress(trio.BrokenResourceError):
            while await read_request(stream):
                await stream.send_all(CHUNKED)
                for part in parts:
                    await stream.send_all(chunk(part))
                    await trio.sleep(pause)
                await stream.send_all(end)
                if not end:
                    break
        await stream.aclose()

    return Server(handler)


async def test_lines_come_as_they_are_sent_however_they_are_cut(opened: Open, autojump_clock: trio.abc.Clock) -> None:
    got: list[tuple[float, bytes]] = []
    start = trio.current_time()
    async with serving(opened, saying(b"a\n", b"b", b"b\nc\n\n", b"no end")) as client:
        for _ in range(2):  # over the same connection
            assert await client.follow("/", lambda line: got.append((trio.current_time(), line)), limit=LIMIT) == 200
    assert [(at - start, line) for at, line in got[:4]] == [(0, b"a"), (2, b"bb"), (2, b"c"), (2, b"")]
    assert len(got) == 8


async def test_lines_of_another_status_are_nobody_s(opened: Open, autojump_clock: trio.abc.Clock) -> None:
    async def refuse(stream: MemoryStream) -> None:
        await read_request(stream)
        await stream.send_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 5\r\n\r\nline\n")

    async with serving(opened, Server(refuse)) as client:
        assert await client.follow("/", lambda line: pytest.fail(str(line)), limit=LIMIT) == 403


@pytest.mark.parametrize("parts", [[b"x" * (LIMIT + 1)], [b"x" * LIMIT, b"y"], [b"a\n" + b"x" * (LIMIT + 1) + b"\n"]])
async def test_a_line_is_never_longer_than_it_may_be(
    opened: Open, autojump_clock: trio.abc.Clock, parts: list[bytes]
) -> None:
    async with serving(opened, server := saying(*parts, *[b"more"] * 100)) as client:
        with trio.fail_after(3), pytest.raises(TooLong):
            await client.follow("/", list[bytes]().append, limit=LIMIT)
        assert server.connections == 1


async def test_what_the_reader_raises_ends_it(opened: Open, autojump_clock: trio.abc.Clock) -> None:
    def refuse(line: bytes) -> None:
        raise ValueError(line)

    async with serving(opened, saying(b"a\nb\n", *[b"c\n"] * 100)) as client:
        with trio.fail_after(2), pytest.raises(ValueError, match="a"):
            await client.follow("/", refuse, limit=LIMIT)
        got: list[bytes] = []
        with trio.move_on_after(1.5):  # its place is free, and another connection is made
            await client.follow("/", got.append, limit=LIMIT)
        assert got == [b"a", b"b", b"c"]


async def test_an_answer_that_breaks_off_is_an_error_and_is_not_asked_for_again(
    opened: Open, autojump_clock: trio.abc.Clock
) -> None:
    got: list[bytes] = []
    async with serving(opened, server := saying(b"a\n", end=b"")) as client:
        with pytest.raises(Interrupted):
            await client.follow("/", got.append, limit=LIMIT)
        assert (got, server.connections) == ([b"a"], 1)


async def test_who_is_cancelled_leaves_nothing(opened: Open, autojump_clock: trio.abc.Clock) -> None:
    got: list[bytes] = []
    async with serving(opened, saying(*[b"a\n"] * 1000)) as client:
        for _ in range(200):  # more than there are places
            with trio.move_on_after(1.5):
                await client.follow("/", got.append, limit=LIMIT)
    assert len(got) == 400


async def test_an_address_that_is_not_there_is_passed_over(opened: Open, autojump_clock: trio.abc.Clock) -> None:
    got: list[bytes] = []
    async with serving(opened, None, saying(b"a\n")) as client:
        for _ in range(2):
            await client.follow("/", got.append, limit=LIMIT)
    assert got == [b"a", b"a"]
    async with serving(opened, None) as client:
        with pytest.raises(Unreachable):
            await client.follow("/", got.append, limit=LIMIT)


async def test_the_answer_may_be_of_any_length_and_any_number_of_parts(
    opened: Open, autojump_clock: trio.abc.Clock
) -> None:
    got: list[bytes] = []
    async with serving(opened, saying(*[b"line\n"] * 15_000, pause=0)) as client:
        assert await client.follow("/", got.append, limit=LIMIT) == 200
    assert got == [b"line"] * 15_000


@pytest.mark.parametrize("length", [b"content-length: 5\r\n", b""], ids=["known", "to the end"])
async def test_lines_of_an_answer_without_chunks(opened: Open, autojump_clock: trio.abc.Clock, length: bytes) -> None:
    async def handler(stream: MemoryStream) -> None:
        await read_request(stream)
        for part in (b"HTTP/1.1 200 OK\r\n" + length + b"\r\n", b"a", b"\nb", b"b\n"):
            await stream.send_all(part)
            await trio.sleep(1)
        await stream.aclose()

    got: list[tuple[float, bytes]] = []
    async with serving(opened, Server(handler)) as client:
        start = trio.current_time()
        assert await client.follow("/", lambda line: got.append((trio.current_time(), line)), limit=LIMIT) == 200
    assert [(at - start, line) for at, line in got] == [(2, b"a"), (3, b"bb")]
