"""Inventory or a disk fails under the order service: each change is 503 or 504 as defined, and nothing is half done."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from ordermgmt.net import Address
from ordermgmt.net.outbound import Response
from ordermgmt.storage.sqlite import SqliteDatabase
from ordermgmt.testing import faults
from ordermgmt.testing.harness import RunningSystem, running_system
from ordermgmt.testing.memory import MemoryNetwork

BOOK = {"category": "books", "code": "978-1617295959"}
BOTH = pytest.mark.parametrize("service", ["order", "gateway"])


class Shop:
    """A suite on a network that can fail, and a client of one of its services."""

    def __init__(self, system: RunningSystem, network: MemoryNetwork, service: str) -> None:
        self.system, self.network, self.service = system, network, service

    async def token(self) -> str:
        return await (self.system.token if self.service == "gateway" else self.system.order_token)("admin-app")

    @property
    def inventory(self) -> Address:
        return self.system.address("inventory")

    async def order(self, order_id: str, qty: int = 1, *, key: str | None = None) -> Response:
        body = {"id": order_id, "name": "One", "items": [{**BOOK, "qty": qty}]}
        headers = [("idempotency-key", key)] if key else []
        token = await self.token()
        return await self.system.request(self.service, "POST", "/order", token=token, json=body, headers=headers)

    async def held(self) -> int:
        """How many books all orders hold; no change may be open, and stock must be the rest."""
        token = await self.system.order_token("admin-app")
        journal = await self.system.request("order", "GET", "/journal", token=token)
        assert json.loads(journal.content) == {"operations": []}
        orders = json.loads((await self.system.request("order", "GET", "/order", token=token)).content)["orders"]
        held: int = sum(item["qty"] for order in orders for item in order["items"])
        answer = await self.system.request("gateway", "GET", "/inventory/books/978-1617295959")
        assert json.loads(answer.content)["qty"] == 10 - held
        return held


@asynccontextmanager
async def shop(folder: Path, service: str = "order") -> AsyncIterator[Shop]:
    network = MemoryNetwork()
    async with running_system(folder, network=network) as system:
        one = Shop(system, network, service)
        assert (await one.order("before")).status == 201  # keys and tokens are at hand
        yield one


def told(answer: Response) -> tuple[int, str, str | None]:
    code = json.loads(answer.content)["type"].rpartition(":")[2]
    return answer.status, code, answer.headers.get("retry-after")


@BOTH
async def test_inventory_away_is_503_and_frees_the_key(
    service: str, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path, service) as one:
        with faults.refuse(one.network, one.inventory):
            faults.cut(one.network, one.inventory)
            await trio.lowlevel.checkpoint()
            start = trio.current_time()
            answer = await one.order("1", key="k")
            assert told(answer) == (503, "inventory-unreachable", "1")
            assert trio.current_time() == start
        await trio.sleep(6)  # the address is tried last for five seconds, and it is the only one
        assert (await one.order("1", key="k")).status == 201
        assert await one.held() == 2


def _lost(direction: faults.Direction) -> Any:
    return lambda one: faults.lose(one.network, one.inventory, direction)


SILENCES = {
    "the request is lost": _lost("requests"),
    "the answer is lost": _lost("answers"),
    "the request waits": lambda one: faults.stall(one.network, one.inventory, "requests"),
    "the answer waits": lambda one: faults.stall(one.network, one.inventory, "answers"),
    "the request is later than the lease": lambda one: faults.delay(one.network, one.inventory, "requests", 20.0),
    "the answer is later than the lease": lambda one: faults.delay(one.network, one.inventory, "answers", 20.0),
}


@BOTH
@pytest.mark.parametrize("silence", SILENCES)
async def test_a_silent_inventory_is_504_and_the_change_is_made_later(
    silence: str, service: str, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path, service) as one:
        start = trio.current_time()
        with SILENCES[silence](one):
            answer = await one.order("1", qty=3, key="k")
            assert told(answer) == (504, "outcome-unknown", "1")
            assert trio.current_time() - start == pytest.approx(15.0, abs=0.1)
            # Meanwhile nobody builds on it, and nobody sees half of it.
            assert (await one.system.request("order", "GET", "/order/1")).status == 404
            assert told(await one.order("1"))[:2] == (409, "operation-in-progress")
        await trio.sleep(60)
        assert (await one.order("1", qty=3, key="k")).status == 201
        assert await one.held() == 4


async def test_a_slow_inventory_is_waited_for(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        start = trio.current_time()
        with faults.delay(one.network, one.inventory, "answers", 8.0):
            assert (await one.order("1")).status == 201
        assert trio.current_time() - start == pytest.approx(8.0, abs=0.1)
        assert await one.held() == 2


async def test_connections_that_are_cut_again_and_again(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one, trio.open_nursery() as nursery:
        statuses: list[int] = []

        async def buy(number: int) -> None:
            statuses.append((await one.order(str(number))).status)

        with faults.delay(one.network, one.inventory, "answers", 0.01):
            for number in range(9):
                nursery.start_soon(buy, number)
                await trio.sleep(0.008)
                faults.cut(one.network, one.inventory)
        await trio.sleep(100)
        assert set(statuses) <= {201, 503, 504}
        assert len(statuses) == 9
        done = (await one.held()) - 1
        assert statuses.count(201) <= done <= 9 - statuses.count(503)


def database_of(file: Path) -> SqliteDatabase:
    """Find an open database of the running suite."""
    (found,) = [one for one in gc.get_objects() if type(one) is SqliteDatabase and one._path == file and _is_open(one)]
    return found


def _is_open(database: SqliteDatabase) -> bool:
    try:
        database._writer.total_changes  # noqa: B018 - it raises
    except Exception:  # noqa: BLE001
        return False
    return True


@contextmanager
def full(database: SqliteDatabase) -> Iterator[None]:
    database._writer.execute("PRAGMA max_page_count = 1")
    try:
        yield
    finally:
        database._writer.execute("PRAGMA max_page_count = 100000")


@contextmanager
def read_only(database: SqliteDatabase) -> Iterator[None]:
    database._writer.execute("PRAGMA query_only = ON")
    try:
        yield
    finally:
        database._writer.execute("PRAGMA query_only = OFF")


def break_disk(one: Shop, service: str, how: str) -> AbstractContextManager[None]:
    file = one.system.location(service)
    assert isinstance(file, Path)
    return (full if how == "full" else read_only)(database_of(file))


@pytest.fixture
def only_sqlite(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--database") != "sqlite":
        pytest.skip("these break a SQLite file")


@pytest.mark.usefixtures("only_sqlite")
@pytest.mark.parametrize("how", ["full", "read-only"])
@pytest.mark.parametrize("service", ["order", "inventory"])
async def test_a_disk_that_takes_nothing_is_503_until_it_does(
    service: str, how: str, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as one:
        tried, answer = 0, None
        with break_disk(one, service, how):
            # A full file has some room in its last pages.
            for tried in range(1, 60):
                answer = await one.order(str(tried), key=f"k{tried}")
                if answer.status != 201:
                    break
                assert how == "full"
                token = await one.token()
                await one.system.request("order", "DELETE", f"/order/{tried}", token=token)
            assert answer is not None
            assert answer.status in {503, 504}
            assert answer.headers["retry-after"] == "1"
            assert (await one.system.request("order", "GET", "/order/before")).status == 200
        await trio.sleep(90)
        again = await one.order(str(tried), key=f"k{tried}")
        assert again.status == 201
        assert await one.held() >= 2
