"""Changes of one order at the same time: one wins, and stock and orders agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from ordermgmt.net.outbound import Response
from ordermgmt.testing.harness import RunningSystem, running_system

BOOK = {"category": "books", "code": "978-1617295959"}


async def in_stock(system: RunningSystem) -> int:
    answer = await system.request("gateway", "GET", "/inventory/books/978-1617295959")
    return int(msgspec.json.decode(answer.content)["qty"])


async def at_once(
    system: RunningSystem,
    method: str,
    target: str,
    token: str,
    bodies: list[Any],
    headers: Sequence[tuple[str, str]] = (),
) -> list[int]:
    statuses: list[int] = []

    async def send(body: Any) -> None:
        answer = await system.request("order", method, target, token=token, json=body, headers=headers)
        statuses.append(answer.status)

    async with trio.open_nursery() as nursery:
        for body in bodies:
            nursery.start_soon(send, body)
    return sorted(statuses)


async def test_of_equal_creates_one_wins_and_the_others_give_back(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path) as system:
        token = await system.order_token("alice-app")
        order = {"id": "one", "name": "One", "items": [{**BOOK, "qty": 2}]}
        assert await at_once(system, "POST", "/order", token, [order] * 4) == [201, 409, 409, 409]
        assert await in_stock(system) == 8


async def test_of_updates_from_one_version_one_wins_and_the_others_give_back(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path) as system:
        token = await system.order_token("admin-app")
        order = {"id": "one", "name": "One", "items": [{**BOOK, "qty": 1}]}
        made = await system.request("order", "POST", "/order", token=token, json=order)
        bodies = [{"name": f"By {qty}", "items": [{**BOOK, "qty": qty}]} for qty in (2, 3)]
        match = [("if-match", made.headers["etag"])]
        # The second one comes while the first is under way, or after it.
        assert await at_once(system, "PUT", "/order/one", token, bodies, match) in ([200, 409], [200, 412])
        answer = await system.request("order", "GET", "/order/one")
        held = msgspec.json.decode(answer.content)["items"][0]["qty"]
        assert held in (2, 3)
        assert await in_stock(system) == 10 - held


@pytest.mark.slow
async def test_two_hundred_buyers_of_the_last_ten_pieces(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    answers: list[Response] = []
    async with running_system(tmp_path) as system:
        token = await system.order_token("alice-app")

        async def buy(number: int) -> None:
            order = {"name": f"Buyer {number}", "items": [{**BOOK, "qty": 1}]}
            answers.append(await system.request("order", "POST", "/order", token=token, json=order))

        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(buy, number)
        assert Counter(answer.status for answer in answers) == {201: 10, 409: 190}
        for answer in answers:
            if answer.status == 409:
                assert answer.headers["content-type"] == "application/problem+json"
                problem = msgspec.json.decode(answer.content)
                assert problem["type"] == "urn:ordermgmt:problem:out-of-stock"
                assert BOOK.items() <= problem.items()
                assert (problem["available"], problem["requested"]) == (0, 1)
        left = await system.request("gateway", "GET", "/inventory/books/978-1617295959")
        assert msgspec.json.decode(left.content)["qty"] == 0
        places = {answer.headers["location"] for answer in answers if answer.status == 201}
        assert len(places) == 10
        assert (
            len(msgspec.json.decode((await system.request("order", "GET", "/order", token=token)).content)["orders"])
            == 10
        )
