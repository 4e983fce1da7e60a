"""Rounds: load, a fault in the middle of it, recovery, and a look at the books."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from ordermgmt.errors import OutcomeUnknown, Unavailable
from ordermgmt.ids import new_id
from ordermgmt.inventory.contract import Goods
from ordermgmt.inventory.domain import Key
from ordermgmt.inventory.operations import Inventory
from tests.crash.books import Books, drift
from tests.crash.deployment import SERVICES, Deployment
from tests.crash.load import Load, doors
from tests.crash.registration import Secret

__all__ = ["VICTIMS", "Figures", "Rounds"]

VICTIMS = ("suite", *SERVICES, "replica", "pause-order", "pause-inventory")
"""`suite` is everything at once. A pause is no kill: the process is stopped for longer than a lease, then goes on."""
RESTARTS = 4
"""Kills of one service after which the suite is killed instead: its supervisor gives up at more than 5 a minute."""
SETTLED_WITHIN = 25.0
SHORT = 15
"""Pieces of an item below which more are added: sooner or later than some order needs them."""
QUIET_LOOKS = 2
"""Looks in a row that find nothing under way: a request may be on its way between two processes in the first."""


@dataclass(slots=True)
class Figures:
    """What was counted."""

    kills: Counter[str] = field(default_factory=Counter)
    pauses: Counter[str] = field(default_factory=Counter)
    unfinished: Counter[str] = field(default_factory=Counter)
    """Kills after which the journal held an unfinished entry, by victim."""
    entries: int = 0
    """Unfinished entries after kills, together."""
    recovery: list[float] = field(default_factory=list)
    """Seconds from each fault until all was ready and settled."""
    findings: Counter[str] = field(default_factory=Counter)


class Rounds:
    """Runs rounds against a deployment; `restart_postgres` crashes and restarts the database server."""

    def __init__(
        self,
        deployment: Deployment,
        books: Books,
        stock: Inventory,
        secret: Secret,
        *,
        clients: int,
        rng: random.Random,
        restart_postgres: Callable[[], None] | None = None,
    ) -> None:
        self.figures = Figures()
        self.load = Load(deployment.folder, rng)
        self._deployment = deployment
        self._books = books
        self._stock = stock
        self._secret = secret
        self._clients = clients
        self._rng = rng
        self._restart_postgres = restart_postgres
        self._restocks: set[str] = set()
        self._since_start: Counter[str] = Counter()

    async def run(self, victim: str) -> list[str]:
        """Let one victim die, or pause, under load; return a line for everything that is wrong then."""
        if victim in SERVICES:
            self._since_start[victim] += 1
            victim = victim if self._since_start[victim] <= RESTARTS else "suite"
        if victim == "suite":
            self._since_start.clear()
        stop = trio.Event()
        async with self.load.open_http() as http:
            open_doors = await doors(self._deployment, self._secret, http)
            async with trio.open_nursery() as nursery:
                for number in range(self._clients):
                    nursery.start_soon(self.load.client, f"c{number}", http, open_doors, stop)
                nursery.start_soon(self._restock, stop)
                await trio.sleep(self._rng.uniform(0.15, 0.5))
                began = time.monotonic()
                await self._strike(victim)
                await trio.sleep(self._rng.uniform(0.1, 0.5))
                stop.set()
        await self._deployment.start()
        unsettled = await self._settle()
        self.figures.recovery.append(time.monotonic() - began)
        return unsettled or await self._audit()

    async def _strike(self, victim: str) -> None:
        deployment = self._deployment
        if victim.startswith("pause-"):
            self.figures.pauses[victim] += 1
            with deployment.paused(victim.removeprefix("pause-")):
                # Its leases run out, others look every second and take over, and clients go on from there.
                await trio.sleep(deployment.lease + 1.0 + self._rng.uniform(0.2, 2.0))
            return
        match victim:
            case "suite":
                deployment.kill_all()
            case "replica":
                deployment.kill(deployment.members[1])
            case "postgres" if self._restart_postgres is not None:
                await trio.to_thread.run_sync(self._restart_postgres)
            case _:
                deployment.kill_service(victim)
        self.figures.kills[victim] += 1
        left = await trio.to_thread.run_sync(self._books.unfinished)
        self.figures.unfinished[victim] += bool(left)
        self.figures.entries += len(left)

    async def _restock(self, stop: trio.Event) -> None:
        """Add goods to what runs short, with the verb that the command line uses, while all else is going on."""
        while not stop.is_set():
            # Without an answer, or with a refusal, nothing is promised; what is there is counted all the same.
            with suppress(Unavailable, OutcomeUnknown):
                for item in (await self._stock.items()).items:
                    if item.qty < SHORT:
                        goods = Goods(operation=f"restock-{new_id(self._rng.randbytes)}", add=self._rng.randint(5, 40))
                        await self._stock.stock_up(Key(item.category, item.code), goods)
                        self._restocks.add(goods.operation)
            await trio.sleep(0.1)

    async def _settle(self) -> list[str]:
        """Wait until no change is without an outcome; return those that will have none, or not in time."""
        end = time.monotonic() + SETTLED_WITHIN
        quiet = 0
        while quiet < QUIET_LOOKS:
            left = await trio.to_thread.run_sync(self._books.unfinished)
            quiet = 0 if left else quiet + 1
            if time.monotonic() > end or any(" stuck " in entry for entry in left):
                self.figures.findings["unsettled"] += len(left)
                return [f"unsettled: {entry}" for entry in left]
            await trio.sleep(0.1)
        return []

    async def _audit(self) -> list[str]:
        orders = await trio.to_thread.run_sync(self._books.orders)
        stock = await trio.to_thread.run_sync(self._books.stock)
        restocks = await trio.to_thread.run_sync(self._books.restocks)
        wrong: list[tuple[str, str]] = [(str(finding), line) for finding, line in self.load.ledger.settle(orders)]
        wrong += [("drift", line) for line in drift(orders, stock)]
        contradictions = await trio.to_thread.run_sync(self._books.contradictions)
        wrong += [("lost", f"{line}, but it was done") for line in contradictions]
        wrong += [("lost", f"{operation} was acknowledged") for operation in self._restocks - restocks]
        wrong += [("strange", f"{times} times: {answer}") for answer, times in self.load.strange.items()]
        self.load.strange.clear()
        self.figures.findings.update(kind for kind, _ in wrong)
        return [f"{kind}: {line}" for kind, line in wrong]
