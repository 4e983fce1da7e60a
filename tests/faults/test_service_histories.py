"""Histories over real HTTP and mTLS: clients, crashes of either service, and a network that fails between them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from ordermgmt.config import Config, StsConfig
from ordermgmt.net import Address
from ordermgmt.net.outbound import Interrupted, Response, Unreachable
from ordermgmt.security import revocation_stream
from ordermgmt.sts import revocations
from ordermgmt.supervision.health import State
from ordermgmt.testing import faults
from ordermgmt.testing.harness import RunningSystem, running_system
from ordermgmt.testing.memory import MemoryNetwork
from tests.faults.bomb import Bomb, arm
from tests.faults.depth import folder_in_memory, sized
from tests.faults.ledger import Ledger, Observer, Told
from tests.unit.order_setup import BOOK

Trouble = Callable[[MemoryNetwork, Address], AbstractContextManager[None]]
TROUBLES: dict[str, Trouble] = {
    "refuse": faults.refuse,
    "lose requests": partial(faults.lose, direction="requests"),
    "lose answers": partial(faults.lose, direction="answers"),
    "stall requests": partial(faults.stall, direction="requests"),
    "stall answers": partial(faults.stall, direction="answers"),
    "delay requests": partial(faults.delay, direction="requests", seconds=20.0),
    "delay answers": partial(faults.delay, direction="answers", seconds=20.0),
    "slow answers": partial(faults.delay, direction="answers", seconds=4.0),
}
CONFIG = Config(sts=StsConfig(access_token_lifetime=86400, exchanged_token_lifetime=86400))
CHANGE = "CASE c.action WHEN 'cancelled' THEN j.idempotency_key ELSE c.name END"
"""A client names its order after the request, and its cancel by the key."""


@dataclass(frozen=True)
class Change:
    kind: str
    order_id: str
    qty: int
    key: str | None
    service: str
    leaves: float


@dataclass(frozen=True)
class Again:
    service: str


@dataclass(frozen=True)
class Fault:
    """The network to a service fails for some time."""

    kind: str
    service: str
    seconds: float


@dataclass(frozen=True)
class Crash:
    service: str


@dataclass(frozen=True)
class Pause:
    seconds: float


Step = Change | Again | Fault | Crash | Pause

doors = st.sampled_from(["order", "order", "gateway"])
inner = st.sampled_from(["inventory", "inventory", "order"])
changes = st.builds(
    Change,
    st.sampled_from(["create", "create", "update", "update", "cancel"]),
    st.sampled_from(["1", "1", "2"]),
    st.sampled_from([1, 3, 5, 8]),
    st.sampled_from([None, None, "k"]),
    doors,
    st.sampled_from([60.0, 60.0, 60.0, 0.0, 2.0]),
)
pauses = st.builds(Pause, st.sampled_from([0.001, 0.1, 6.0, 16.0, 62.0]))
steps = st.one_of(
    changes,
    changes,
    changes,
    st.builds(Again, doors),
    st.builds(Fault, st.sampled_from([*TROUBLES, "cut"]), inner, st.sampled_from([1.0, 12.0, 30.0])),
    st.builds(Crash, inner),
    pauses,
    pauses,
)


def life(order_id: str, qty: int, service: str) -> list[Step]:
    """A whole life of an order, as long as nothing is in its way."""
    kinds = ("cancel", "create", "update", "cancel", "create")
    return [
        step
        for more, kind in enumerate(kinds)
        for step in (Change(kind, order_id, qty + more, None, service, 60.0), Pause(0.1))
    ]


lives = st.builds(life, st.sampled_from(["1", "2"]), st.sampled_from([1, 5, 8]), doors)
histories = st.lists(st.one_of(lives, *[steps.map(lambda step: [step])] * 6), min_size=6, max_size=18).map(
    lambda scenes: [step for scene in scenes for step in scene]
)


class Players:
    """Two clients of one principal and all that goes wrong around them."""

    def __init__(
        self, system: RunningSystem, network: MemoryNetwork, bombs: dict[str, Bomb], nursery: trio.Nursery
    ) -> None:
        self.system, self.network, self.bombs, self.nursery = system, network, bombs, nursery
        self.tokens: dict[str, str] = {}
        self.ledger = Ledger()
        self.last: Change | None = None
        self.count = 0
        self.under_way = 0
        self.met: set[str] = set()

    async def take(self, step: Step) -> None:
        match step:
            case Change():
                self.ask(step)
            case Again(service) if self.last is not None:
                self.ask(Change(**{**vars(self.last), "service": service, "leaves": 60.0}))
            case Fault("cut", service):
                faults.cut(self.network, self.system.address(service))
            case Fault():
                self.nursery.start_soon(self.fail, step)
                await trio.sleep(0.001)
            case Crash(service):
                self.bombs[service].goes_off.set()
                await trio.sleep(13)  # five crashes a minute are one too many
            case Pause(seconds):
                await trio.sleep(seconds)

    async def fail(self, fault: Fault) -> None:
        self.under_way += 1
        with TROUBLES[fault.kind](self.network, self.system.address(fault.service)):
            await trio.sleep(fault.seconds)
        self.under_way -= 1

    def ask(self, change: Change) -> None:
        self.last = change
        self.count += 1
        self.under_way += 1
        self.nursery.start_soon(self.change, change, f"n{self.count}")

    async def change(self, change: Change, unique: str) -> None:
        tag = unique if change.key is None else f"{change.kind}-{change.order_id}-{change.qty}"
        key = change.key
        if change.kind == "cancel":
            key = tag = unique if key is None else f"{key}-{change.order_id}"
        if change.key is not None:
            self.ledger.keyed.add(tag)
        self.ledger.if_match[tag].add(None)
        begun, status, code, version = trio.current_time(), 0, "", None
        with trio.move_on_after(change.leaves):
            try:
                answer = await self.send(change, tag, key)
            except (Interrupted, Unreachable):
                pass
            else:
                status, code, version = _read(answer)
        self.met.add(code or f"{change.kind} {status}")
        self.ledger.answers[tag].append(Told(begun, trio.current_time(), status, code, version))
        self.under_way -= 1

    async def send(self, change: Change, name: str, key: str | None) -> Response:
        target = "/order" if change.kind == "create" else f"/order/{change.order_id}"
        method = {"create": "POST", "update": "PUT", "cancel": "DELETE"}[change.kind]
        body: dict[str, Any] = {"name": name, "items": [{**BOOK._asdict(), "qty": change.qty}]}
        if change.kind == "create":
            body["id"] = change.order_id
        return await self.system.request(
            change.service,
            method,
            target,
            token=self.tokens[change.service],
            json=None if change.kind == "cancel" else body,
            headers=[("idempotency-key", key)] if key is not None else [],
        )

    async def settle(self) -> None:
        while self.under_way:  # noqa: ASYNC110 - as simple as can be, and this time costs nothing
            await trio.sleep(5)
        await trio.sleep(120)
        assert {health.state for health in self.system.suite.board.snapshot().values()} == {State.RUNNING}


def _read(answer: Response) -> tuple[int, str, int | None]:
    if answer.status < 300:
        tag = answer.headers.get("etag")
        return answer.status, "", int(tag.strip('"')) if tag is not None else None
    return answer.status, str(msgspec.json.decode(answer.content)["type"]).rpartition(":")[2], None


async def play(history: list[Step], bombs: dict[str, Bomb], template: Path, met: set[str]) -> None:
    network = MemoryNetwork()
    with folder_in_memory() as folder:
        shutil.copytree(template, folder, dirs_exist_ok=True)
        async with running_system(folder, network=network, config=CONFIG) as system, trio.open_nursery() as nursery:
            players = Players(system, network, bombs, nursery)
            players.tokens["order"] = await system.order_token("admin-app")
            players.tokens["gateway"] = await system.token("admin-app")
            files = [system.location("order"), system.location("inventory")]
            observer = Observer(*[file for file in files if isinstance(file, Path)])
            try:
                for step in history:
                    await players.take(step)
                    observer.check()
                await players.settle()
                observer.check()
                assert not observer.states().keys() & {"pending", "stuck"}
                players.ledger.check(observer.changes(CHANGE), observer.live())
            finally:
                observer.close()
            met |= players.met


async def prepare(folder: Path) -> None:
    async with running_system(folder, config=CONFIG):
        pass


@pytest.mark.slow
def test_any_history_over_http(pytestconfig: pytest.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if pytestconfig.getoption("--database") != "sqlite":
        pytest.skip("it looks into the files")
    met: set[str] = set()
    trio.run(prepare, tmp_path, clock=MockClock(autojump_threshold=0))

    @sized(pytestconfig, examples=25)
    @given(histories)
    def check(history: list[Step]) -> None:
        with monkeypatch.context() as patch:
            # Nothing is revoked here, and the virtual time of all histories has many seconds to look at.
            patch.setattr(revocations, "POLL", 10.0)
            patch.setattr(revocations, "HEARTBEAT", 20.0)
            patch.setattr(revocation_stream, "SILENCE", 60.0)
            bombs = {name: arm(name, patch) for name in ("order", "inventory")}
            trio.run(play, history, bombs, tmp_path, met, clock=MockClock(autojump_threshold=0))

    check()
    assert sorted(MET - met) == []


MET = {
    "create 201", "update 200", "cancel 200", "create 0", "order-exists", "no-such-order", "out-of-stock",
    "operation-in-progress", "outcome-unknown",
}  # fmt: skip
"""What the histories of every run come across."""
