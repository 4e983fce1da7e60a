"""Group commit: who shares a COMMIT, and what one member's failure does to the others."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from ordermgmt.errors import Conflict, OutcomeUnknown, Unavailable
from ordermgmt.storage import Transaction
from ordermgmt.storage.group_commit import MAX_GROUP, MAX_WAITING
from ordermgmt.storage.sqlite import SqliteDatabase
from ordermgmt.threads import WorkerThreads
from tests.unit.storage_setup import HeldThreads, add, adding, notes, opened_file, sabotage

Answers = dict[str, object]
Work = Callable[[Transaction], Any]


def refusing(text: str) -> Callable[[Transaction], str]:
    def work(transaction: Transaction) -> str:
        add(transaction, text)
        raise Conflict("no", text)

    return work


async def write_group(database: SqliteDatabase, threads: HeldThreads, works: dict[str, Work]) -> Answers:
    """Let everything wait while another transaction runs, so that it becomes one group; return what each came to."""
    answers: Answers = {}

    async def write(name: str, work: Work) -> None:
        try:
            answers[name] = await database.write(work)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            answers[name] = error

    threads.hold()
    async with trio.open_nursery() as nursery:
        for name, work in {"first": adding("first"), **works}.items():
            nursery.start_soon(write, name, work)
            await wait_all_tasks_blocked()
        threads.release()
    assert answers.pop("first") == "first"
    return answers


async def test_those_that_wait_share_a_commit(tmp_path: Path) -> None:
    threads = HeldThreads()
    async with opened_file(tmp_path, threads) as database:
        commits, transactions = database.commits, database.transactions
        texts = [f"{number:02}" for number in range(20)]
        answers = await write_group(database, threads, {text: adding(text) for text in texts})
        assert answers == {text: text for text in texts}
        assert await database.read(notes) == [*texts, "first"]
        assert database.commits - commits == 2
        assert database.transactions - transactions == 21


async def test_a_group_is_bounded(tmp_path: Path) -> None:
    threads = HeldThreads()
    async with opened_file(tmp_path, threads) as database:
        commits = database.commits
        texts = [f"{number:03}" for number in range(2 * MAX_GROUP + 1)]
        await write_group(database, threads, {text: adding(text) for text in texts})
        assert await database.read(notes) == [*texts, "first"]
        assert database.commits - commits == 1 + 3


async def test_members_run_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    threads = HeldThreads()
    seen: list[int] = []

    def see(number: int, _: Transaction) -> None:
        seen.append(number)

    async with opened_file(tmp_path, threads) as database:
        works: dict[str, Work] = {str(number): partial(see, number) for number in range(MAX_GROUP + 10)}
        await write_group(database, threads, works)
    assert seen == list(range(MAX_GROUP + 10))


async def test_one_more_than_may_wait_is_refused(tmp_path: Path) -> None:
    threads = HeldThreads()
    async with opened_file(tmp_path, threads) as database, trio.open_nursery() as nursery:
        threads.hold()
        for _ in range(1 + MAX_WAITING):
            nursery.start_soon(database.write, lambda _: None)
        await wait_all_tasks_blocked()
        with pytest.raises(Unavailable, match="storage-busy"):
            await database.write(adding("too many"))
        threads.release()
    async with opened_file(tmp_path) as database:
        assert await database.read(notes) == []


async def test_a_refusal_takes_back_its_own_part_alone(tmp_path: Path) -> None:
    threads = HeldThreads()
    async with opened_file(tmp_path, threads) as database:
        commits = database.commits
        works = {"a": adding("a"), "b": refusing("b"), "c": adding("c"), "a again": adding("a"), "d": adding("d")}
        answers = await write_group(database, threads, works)
        assert [answers[name] for name in "acd"] == ["a", "c", "d"]
        assert isinstance(answers["b"], Conflict)
        assert isinstance(answers["a again"], sqlite3.IntegrityError)
        assert await database.read(notes) == ["a", "c", "d", "first"]
        assert database.commits - commits == 2


async def test_a_full_disk_fails_the_one_that_filled_it(tmp_path: Path) -> None:
    threads = HeldThreads()
    async with opened_file(tmp_path, threads) as database:
        database._writer.execute("PRAGMA max_page_count = 10")
        works = {"a": adding("a"), "big": adding("x" * 1_000_000), "b": adding("b"), "refused": refusing("c")}
        answers = await write_group(database, threads, works)
        assert (answers["a"], answers["b"]) == ("a", "b")
        assert isinstance(answers["big"], Unavailable)
        assert isinstance(answers["refused"], Conflict)
        assert await database.read(notes) == ["a", "b", "first"]


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_NOMEM])
@pytest.mark.parametrize(
    "statement",
    ["SAVEPOINT member", "RELEASE member", "ROLLBACK TO member", "INSERT INTO note (text) VALUES (?)", "COMMIT"],
)
async def test_a_group_that_breaks_is_run_apart(tmp_path: Path, statement: str, code: int) -> None:
    threads = HeldThreads()
    async with opened_file(tmp_path, threads) as database:
        commits = database.commits
        sabotage(database, statement, code=code, after=0 if "member" in statement else 1)
        works = {"a": adding("a"), "b": refusing("b"), "c": adding("c")}
        answers = await write_group(database, threads, works)
        assert (answers["a"], answers["c"]) == ("a", "c")
        assert isinstance(answers["b"], Conflict)
        assert await database.read(notes) == ["a", "c", "first"]
        assert database.commits - commits == 1 + 2


async def test_when_the_commit_itself_fails_nobody_hears_more_than_is_known(tmp_path: Path) -> None:
    threads = HeldThreads()
    async with opened_file(tmp_path, threads) as database:
        sabotage(database, "COMMIT", after=1)
        answers = await write_group(database, threads, {"a": adding("a"), "b": refusing("b"), "c": adding("c")})
        assert isinstance(answers["a"], OutcomeUnknown)
        assert isinstance(answers["c"], OutcomeUnknown)
        assert isinstance(answers["b"], Unavailable), "it had seen what was never committed"
        assert await database.read(notes) == ["first"]
        assert await database.write(adding("after")) == "after"


class StrangeError(BaseException):
    pass


async def test_a_fault_in_one_does_not_leave_the_others_waiting(tmp_path: Path) -> None:
    threads = HeldThreads()
    answers: list[str] = []

    def strange(_: Transaction) -> None:
        raise StrangeError

    async def faulty() -> None:
        with pytest.raises(StrangeError):
            await database.write(strange)

    async def other(text: str) -> None:
        answers.append(await database.write(adding(text)))

    async with opened_file(tmp_path, threads) as database:
        threads.hold()
        async with trio.open_nursery() as nursery:
            for write in (partial(other, "a"), faulty, partial(other, "b"), partial(other, "c")):
                nursery.start_soon(write)
                await wait_all_tasks_blocked()
            threads.release()
        assert answers == ["a", "b", "c"]
        assert await database.read(notes) == ["a", "b", "c"]


async def test_the_same_in_real_threads(tmp_path: Path) -> None:
    async with opened_file(tmp_path, WorkerThreads()) as database:
        commits = database.commits
        texts = [f"{number:03}" for number in range(200)]
        async with trio.open_nursery() as nursery:
            for text in texts:
                nursery.start_soon(database.write, adding(text))
        assert await database.read(notes) == texts
        assert 1 + 200 / MAX_GROUP <= database.commits - commits < 100


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["write", "refuse", "twice", "big", "cancel early", "cancel late"]), max_size=20))
def test_what_is_acknowledged_is_there_and_nothing_else(tmp_path_factory: Any, kinds: list[str]) -> None:
    async def main(folder: Path) -> None:
        threads = HeldThreads()
        acknowledged: list[str] = []
        async with opened_file(folder, threads) as database:
            database._writer.execute("PRAGMA max_page_count = 10")
            threads.hold()
            late: list[trio.CancelScope] = []

            async def one(number: int, kind: str, scope: trio.CancelScope) -> None:
                text = {"big": "x" * 1_000_000, "twice": "same"}.get(kind, str(number))
                with scope:
                    try:
                        await database.write((refusing if kind == "refuse" else adding)(text))
                    except (Conflict, Unavailable, sqlite3.IntegrityError):
                        return
                    acknowledged.append(text)

            async with trio.open_nursery() as nursery:
                for number, kind in enumerate(kinds):
                    scope = trio.CancelScope()
                    nursery.start_soon(one, number, kind, scope)
                    await wait_all_tasks_blocked()
                    if kind == "cancel early":
                        scope.cancel()
                    if kind == "cancel late":
                        late.append(scope)
                threads.release()
                threads.hold()
                await wait_all_tasks_blocked()
                for scope in late:
                    scope.cancel()
                threads.release()
            assert await database.read(notes) == sorted(acknowledged)

    trio.run(main, tmp_path_factory.mktemp("group"))
