"""Several token services over one database: they agree on the numbers, and each tells what another one wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.resources import files
from random import Random

import msgspec
import pytest
import trio

from ordermgmt.clock import SystemClock
from ordermgmt.security.revocations import RevocationLine, Revocations
from ordermgmt.storage import Database, Location, open_database
from ordermgmt.sts import revocation_store
from ordermgmt.sts.revocations import RevocationFeed, open_feed
from ordermgmt.threads import WorkerThreads

MIGRATIONS = files("ordermgmt.sts") / "migrations"
WRITERS, EACH = 3, 15


@asynccontextmanager
async def opened(location: Location, count: int) -> AsyncIterator[list[Database]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                open_database(location, MIGRATIONS, threads=WorkerThreads(), clock=SystemClock())
            )
            for _ in range(count)
        ]


async def test_who_follows_one_learns_in_order_of_all_that_any_of_them_commits(location: Location) -> None:
    chance = Random(5)  # noqa: S311 - a test repeats
    stop = trio.Event()
    async with opened(location, WRITERS) as databases:
        feeds = [await open_feed(database, chance.randbytes, 60, stop) for database in databases]
        views = [Revocations("sts") for _ in feeds]
        sequences: list[list[int]] = [[] for _ in feeds]

        async def follow(number: int) -> None:
            async for data in feeds[number].lines("", 0, trio.current_time() + 600):
                line = msgspec.json.decode(data, type=RevocationLine)
                assert len(line.revoked) == line.sequence - views[number].sequence
                sequences[number].append(line.sequence)
                views[number].apply(line)

        async def write(number: int) -> None:
            for each in range(EACH):
                ids = [f"{number}-{each}-{one}" for one in range(1 + each % 3)]
                await databases[number].write(partial(revocation_store.revoke, ids=ids))

        async with trio.open_nursery() as nursery:
            for number in range(WRITERS):
                nursery.start_soon(follow, number)
            async with trio.open_nursery() as writers:
                for number in range(WRITERS):
                    writers.start_soon(write, number)
            stop.set()
        last = await feeds[0].sequence()
    assert last == WRITERS * sum(1 + each % 3 for each in range(EACH))
    epochs = {view.epoch for view in views}
    assert len(epochs) == 1
    assert epochs != {""}
    for view, seen in zip(views, sequences, strict=True):
        assert view.sequence == view.count == last
        assert seen == sorted(seen)


async def test_a_client_that_changes_to_another_one_goes_on_there(location: Location) -> None:
    stop = trio.Event()
    stop.set()
    async with opened(location, 2) as databases:
        first, second = [await open_feed(database, Random(5).randbytes, 60, stop) for database in databases]  # noqa: S311
        await databases[0].write(partial(revocation_store.revoke, ids=["a"]))
        (told,) = await lines(first, "", 0)
        await databases[1].write(partial(revocation_store.revoke, ids=["b"]))
        (more,) = await lines(second, told.epoch, told.sequence)
    assert (told.revoked, more.revoked) == (("a",), ("b",))


@pytest.mark.parametrize("place", [("another", 1), ("", 1), (None, 7), (None, 0)])
async def test_who_knows_what_cannot_be_is_told_everything(location: Location, place: tuple[str | None, int]) -> None:
    stop = trio.Event()
    stop.set()
    async with opened(location, 1) as (database,):
        feed = await open_feed(database, Random(5).randbytes, 60, stop)  # noqa: S311
        await database.write(partial(revocation_store.revoke, ids=["a", "b"]))
        epoch = (await database.read(revocation_store.load_log)).epoch
        (told,) = await lines(feed, epoch if place[0] is None else place[0], place[1])
    assert set(told.revoked) == {"a", "b"}


async def lines(feed: RevocationFeed, epoch: str, after: int) -> list[RevocationLine]:
    """Return what a feed that ends says."""
    until = trio.current_time()
    return [msgspec.json.decode(data, type=RevocationLine) async for data in feed.lines(epoch, after, until)]
