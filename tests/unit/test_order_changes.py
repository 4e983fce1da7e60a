"""The transactions of a change, one by one: whoever comes second changes nothing."""

from __future__ import annotations

from pathlib import Path

import trio
from msgspec.structs import replace

from ordermgmt.errors import Conflict, OutcomeUnknown, Unavailable
from ordermgmt.order import changes, journal_store
from ordermgmt.order.domain import Actor
from ordermgmt.order.journal import Entry, State, Verdict
from tests.unit.order_setup import ALICE, Replica, create, request_lost, result, shop

APPLIED = Verdict(State.APPLIED, decided=True)
REFUSED = Verdict(State.REFUSED, Conflict("out-of-stock"), decided=True)
ABANDONED = Verdict(State.ABANDONED, Unavailable("operation-abandoned"), decided=True)
NEVER_LEFT = Verdict(State.ABANDONED, Unavailable("inventory-unreachable"))
POSTPONED = Verdict(State.PENDING, OutcomeUnknown("inventory-no-answer"))
STUCK = Verdict(State.STUCK, Conflict("operation-mismatch"))


async def pending(one: Replica, actor: Actor = ALICE) -> Entry:
    """Leave one create pending, its caller gone and its lease over."""
    one.orders.stop_recovery()
    one.stock.always = request_lost
    with trio.move_on_after(0.5):
        await result(one.orders.create(create(), actor))
    await trio.sleep(20)
    (entry,) = await one.orders.journal.unfinished()
    return entry


async def conclude(one: Replica, entry: Entry, verdict: Verdict) -> Entry:
    return await one.database.write(lambda tx: changes.conclude(tx, entry, verdict, tx.now()))


async def everything(one: Replica) -> list[object]:
    return [await one.rows(f"SELECT * FROM {table}") for table in ("journal", "orders", "changes", "counters")]  # noqa: S608


async def test_only_the_first_outcome_counts(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    for first in (APPLIED, REFUSED, ABANDONED, NEVER_LEFT):
        folder = tmp_path / f"{first.state}-{first.decided}"
        folder.mkdir()
        async with shop(folder) as one:
            entry = await pending(one)
            assert (await conclude(one, entry, first)).state is first.state
            assert await one.held() == (1 if first is APPLIED else None)
            before = await everything(one)
            for later in (APPLIED, REFUSED, ABANDONED, NEVER_LEFT, POSTPONED, STUCK):
                await trio.sleep(1)
                settled = await conclude(one, entry, later)
                assert settled.state is first.state
                assert str(settled.reason) == str(first.reason)
                assert await everything(one) == before


async def test_who_takes_a_change_up_after_a_crash_still_knows_who_wanted_it(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    actor = Actor("sts", "alice", "client:gateway", "Alice A.")
    async with shop(tmp_path) as one:
        assert (await pending(one, actor)).actor == actor
    async with shop(tmp_path) as one:
        await trio.sleep(20)
        (change,) = await one.orders.history("1", ALICE, all_orders=False)
        assert change.actor == actor


async def test_what_we_decide_ourselves_needs_the_lease(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        mine = await pending(one)
        (theirs,) = await one.database.write(lambda tx: journal_store.claim(tx, "they", tx.now(), lease=15, limit=10))
        assert (theirs.holder, theirs.attempt) == ("they", mine.attempt + 1)
        before = await everything(one)
        for verdict in (NEVER_LEFT, POSTPONED, STUCK):
            for former in (mine, replace(theirs, holder=mine.holder), replace(theirs, attempt=mine.attempt)):
                assert (await conclude(one, former, verdict)).state is State.PENDING
                assert await everything(one) == before
        assert (await conclude(one, theirs, STUCK)).state is State.STUCK
        assert (await conclude(one, mine, APPLIED)).state is State.APPLIED  # true whoever heard it


async def test_an_entry_is_claimed_once_and_not_before_its_time(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        entry = await pending(one)

        async def claim(holder: str) -> list[str]:
            claimed = await one.database.write(lambda tx: journal_store.claim(tx, holder, tx.now(), lease=15, limit=10))
            return [each.holder for each in claimed]

        assert await claim("a") == ["a"]
        assert await claim("b") == []
        await trio.sleep(14.9)
        assert await claim("b") == []
        await trio.sleep(0.2)
        assert await claim("b") == ["b"]
        await conclude(one, entry, APPLIED)
        await trio.sleep(20)
        assert await claim("a") == []


async def test_an_intent_whose_commit_had_no_answer_is_found_again(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """A transaction function may run again after it was committed: it is the same change then."""
    async with shop(tmp_path) as one:
        write = one.database.write

        async def twice(fn: object) -> object:
            await write(fn)  # type: ignore[arg-type]
            return await write(fn)  # type: ignore[arg-type]

        one.database.write = twice  # type: ignore[method-assign, assignment]
        for qty, name in ((3, "One"), (3, "Renamed")):
            done = await (
                one.orders.create(create(qty=qty), ALICE)
                if name == "One"
                else one.orders.update("1", create(qty=qty, name=name), ALICE, None)  # type: ignore[arg-type]
            )
            assert (await one.orders.read("1")).version == done.version
        await one.orders.cancel("1", ALICE, None)
        assert (await one.held(), await one.stock.qty()) == (None, 10)
        assert await one.states() == ["applied"] * 3
        assert await one.rows("SELECT action FROM changes ORDER BY version") == [
            ("created",),
            ("updated",),
            ("cancelled",),
        ]
