"""What goes wrong in a request is one answer."""

from __future__ import annotations

import pytest
import trio

from ordermgmt.errors import Conflict
from ordermgmt.net.app import one_error
from ordermgmt.testing.memory_stream import MemoryStream
from tests.unit.server_setup import get, read_to_end, sample_app, serving


async def test_a_fault_is_a_500_without_its_cause(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server:
        answer = await server.exchange(get("/fault", "Connection: close"))
        assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert b"application/problem+json" in answer
        assert b"secret cause" not in answer


async def test_a_group_is_answered_by_its_gravest_error(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server:
        answer = await server.exchange(get("/group", "Connection: close"))
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"retry-after: 2" in answer


def test_a_fault_in_a_group_is_not_hidden_by_an_error_of_ours() -> None:
    fault = KeyError("x")
    assert one_error(ExceptionGroup("", [Conflict("c"), ExceptionGroup("", [fault])])) is fault


POST = "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"


JSON = "Content-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (POST + JSON + 'Content-Length: 7\r\n\r\n{"a":1}', 200),
        (POST + JSON + 'Content-Length: 9\r\n\r\n{"a":"1"}', 400),
        (POST + JSON + "Content-Length: 3\r\n\r\n\xff\xff\xff", 400),
        (POST + JSON + "Content-Length: 0\r\n\r\n", 400),
        (POST + 'Content-Length: 7\r\n\r\n{"a":1}', 415),
        (POST + JSON + "Content-Length: 300000\r\n\r\n" + "x" * 300000, 413),
        (POST + JSON + "Transfer-Encoding: chunked\r\n\r\n493e0\r\n" + "x" * 300000 + "\r\n0\r\n\r\n", 413),
        (POST + JSON + "Content-Length: 200000\r\n\r\n" + "[" * 200000, 400),
        (POST.replace("/echo", "/nowhere") + "\r\n", 404),
        (POST.replace("POST", "DELETE") + "\r\n", 405),
        (POST.replace("POST", "OPTIONS") + "\r\n", 405),
    ],
)
async def test_bodies_and_routes_are_strict(request_text: str, status: int, autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server, trio.open_nursery() as nursery:
        stream = await server.connect()
        nursery.start_soon(send_or_break, stream, request_text.encode("latin-1"))
        answer = await read_to_end(stream)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert status == 200 or b"application/problem+json" in answer


async def send_or_break(stream: MemoryStream, data: bytes) -> None:
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError:
        return


async def test_a_body_that_stops_coming_is_408(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app()) as server:
        answer = await server.exchange((POST + JSON + "Content-Length: 10\r\n\r\n{").encode())
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
