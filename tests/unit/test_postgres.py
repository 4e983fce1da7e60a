"""The database seam on PostgreSQL: replicas, locks, lost connections and lost answers."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
import trio

from ordermgmt.errors import Conflict, OutcomeUnknown, Unavailable
from ordermgmt.storage import PostgresSchema, Transaction
from ordermgmt.storage.postgres import READERS, PostgresDatabase
from ordermgmt.storage.postgres_connection import PostgresConnection
from ordermgmt.threads import Threads, WorkerThreads
from tests.postgres_setup import END_OTHERS, PostgresServer
from tests.unit.storage_setup import HeldThreads, add, adding, notes, opened


@asynccontextmanager
async def replica(location: PostgresSchema, threads: Threads | None = None) -> AsyncIterator[PostgresDatabase]:
    async with opened(location, threads) as database:
        assert isinstance(database, PostgresDatabase)
        yield database


def end_backends(location: PostgresSchema) -> int:
    """Break every connection to the database, and return how many there were."""
    with psycopg.connect(location.dsn, autocommit=True) as connection:
        return len(connection.execute(END_OTHERS).fetchall())


async def test_replicas_share_a_schema(postgres_schema: PostgresSchema) -> None:
    async with replica(postgres_schema) as one, replica(postgres_schema) as other:
        await one.write(adding("a"))
        assert await other.read(notes) == ["a"]
        await other.write(adding("b"))
        assert await one.read(notes) == ["a", "b"]


async def test_many_replicas_may_start_at_once(postgres_schema: PostgresSchema) -> None:
    done = []

    async def start() -> None:
        async with replica(postgres_schema, WorkerThreads()) as database:
            done.append(await database.read(notes))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(start)
    assert done == [[]] * 5


async def test_a_locked_row_is_waited_for(postgres_schema: PostgresSchema) -> None:
    """Without the lock both would count from the same number."""

    def count_up(transaction: Transaction) -> None:
        ((text,),) = transaction.execute(f"SELECT text FROM note{transaction.dialect.lock}").rows  # noqa: S608 - constant
        transaction.execute("UPDATE note SET text = ?", (str(int(text) + 1),))

    async with replica(postgres_schema, WorkerThreads()) as one, replica(postgres_schema, WorkerThreads()) as other:
        await one.write(adding("0"))
        async with trio.open_nursery() as nursery:
            for _ in range(25):
                nursery.start_soon(one.write, count_up)
                nursery.start_soon(other.write, count_up)
        assert await one.read(notes) == ["50"]


async def test_a_deadlock_of_two_replicas_passes(postgres_schema: PostgresSchema) -> None:
    both = threading.Barrier(2)
    attempts = []

    def lock(first: str, second: str) -> Callable[[Transaction], str]:
        def work(transaction: Transaction) -> str:
            attempts.append(first)
            for text in (first, second):
                sql = f"SELECT 1 FROM note WHERE text = ?{transaction.dialect.lock}"  # noqa: S608 - constant
                assert transaction.execute(sql, (text,)).rows
                if len(attempts) <= 2 and text == first:
                    both.wait(5)
            return add(transaction, first + second)

        return work

    async with replica(postgres_schema, WorkerThreads()) as one, replica(postgres_schema, WorkerThreads()) as other:
        await one.write(adding("a"))
        await one.write(adding("b"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.write, lock("a", "b"))
            nursery.start_soon(other.write, lock("b", "a"))
        assert await one.read(notes) == ["a", "ab", "b", "ba"]
    assert len(attempts) == 3


async def test_a_lock_that_is_not_granted_fails_one_transaction_alone(postgres_schema: PostgresSchema) -> None:
    def lock(transaction: Transaction) -> None:
        transaction.execute("SET LOCAL lock_timeout = '20ms'")
        sql = f"SELECT 1 FROM note WHERE text = 'held'{transaction.dialect.lock}"  # noqa: S608 - constant
        transaction.execute(sql)

    threads = HeldThreads()
    async with replica(postgres_schema, threads) as database:
        await database.write(adding("held"))
        with psycopg.connect(postgres_schema.dsn) as holder:
            holder.execute("SELECT 1 FROM test.note WHERE text = 'held' FOR UPDATE")
            with pytest.raises(Unavailable):
                await database.write(lock)
            assert await database.write(adding("other")) == "other"
        await database.write(lock)


async def test_members_fail_alone_and_share_a_commit(postgres_schema: PostgresSchema) -> None:
    threads = HeldThreads()
    answers: dict[str, object] = {}

    async with replica(postgres_schema, threads) as database:

        async def write(name: str, work: Callable[[Transaction], Any]) -> None:
            try:
                answers[name] = await database.write(work)
            except Exception as error:  # noqa: BLE001 - looked at below
                answers[name] = error

        def refuse(transaction: Transaction) -> None:
            add(transaction, "refused")
            raise Conflict("no")

        works = {"a": adding("a"), "no": refuse, "b": adding("b"), "twice": adding("a"), "c": adding("c")}
        commits = database.commits
        threads.hold()
        async with trio.open_nursery() as nursery:
            for name, work in {"first": adding("first"), **works}.items():
                nursery.start_soon(write, name, work)
                await trio.testing.wait_all_tasks_blocked()
            threads.release()
        assert [answers[name] for name in "abc"] == ["a", "b", "c"]
        assert isinstance(answers["no"], Conflict)
        assert isinstance(answers["twice"], psycopg.errors.UniqueViolation)
        assert await database.read(notes) == ["a", "b", "c", "first"]
        assert database.commits - commits == 2


async def test_a_broken_connection_costs_nobody_an_answer(postgres_schema: PostgresSchema) -> None:
    async with replica(postgres_schema, WorkerThreads()) as database:
        await database.write(adding("a"))
        async with trio.open_nursery() as nursery:
            for _ in range(2 * READERS):
                nursery.start_soon(database.read, notes)
        assert end_backends(postgres_schema) >= 1
        assert await database.read(notes) == ["a"]
        assert await database.write(adding("b")) == "b"


async def test_a_connection_lost_within_a_transaction_lets_it_run_again(postgres_schema: PostgresSchema) -> None:
    attempts = []

    def lose(transaction: Transaction) -> str:
        attempts.append(add(transaction, "a"))
        if len(attempts) == 1:
            end_backends(postgres_schema)
        return add(transaction, "b")

    async with replica(postgres_schema) as database:
        assert await database.write(lose) == "b"
        assert await database.read(notes) == ["a", "b"]
    assert len(attempts) == 2


class LosesCommit(PostgresConnection):
    """Loses the connection at the first COMMIT: before the server has it, or before its answer is back."""

    sent = True
    losses = 1

    def commit(self) -> None:
        if LosesCommit.losses:
            LosesCommit.losses -= 1
            real = self._connection
            if LosesCommit.sent:
                real.execute("COMMIT")
            end_backends(PostgresSchema(real.info.dsn, "test"))
        super().commit()


@pytest.mark.parametrize("sent", [True, False])
async def test_a_lost_answer_to_commit_is_asked_for_again(
    postgres_schema: PostgresSchema, monkeypatch: pytest.MonkeyPatch, *, sent: bool
) -> None:
    attempts = []

    def work(transaction: Transaction) -> str:
        attempts.append(1)
        return add(transaction, "a")

    monkeypatch.setattr(LosesCommit, "sent", sent)
    monkeypatch.setattr(LosesCommit, "losses", 1)
    async with replica(postgres_schema) as database:
        database._writes._group._begin = lambda: LosesCommit(database._pool, None)
        assert await database.write(work) == "a"
        assert await database.read(notes) == ["a"]
    assert len(attempts) == (1 if sent else 2)


async def test_without_anybody_to_ask_the_outcome_is_unknown(
    postgres_schema: PostgresSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NobodyToAsk(LosesCommit):
        def commit(self) -> None:
            self._id = "3"  # long before anything that the server remembers
            super().commit()

    monkeypatch.setattr(LosesCommit, "sent", True)
    monkeypatch.setattr(LosesCommit, "losses", 1)
    async with replica(postgres_schema) as database:
        database._writes._group._begin = lambda: NobodyToAsk(database._pool, None)
        with pytest.raises(OutcomeUnknown):
            await database.write(adding("a"))
        assert await database.read(notes) == ["a"]


async def test_a_crash_of_the_server_loses_nothing_acknowledged(
    postgres: PostgresServer, postgres_schema: PostgresSchema
) -> None:
    acknowledged: list[str] = []
    refused: list[Exception] = []
    enough = trio.Event()
    async with replica(postgres_schema, WorkerThreads()) as database:

        async def write(name: str) -> None:
            for number in range(40):
                text = f"{name}{number:02}"
                try:
                    acknowledged.append(await database.write(adding(text)))
                    if len(acknowledged) == 20:
                        enough.set()
                except (Unavailable, OutcomeUnknown) as error:
                    refused.append(error)

        async with trio.open_nursery() as nursery:
            for name in "abcdefgh":
                nursery.start_soon(write, name)
            await enough.wait()
            await trio.to_thread.run_sync(postgres.restart)
        assert await database.write(adding("after")) == "after"
        kept = await database.read(notes)
    assert set(acknowledged) <= set(kept)
    unknown = sum(isinstance(error, OutcomeUnknown) for error in refused)
    assert len(set(kept) - {*acknowledged, "after"}) <= unknown


async def test_a_slow_statement_is_ended(postgres_schema: PostgresSchema) -> None:
    def slow(transaction: Transaction) -> None:
        transaction.execute("SET LOCAL statement_timeout = '10ms'")
        transaction.execute("SELECT pg_sleep(5)")

    async with replica(postgres_schema) as database:
        with pytest.raises(Unavailable):
            await database.write(slow)
        limits = await database.write(lambda transaction: transaction.execute("SHOW statement_timeout").rows)
    assert limits == [("5s",)]
