"""Group commit under cancellation: each point at which a caller may be cancelled, and what the others see of it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ordermgmt.errors import Unavailable
from ordermgmt.storage.patience import PATIENCE
from ordermgmt.storage.sqlite import SqliteDatabase
from tests.unit.storage_setup import HeldThreads, adding, notes, opened_file


class Writers:
    """Tasks that write a note each, in the order in which they were started, and can be cancelled one by one."""

    def __init__(self, database: SqliteDatabase, threads: HeldThreads, nursery: trio.Nursery) -> None:
        self.database = database
        self.threads = threads
        self.done: list[str] = []
        self.cancelled: list[str] = []
        self.scopes: dict[str, trio.CancelScope] = {}
        self._nursery = nursery

    async def start(self, *texts: str) -> None:
        for text in texts:
            self._nursery.start_soon(self._write, text)
            await wait_all_tasks_blocked()

    async def cancel(self, *texts: str) -> None:
        for text in texts:
            self.scopes[text].cancel()
            await wait_all_tasks_blocked()

    async def _write(self, text: str) -> None:
        with trio.CancelScope() as self.scopes[text]:
            assert await self.database.write(adding(text)) == text
            self.done.append(text)
        if text not in self.done:
            self.cancelled.append(text)


@asynccontextmanager
async def writers(tmp_path: Path) -> AsyncIterator[Writers]:
    """In the end those that are done, and nobody else, have left their note, and the next one can write."""
    threads = HeldThreads()
    async with opened_file(tmp_path, threads) as database:
        async with trio.open_nursery() as nursery:
            made = Writers(database, threads, nursery)
            yield made
            threads.release()
        assert await database.read(notes) == sorted(made.done)
        assert await database.write(adding("next")) == "next"


@contextmanager
def locked(tmp_path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(tmp_path / "data" / "notes.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def test_before_anything(tmp_path: Path) -> None:
    async with writers(tmp_path) as made:
        with trio.CancelScope() as scope:
            scope.cancel()
            await made.database.write(adding("a"))
        assert scope.cancelled_caught


async def test_while_another_group_runs(tmp_path: Path) -> None:
    async with writers(tmp_path) as made:
        made.threads.hold()
        await made.start("a", "b", "c", "d")
        await made.cancel("b", "d")
        assert (made.done, made.cancelled) == ([], ["b", "d"]), "it ends at once"
        made.threads.release()
        await wait_all_tasks_blocked()
        assert made.done == ["a", "c"]


async def test_the_one_that_leads_before_its_group_has_begun(tmp_path: Path) -> None:
    async with writers(tmp_path) as made:
        made.threads.hold(begun=False)
        await made.start("a", "b", "c")
        await made.cancel("a")
        assert made.cancelled == ["a"]
        made.threads.release()
        await wait_all_tasks_blocked()
        assert made.done == ["b", "c"]


async def test_the_others_before_their_group_has_begun(tmp_path: Path) -> None:
    async with writers(tmp_path) as made:
        made.threads.hold()
        await made.start("a", "b", "c", "d")
        made.threads.release()
        made.threads.hold(begun=False)
        await wait_all_tasks_blocked()
        assert made.done == ["a"]
        await made.cancel("c")
        assert made.cancelled == [], "its group is on its way"
        await made.cancel("b")
        assert made.cancelled == ["b", "c"], "the group was never begun: nothing was done for either"
        made.threads.release()
        await wait_all_tasks_blocked()
        assert made.done == ["a", "d"]


async def test_in_a_group_that_runs(tmp_path: Path) -> None:
    async with writers(tmp_path) as made:
        made.threads.hold()
        await made.start("a", "b", "c", "d")
        made.threads.release()
        made.threads.hold()
        await wait_all_tasks_blocked()
        await made.cancel("b", "c")
        assert made.done == ["a"]
        made.threads.release()
        await wait_all_tasks_blocked()
        assert (sorted(made.done), made.cancelled) == (["a", "b", "c", "d"], [])


async def test_the_next_one_at_the_moment_when_it_shall_lead(tmp_path: Path) -> None:
    async with writers(tmp_path) as made:
        made.threads.hold()
        await made.start("a", "b", "c")
        made.threads.release()
        made.scopes["a"].cancel()
        made.scopes["b"].cancel()
        await wait_all_tasks_blocked()
        assert (made.done, made.cancelled) == (["a", "c"], ["b"])


async def test_between_two_attempts(tmp_path: Path, mock_clock: MockClock) -> None:
    async with writers(tmp_path) as made:
        with locked(tmp_path):
            await made.start("a", "b", "c", "d")
            await made.cancel("b", "a")
            assert made.cancelled == ["b", "a"]
        mock_clock.jump(PATIENCE / 2)
        await wait_all_tasks_blocked()
        assert sorted(made.done) == ["c", "d"]


async def test_in_an_attempt_that_comes_to_nothing(tmp_path: Path, mock_clock: MockClock) -> None:
    async with writers(tmp_path) as made:
        with locked(tmp_path):
            made.threads.hold()
            await made.start("a")
            made.threads.release()
            await made.start("b", "c")
            made.threads.hold()
            mock_clock.jump(PATIENCE / 2)
            await wait_all_tasks_blocked()
            await made.cancel("b")
            assert made.cancelled == []
            made.threads.release()
            await wait_all_tasks_blocked()
            assert made.cancelled == ["b"]
        mock_clock.jump(PATIENCE / 4)
        await wait_all_tasks_blocked()
        assert sorted(made.done) == ["a", "c"]


async def test_patience_is_each_ones_own(tmp_path: Path, mock_clock: MockClock) -> None:
    async with writers(tmp_path) as made:
        with locked(tmp_path), pytest.RaisesGroup(Unavailable):
            async with trio.open_nursery() as nursery:
                impatient = Writers(made.database, made.threads, nursery)
                await impatient.start("a")
                mock_clock.jump(PATIENCE * 0.75)
                await made.start("b")
                mock_clock.jump(PATIENCE * 0.5)
                await wait_all_tasks_blocked()
        for _ in range(2):  # the next attempt may have been put off just before the first
            mock_clock.jump(PATIENCE * 0.125)
            await wait_all_tasks_blocked()
        assert made.done == ["b"]
