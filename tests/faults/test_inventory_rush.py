"""Replicas of inventory at full speed over real threads: an operation is decided once, whoever gets it first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files
from random import Random
from typing import TypeVar

import trio

from ordermgmt.clock import SystemClock
from ordermgmt.errors import Unavailable
from ordermgmt.inventory.contract import Batch, Goods, Line, Operation
from ordermgmt.inventory.domain import Key
from ordermgmt.inventory.operations import Inventory
from ordermgmt.storage import Location, open_database
from ordermgmt.threads import WorkerThreads
from tests.unit.inventory_setup import FIRST_STOCK, code, stock

T = TypeVar("T")

REPLICAS, SENDERS, ROUNDS = 2, 8, 12
BATCH = 20
KEYS = list(FIRST_STOCK)


def operation(number: int) -> Operation:
    """Make an operation that is the same whoever sends it; some ask for what there is not."""
    chance = Random(number)  # noqa: S311 - it repeats
    keys = chance.sample([*KEYS, Key("books", "none")] if number % 10 == 0 else KEYS, 3)
    return Operation(f"o{number}", tuple(Line(*key, chance.choice([-3, -2, -1, 1, 2])) for key in keys))


async def again(send: Callable[[], Awaitable[T]]) -> T:
    """Send what was surely not done once more, as its senders do: PostgreSQL finds a deadlock after a second only."""
    for _ in range(4):
        with suppress(Unavailable):
            return await send()
    return await send()


async def test_replicas_decide_colliding_batches_once(location: Location) -> None:
    migrations = files("ordermgmt.inventory") / "migrations"
    clock, threads = SystemClock(), WorkerThreads()
    answers: dict[str, set[str | None]] = defaultdict(set)
    added: Counter[Key] = Counter()

    async def send(inventory: Inventory, chance: Random, name: int) -> None:
        for turn in range(ROUNDS):
            # All of them are near the same place, so that most are somebody else's, too.
            near = range(turn * 8, turn * 8 + BATCH + 4)
            batch = [operation(number) for number in chance.sample(near, BATCH)]
            chance.shuffle(batch)
            gone = tuple(f"o{number}" for number in chance.sample(range(near.start), min(near.start, 10)))
            outcomes = await again(lambda: inventory.apply(Batch(clock.now(), tuple(batch), gone)))  # noqa: B023
            for outcome in outcomes:
                answers[outcome.id].add(code(outcome))
            key = chance.choice(KEYS)
            await again(lambda: inventory.stock_up(key, Goods(f"g{name}-{turn}", add=1)))  # noqa: B023
            added[key] += 1

    with trio.fail_after(50):
        async with (
            open_database(location, migrations, threads=threads, clock=clock) as one,
            open_database(location, migrations, threads=threads, clock=clock) as other,
        ):
            replicas = [Inventory(one), Inventory(other)]
            async with trio.open_nursery() as nursery:
                for name in range(SENDERS):
                    nursery.start_soon(send, replicas[name % REPLICAS], Random(name), name)  # noqa: S311
            left = await stock(replicas[0])  # it compares the balance of each item, too
    assert all(len(codes) == 1 for codes in answers.values())
    decided = {operation_id: codes.pop() for operation_id, codes in answers.items()}
    assert set(decided.values()) <= {None, "out-of-stock", "unknown-item"}
    assert {None, "unknown-item"} <= set(decided.values())
    expected = Counter(FIRST_STOCK) + added
    for operation_id, refusal in decided.items():
        if refusal is None:
            for line in operation(int(operation_id[1:])).lines:
                expected[Key(line.category, line.code)] += line.qty
    assert left == dict(expected)
