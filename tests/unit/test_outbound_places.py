"""Requests beyond those that may be under way at once: they wait in turn, for so long and not longer."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from ordermgmt.net.outbound import Busy, HttpClient
from ordermgmt.testing.memory_stream import MemoryStream
from tests.unit.test_outbound import OK, OPENERS, Open, Server, get, read_request, serving

PATIENCE, ANSWER = 5.0, 3.0


@pytest.fixture(params=OPENERS)
def opened(request: pytest.FixtureRequest) -> Open:
    return partial(OPENERS[request.param], limit=1, patience=PATIENCE)


class Slow(Server):
    async def answer(self, stream: MemoryStream) -> None:
        while await read_request(stream):
            self.requests += 1
            await trio.sleep(ANSWER)
            await stream.send_all(OK)


async def test_whose_turn_does_not_come_in_time_was_never_sent(opened: Open, autojump_clock: trio.abc.Clock) -> None:
    server = Slow()
    ends: list[tuple[float, str]] = []
    began = trio.current_time()

    async def ask(client: HttpClient) -> None:
        try:
            await get(client)
        except Busy as busy:
            ends.append((trio.current_time() - began, str(busy)))
        else:
            ends.append((trio.current_time() - began, "answered"))

    async with serving(opened, server) as client:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ask, client)
        assert ends == [
            (ANSWER, "answered"),
            (PATIENCE, "no place became free within 5 s"),
            (PATIENCE, "no place became free within 5 s"),
            (2 * ANSWER, "answered"),
        ]
        assert server.requests == 2
        await get(client)  # and no place is lost


async def test_who_is_cancelled_while_it_waits_takes_no_place_along(
    opened: Open, autojump_clock: trio.abc.Clock
) -> None:
    async with serving(opened, Slow()) as client, trio.open_nursery() as nursery:
        nursery.start_soon(get, client)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(1) as impatient:
            await get(client)
        assert impatient.cancelled_caught
        await get(client)
