"""Idempotency-Key: the same request twice is one change, and has one answer."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.errors import InvalidRequest, OutcomeUnknown
from ordermgmt.order.domain import Actor
from ordermgmt.order.idempotency import KEPT, fingerprint, parse
from tests.unit.order_setup import (
    ADMIN,
    ALICE,
    Gate,
    answer_lost,
    at_once,
    create,
    request_lost,
    result,
    shop,
    unreachable,
    update,
)

REUSED = (422, "idempotency-key-reused")


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ([], None),
        (['"abc"'], "abc"),
        (["abc"], "abc"),
        ([' "a b" '], "a b"),
        ([r'"a\"b\\c"'], r'a"b\c'),
        (["8e03978e-40d5-43dd-bc93-6894a57f9324"], "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (["x" * 255], "x" * 255),
        (['"' + "x" * 255 + '"'], "x" * 255),
    ],
)
def test_keys(sent: list[str], key: str | None) -> None:
    assert parse(sent) == key


@pytest.mark.parametrize(
    "sent",
    [
        [""],
        ['""'],
        ["x" * 256],
        ['"abc'],
        ['abc"'],
        ["a b"],
        ["a,b"],
        ['"a", "b"'],
        ["a;b"],
        ['"a";b=1'],
        [r'"a\b"'],
        ['"ä"'],
        ["ä"],
        ['"a\x00"'],
        ["a\\b"],
        ["a", "b"],
        ["a", "a"],
    ],
)
def test_what_is_no_key(sent: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="invalid-idempotency-key"):
        parse(sent)


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=255))
def test_every_printable_key_can_be_quoted(key: str) -> None:
    quoted = key.replace("\\", "\\\\").replace('"', '\\"')
    assert parse([f'"{quoted}"']) == key


def test_the_fingerprint_is_of_target_and_meaning() -> None:
    same = msgspec.json.decode(b'{ "items": [{"qty": 1, "code": "a", "category": "b"}], "name": "N" }')
    assert fingerprint("", create("1")) == fingerprint("", create("1"))
    assert fingerprint("", create("1")) != fingerprint("", create("2"))
    assert fingerprint("1", update()) != fingerprint("2", update())
    assert fingerprint("1") != fingerprint("2")
    body = type(update())
    assert fingerprint("1", msgspec.convert(same, body)) == fingerprint(
        "1", msgspec.convert({"name": "N", "items": [{"category": "b", "code": "a", "qty": 1}]}, body)
    )


async def test_the_same_create_again_has_the_same_answer(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        first = await one.orders.create(create(None), ALICE, "k")
        await one.orders.update(first.order_id, update(qty=2), ADMIN, None)
        again = await one.orders.create(create(None), ALICE, "k")
        assert again == first  # minted id and version included, although the order changed since
        assert await one.stock.qty() == 8
        assert await result(one.orders.create(create(None, qty=2), ALICE, "k")) == REUSED
        assert (await one.orders.create(create(None), ALICE, "other")).order_id != first.order_id


async def test_updates_and_cancels_replay_too(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        first = await one.orders.create(create(), ALICE)
        tag = f'"{first.version}"'
        done = await one.orders.update("1", update(qty=3), ADMIN, tag, "k")
        assert await one.orders.update("1", update(qty=3), ADMIN, tag, "k") == done
        renamed = await one.orders.update("1", update(qty=3, name="Renamed"), ADMIN, None, "name")
        assert await one.orders.update("1", update(qty=3, name="Renamed"), ADMIN, None, "name") == renamed
        gone = await one.orders.cancel("1", ADMIN, None, "k")  # a key is one of its method
        assert await one.orders.cancel("1", ADMIN, None, "k") == gone
        assert await result(one.orders.cancel("2", ADMIN, None, "k")) == REUSED
        assert (await one.held(), await one.stock.qty()) == (None, 10)


async def test_a_key_is_its_principals(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        places = [
            (await one.orders.create(create(None), actor, "k")).order_id
            for actor in (ALICE, ADMIN, Actor("other", "alice"))
        ]
        assert len(set(places)) == 3
        through_another = Actor(ALICE.iss, ALICE.sub, "client:gateway")
        assert (await one.orders.create(create(None), through_another, "k")).order_id == places[0]


async def test_who_asks_while_it_runs_joins(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    gate = Gate()
    async with shop(tmp_path) as one:
        one.stock.script.append(gate)
        versions: list[int] = []

        async def ask() -> None:
            versions.append((await one.orders.create(create(), ALICE, "k")).version)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
            await gate.reached.wait()
            assert await result(one.orders.create(create(qty=2), ALICE, "k")) == REUSED
            at = trio.current_time()
            gate.opened.set()
        assert trio.current_time() == at
        assert len(versions) == 5
        assert len(set(versions)) == 1
        assert await one.stock.qty() == 9


async def test_who_was_answered_504_learns_the_outcome_with_the_same_key(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as one:
        one.stock.script.append(answer_lost)
        one.stock.always = request_lost
        assert await result(one.orders.create(create(), ALICE, "k")) == (504, "outcome-unknown")
        assert await result(one.orders.create(create(), ALICE, "k")) == (504, "outcome-unknown")
        one.stock.always = None
        assert await result(one.orders.create(create(), ALICE, "k")) == (200, "")
        assert (await one.held(), await one.stock.qty()) == (1, 9)
        assert len(await one.states()) == 1


@pytest.mark.parametrize("given_up", [False, True])
async def test_503_frees_the_key(given_up: bool, tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:  # noqa: FBT001
    async with shop(tmp_path) as one:
        if given_up:
            one.stock.always = request_lost
            assert await result(one.orders.create(create(), ALICE, "k")) == (504, "outcome-unknown")
            await trio.sleep(61)
            one.stock.always = None
            joined = await at_once(one.orders.create(create(), ALICE, "k"), one.orders.create(create(), ALICE, "k"))
            assert joined == [(503, "operation-abandoned")] * 2
        else:
            one.stock.script.append(unreachable)
            assert await result(one.orders.create(create(), ALICE, "k")) == (503, "inventory-unreachable")
        assert await one.states() == ["abandoned"]
        assert await result(one.orders.create(create(qty=2), ALICE, "k")) == (200, "")
        assert (await one.held(), await one.stock.qty()) == (2, 8)


async def test_who_joins_what_is_given_up_gets_503(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        one.stock.always = request_lost
        await result(one.orders.create(create(), ALICE, "k"))
        await trio.sleep(55)
        (entry,) = await one.orders.journal.unfinished()
        one.stock.always = None
        await one.orders.journal.retry(entry.id)
        assert await result(one.orders.create(create(), ALICE, "k")) == (503, "operation-abandoned")
        assert await one.stock.qty() == 10


async def test_final_refusals_are_replayed(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        assert await result(one.orders.create(create(qty=11), ALICE, "short")) == (409, "out-of-stock")
        assert await result(one.orders.update("1", update(), ADMIN, None, "gone")) == (404, "no-such-order")
        first = await one.orders.create(create(), ALICE)
        assert await result(one.orders.create(create(), ALICE, "exists")) == (409, "order-exists")
        assert await result(one.orders.update("1", update(), ADMIN, '"0"', "stale")) == (412, "version-mismatch")
        await one.orders.cancel("1", ADMIN, f'"{first.version}"')
        assert await result(one.orders.create(create(qty=11), ALICE, "short")) == (409, "out-of-stock")
        assert await result(one.orders.create(create(), ALICE, "exists")) == (409, "order-exists")
        again = await one.orders.create(create(), ALICE, "new")
        assert await result(one.orders.update("1", update(), ADMIN, None, "gone")) == (404, "no-such-order")
        assert await result(one.orders.update("1", update(), ADMIN, f'"{again.version}"', "stale")) == (
            412,
            "version-mismatch",
        )


async def test_operation_in_progress_is_not_kept_for_a_key(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    gate = Gate()
    async with shop(tmp_path) as one:
        await one.orders.create(create(), ALICE)
        one.stock.script.append(gate)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.orders.update, "1", update(qty=2), ADMIN, None)
            await gate.reached.wait()
            assert await result(one.orders.cancel("1", ADMIN, None, "k")) == (409, "operation-in-progress")
            gate.opened.set()
        assert await result(one.orders.cancel("1", ADMIN, None, "k")) == (200, "")


async def test_a_key_is_kept_for_a_day_after_its_change(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        one.orders.stop_recovery()
        first = await one.orders.create(create(None), ALICE, "k")
        await trio.sleep(KEPT - 1)
        assert await one.orders.create(create(None), ALICE, "k") == first
        await trio.sleep(2)
        second = await one.orders.create(create(None, qty=2), ALICE, "k")
        assert second.order_id != first.order_id
        assert await one.orders.create(create(None, qty=2), ALICE, "k") == second


async def test_a_key_does_not_expire_while_its_change_has_no_outcome(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as one:
        one.stock.always = request_lost
        await result(one.orders.create(create(), ALICE, "k"))
        one.orders.stop_recovery()
        await trio.sleep(2 * KEPT)
        with pytest.raises(OutcomeUnknown):
            await one.orders.create(create(), ALICE, "k")
        assert await one.states() == ["pending"]


async def test_expired_entries_go_a_few_at_a_time(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        for number in range(9):
            await one.orders.create(create(str(number)), ALICE, str(number))
        await trio.sleep(5)
        one.orders.stop_recovery()
        await trio.sleep(KEPT)
        left = []
        for number in range(3):
            await one.orders.cancel(str(number), ADMIN, None)
            left.append((await one.rows("SELECT COUNT(*) FROM journal WHERE kind = 'create'"))[0][0])
        assert left == [5, 1, 0]
