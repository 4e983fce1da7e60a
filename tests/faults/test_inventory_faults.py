"""Stock under a rush of buyers, and over a disk that takes nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.unit.inventory_service import BOOK, movement, quantity, reaching, send, serving
from tests.unit.inventory_setup import START, opened


async def test_two_hundred_buyers_of_the_last_ten_pieces(tmp_path: Path) -> None:
    async with opened(tmp_path) as (inventory, _), reaching(inventory, clients=20) as clients:

        async def buy_all() -> dict[int, tuple[int, Any]]:
            answers: dict[int, tuple[int, Any]] = {}

            async def buy(number: int) -> None:
                http = clients[number % len(clients)]
                status, body, _ = await send(http, "PUT", "/inventory/decrease", movement(f"buyer-{number}", 1))
                answers[number] = status, body

            async with trio.open_nursery() as nursery:
                for number in range(200):
                    nursery.start_soon(buy, number)
            return answers

        answers = await buy_all()
        assert await quantity(clients[0]) == 0
        assert Counter(status for status, _ in answers.values()) == {200: 10, 409: 190}
        for status, body in answers.values():
            if status == 409:
                assert body["type"] == "urn:ordermgmt:problem:out-of-stock"
                assert {name: body[name] for name in BOOK} == BOOK
                assert (body["available"], body["requested"]) == (0, 1)
        # Whoever asks again is told the same, and nobody gets a second piece.
        assert await buy_all() == answers
        assert await quantity(clients[0]) == 0


@pytest.mark.parametrize(
    ("fault", "cure"), [("max_page_count = 1", "max_page_count = 10000"), ("query_only = 1", "query_only = 0")]
)
async def test_a_disk_that_takes_nothing_is_a_503_until_it_does(tmp_path: Path, fault: str, cure: str) -> None:
    # More than the pages of the file that are not full yet can take.
    many = {
        "sent_at": START,
        "operations": [
            {"id": f"{number:064}", "lines": [{**BOOK, "qty": -1}, {**BOOK, "qty": 1}]} for number in range(256)
        ],
    }
    async with serving(tmp_path) as (http, database):
        database._writer.execute(f"PRAGMA {fault}")
        status, body, headers = await send(http, "POST", "/inventory/operations", many)
        assert (status, body["type"]) == (503, "urn:ordermgmt:problem:storage-unavailable")
        assert headers["retry-after"] == "1"
        assert await quantity(http) == 10
        database._writer.execute(f"PRAGMA {cure}")
        status, body, _ = await send(http, "POST", "/inventory/operations", many)
        assert status == 200
        assert {result["status"] for result in body["results"]} == {"applied"}
        assert (await send(http, "PUT", "/inventory/decrease", movement("b", 1)))[0] == 200
        assert await quantity(http) == 9
