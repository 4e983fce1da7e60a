"""The services start in any order, each by itself as separate programs do: every order there is, without sockets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import permutations
from pathlib import Path

import pytest
import trio

from ordermgmt.system import service_names
from ordermgmt.testing.harness import RunningSystem, running_system
from ordermgmt.testing.memory import MemoryNetwork

ORDER = {"name": "Sample", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}
STARTS_WITHIN, NOTICED_WITHIN = 10.0, 60.0
"""Virtual seconds for one start, and until all have noticed that the others are there."""


async def keep(
    name: str, folder: Path, network: MemoryNetwork, end: trio.Event, *, task_status: trio.TaskStatus[RunningSystem]
) -> None:
    async with running_system(folder, services=[name], network=network, seed=ord(name[0])) as system:
        task_status.started(system)
        await end.wait()


ORDERS = [
    # One for each first service every time, the others where there is time.
    pytest.param(order, id="-".join(order), marks=[pytest.mark.slow] if number % 6 else [])
    for number, order in enumerate(permutations(service_names()))
]


@pytest.mark.parametrize("order", ORDERS)
async def test_an_order_is_created_whoever_started_first(
    tmp_path: Path, autojump_clock: trio.abc.Clock, order: Sequence[str]
) -> None:
    network, end = MemoryNetwork(), trio.Event()
    running: dict[str, RunningSystem] = {}
    async with trio.open_nursery() as nursery:
        for name in order:
            # Its start ends before the next one begins: nobody may need whoever comes later in order to start.
            with trio.fail_after(STARTS_WITHIN):
                running[name] = await nursery.start(partial(keep, name, tmp_path, network, end))
        token = await running["sts"].token("counter-app")
        create = partial(running["gateway"].request, "gateway", "POST", "/order", token=token, json=ORDER)
        with trio.fail_after(NOTICED_WITHIN):
            while (answer := await create()).status == 503:
                assert answer.headers["content-type"] == "application/problem+json"
                await trio.sleep(0.5)
        assert answer.status == 201
        end.set()
