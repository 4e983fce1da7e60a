"""The keys of an issuer, seen by the real order service: away, slow, without end, wrong, or attacked through us."""

from __future__ import annotations

import errno
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from ordermgmt.net import Address
from ordermgmt.security import jwks
from ordermgmt.security.jwk_set import MAX_DOCUMENT
from ordermgmt.testing.harness import running_system
from ordermgmt.testing.memory import MemoryNetwork
from ordermgmt.testing.memory_stream import CAPACITY, MemoryStream
from tests.faults.key_server_setup import (
    FAULTS,
    KEY,
    NEXT_KEY,
    STRANGER,
    Answer,
    drip,
    pour,
    publish,
    publish_late,
    shop,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_an_issuer_that_is_not_well_at_the_start_is_believed_as_soon_as_it_is(
    fault: Answer, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path, fault) as running:
        token = running.token()
        for _ in range(3):
            with trio.fail_after(jwks.WAIT + 1):
                answer = await running.list_orders(token)
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            assert (await running.system.request("order", "GET", "/order/1")).status == 404
        running.server.answer = publish
        await trio.sleep(jwks.COOL_DOWN)
        assert await running.status(token) == 200
        assert await running.status(running.token(STRANGER, KEY.kid)) == 401


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_known_keys_are_used_for_ten_more_minutes_and_not_a_second_longer(
    fault: Answer, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as running:
        token = running.token()
        assert await running.status(token) == 200
        (fetched,) = running.server.fetches
        running.server.answer = fault
        last_refresh = fetched + 300
        await trio.sleep_until(last_refresh + 599)
        assert await running.status(token) == 200
        assert await running.status(running.token(sub="dave")) == 200
        assert await running.status(running.token(STRANGER, KEY.kid)) == 401
        await trio.sleep_until(last_refresh + 601)
        assert await running.status(token) == 503
        assert await running.status(running.token(sub="dave")) == 503
        running.server.answer = publish
        await trio.sleep(jwks.LAST_RETRY + jwks.FETCH_TIMEOUT)
        assert await running.status(token) == 200


async def test_a_key_set_without_end_is_read_up_to_its_bound_and_asked_for_once(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path, pour) as running:
        await trio.sleep(jwks.FIRST_RETRY / 2)
        server = running.server
        assert len(server.fetches) == len(server.broken) == 1
        # What was sent beyond the bound is what fits between us: one buffer under way, and one read.
        assert MAX_DOCUMENT - CAPACITY < server.sent < MAX_DOCUMENT + 3 * CAPACITY


async def test_a_key_set_that_drips_in_has_one_deadline_as_a_whole(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path, drip) as running:
        await trio.sleep(60)
        server = running.server
        lasted = [end - begin for begin, end in zip(server.fetches, server.broken, strict=False)]
        # The server notices with its next byte.
        assert lasted
        assert all(jwks.FETCH_TIMEOUT <= seconds <= jwks.FETCH_TIMEOUT + 1 for seconds in lasted)


async def test_a_rotated_key_is_believed_at_once_and_a_withdrawn_one_takes_its_tokens_along(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as running:
        old = running.token()
        assert await running.status(old) == 200
        await trio.sleep(60)
        running.server.keys = [NEXT_KEY]
        assert await running.status(old) == 200
        assert await running.status(running.token(NEXT_KEY)) == 200
        assert len(running.server.fetches) == 2
        assert await running.status(old) == 401
        await trio.sleep(jwks.COOL_DOWN)
        running.server.keys = [NEXT_KEY, KEY]
        assert await running.status(old) == 200


async def test_a_key_that_vanishes_kills_the_tokens_that_are_remembered_at_the_next_refresh(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as running:
        token = running.token()
        assert await running.status(token) == 200
        running.server.keys = []
        await trio.sleep_until(running.server.fetches[0] + jwks.REFRESH - 1)
        assert await running.status(token) == 200
        await trio.sleep(2)
        assert await running.status(token) == 401


async def test_a_thousand_strange_kids_make_one_fetch_per_cool_down_and_hide_no_new_key(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as running:
        server = running.server
        seen: list[int] = []

        async def flood() -> None:
            for number in range(1000):
                seen.append(await running.status(running.token(STRANGER, f"strange-{number}")))
                await trio.sleep(0.02)

        await trio.sleep(10)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            await trio.sleep(8)
            server.keys = [KEY, NEXT_KEY]
            published = trio.current_time()
            while await running.status(running.token(NEXT_KEY)) == 401:  # noqa: ASYNC110 - a client that tries again
                await trio.sleep(0.1)
            assert trio.current_time() <= published + jwks.COOL_DOWN
            assert await running.status(running.token()) == 200
        assert seen == [401] * 1000
        forced = [fetch for fetch in server.fetches if fetch >= began]
        assert all(later - earlier >= jwks.COOL_DOWN for earlier, later in pairwise(forced))
        assert len(forced) <= 1 + 20 / jwks.COOL_DOWN
        assert any(published <= fetch <= published + jwks.COOL_DOWN for fetch in forced)


async def test_whoever_asked_for_a_key_first_may_hang_up(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as running:
        server = running.server
        assert await running.status(running.token()) == 200
        await trio.sleep(10)
        server.keys, server.answer = [KEY, NEXT_KEY], publish_late
        token = running.token(NEXT_KEY)
        first = await running.system.open_stream("order")
        await first.send_all(f"GET /order HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode())
        await wait_all_tasks_blocked()
        assert len(server.fetches) == 2
        seen: list[int] = []

        async def ask(number: int) -> None:
            seen.append(await running.status(running.token(NEXT_KEY, sub=f"user-{number}")))

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(ask, number)
            await wait_all_tasks_blocked()
            await trio.aclose_forcefully(first)
        assert seen == [200] * 20
        assert len(server.fetches) == 2


async def test_the_sts_may_come_later_and_go_for_a_while(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    network = MemoryNetwork()
    streams: list[MemoryStream] = []
    is_away = True

    def connect(address: Address, stream: MemoryStream) -> MemoryStream:
        # The services name each other by address; the test's own clients say localhost, and always get through.
        if address in (Address("127.0.0.1", 9445), Address("127.0.0.1", 9446)):
            if is_away:
                raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
            streams.append(stream)
        return stream

    network.on_connect = connect
    order = {"name": "One", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}
    async with running_system(tmp_path, network=network) as system:

        async def post(token: str) -> int:
            return (await system.request("order", "POST", "/order", token=token, json=order)).status

        assert await post(await system.order_token("alice-app")) == 503
        await trio.sleep(120)
        assert await post(await system.order_token("alice-app")) == 503
        is_away = False
        await trio.sleep(jwks.COOL_DOWN)
        assert await post(await system.order_token("alice-app")) == 201
        assert streams
        is_away = True
        for stream in streams:
            stream.reset()
        await trio.sleep(200)
        # Keys and the bound token are at hand.
        assert await post(await system.order_token("alice-app")) == 201
        assert system.suite.board.snapshot()["order"].restarts == 0
