"""Two order services over one file, their stock, and a network between them on which anything can happen."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import trio

from ordermgmt.errors import Conflict, Error, Internal, NotFound, OutcomeUnknown, Unavailable
from ordermgmt.inventory.contract import Batch, Goods, Outcome
from ordermgmt.inventory.operations import Inventory
from ordermgmt.order import domain
from ordermgmt.order.contract import CreateOrder, UpdateOrder
from ordermgmt.order.domain import Actor
from ordermgmt.order.journal import Entry
from ordermgmt.testing.clocks import VirtualClock
from tests.faults.histories import OTHER, Act, Again, Change, Fault, Pause, Step
from tests.faults.ledger import Ledger, Observer, Told
from tests.unit.order_setup import BOOK, TIMEOUT, Replica, replica

LEASE = 1.5 * TIMEOUT
INSTANT = 0.001
SETTLED_WITHIN = 120.0
"""A minute until it is given up, a lease, a back-off, and the answer to who waits."""


@dataclass
class Post:
    """A replica, and what its next requests meet. It is away while it starts again."""

    replica: Replica | None = None
    script: deque[Fault] = field(default_factory=deque)
    crashes: trio.Event = field(default_factory=trio.Event)
    callers: set[trio.CancelScope] = field(default_factory=set)


class World:
    """Two order services over one file, their stock, and the network between them. Made anew for each history."""

    def __init__(self, folder: Path, inventory: Inventory, nursery: trio.Nursery) -> None:
        self.folder = folder
        self.inventory = inventory
        self.nursery = nursery
        self.clock = VirtualClock()
        self.posts = (Post(), Post())
        self.asked: list[Change] = []
        self.ledger = Ledger()
        self.observer: Observer
        self.inventory_runs = True
        self.lives = 0
        self.under_way = 0
        """Requests of clients without an answer, and copies on the network."""
        self.seen: dict[str, int] = {}
        self.sending: dict[str, float] = {}
        """What is at a replica that does not stand still, and until when that may be."""
        self.retried_at = -inf
        self.wrong: list[str] = []
        self.met: set[str] = set()

    async def live(self, place: int, *, task_status: trio.TaskStatus[None]) -> None:
        """Be a replica, one life after the other."""
        post = self.posts[place]
        while True:
            self.lives += 1
            async with replica(self.folder, self.inventory, self.clock, seed=self.lives) as one:
                post.crashes = trio.Event()
                post.replica = one
                one.orders._settlement._give_to_operator = self.give_up  # type: ignore[method-assign]
                one.stock.always = lambda _, batch: self.carry(post, batch)
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                await post.crashes.wait()
                post.replica = None
                while post.callers:
                    for scope in post.callers:
                        scope.cancel()
                    await trio.lowlevel.checkpoint()
            await trio.sleep(0.5)

    async def give_up(self, entry: Entry) -> None:
        self.wrong.append(f"cannot be applied: {entry}")

    async def carry(self, post: Post, batch: Batch) -> list[Outcome]:
        """Carry a request to inventory as the next fault will have it, and the answer back."""
        fault = post.script.popleft() if post.script else Fault("", 0)
        self.met.add(fault.kind)
        if fault.kind.startswith("frozen"):
            return await self._carry(post, fault, batch)
        # Whoever sends has the entry to itself, as long as its own clock does not stand still.
        end = batch.sent_at + LEASE + INSTANT
        ids = [operation.id for operation in batch.operations]
        held = any(self.sending.get(entry_id, 0) > self.clock.now() + 2 * INSTANT for entry_id in ids)
        if held and trio.current_time() > self.retried_at + LEASE:
            self.wrong.append(f"two send one of {ids} at {trio.current_time()}")
        self.sending.update(dict.fromkeys(ids, end))
        try:
            return await self._carry(post, fault, batch)
        finally:
            if self.clock.now() > end:
                self.wrong.append(f"somebody sent {ids} for longer than the lease, until {trio.current_time()}")
            for entry_id in ids:
                self.sending.pop(entry_id, None)

    async def _carry(  # noqa: C901 - one case for each fault
        self, post: Post, fault: Fault, batch: Batch
    ) -> list[Outcome]:
        match fault.kind:
            case "unreachable":
                raise Unavailable("inventory-unreachable", retry_after=1)
            case "not understood":
                raise Internal("inventory-request")
            case "lost request":
                raise OutcomeUnknown("inventory-no-answer")
            case "lost answer":
                await self.deliver(batch)
                raise OutcomeUnknown("inventory-no-answer")
            case "silent":
                await trio.sleep_forever()
            case "slow request":
                await trio.sleep(fault.seconds)
            case "slow answer":
                answer = await self.deliver(batch)
                await trio.sleep(fault.seconds)
                return answer
            case "copied":
                self.nursery.start_soon(self.copy, batch, fault.seconds)
            case "late request":
                self.nursery.start_soon(self.copy, batch, fault.seconds)
                await trio.sleep_forever()
            # The whole process stands still for longer than its lease: not even its timeouts end.
            case "frozen request":
                await self.freeze(post, fault)
                raise Unavailable("inventory-unreachable", retry_after=1)
            case "frozen answer":
                answer = await self.deliver(batch)
                await self.freeze(post, fault)
                return answer
        return await self.deliver(batch)

    async def freeze(self, post: Post, fault: Fault) -> None:
        with trio.CancelScope(shield=True), trio.move_on_after(LEASE + fault.seconds):
            await post.crashes.wait()
        if post.crashes.is_set():
            await trio.lowlevel.checkpoint()

    async def deliver(self, batch: Batch) -> list[Outcome]:
        if not self.inventory_runs:
            raise Unavailable("inventory-unreachable", retry_after=1)
        try:
            return await self.inventory.apply(batch)
        except Conflict as error:
            raise Unavailable("inventory-unavailable", error.code) from error
        finally:
            self.look()

    async def copy(self, batch: Batch, seconds: float) -> None:
        self.under_way += 1
        await trio.sleep(seconds)
        try:
            await self.deliver(batch)
            self.met.add("a copy arrived")
        except Unavailable as error:
            self.met.add(error.detail)
        self.under_way -= 1

    async def take(self, step: Step) -> None:
        match step:
            case Change():
                self.ask(step)
            case Again(back, at) if len(self.asked) >= back:
                change = self.asked[-back]
                self.ask(Change(**{**vars(change), "at": at, "leaves": None}))
            case Fault(kind, at):
                self.fault(self.posts[at], step)
            case Pause(seconds):
                await trio.sleep(seconds)
            case Act("crash", at):
                self.posts[at].crashes.set()
                await trio.sleep(0.001)
            case Act("inventory stops" | "inventory starts" as kind):
                self.inventory_runs = kind == "inventory starts"
            case Act("restock", at):
                key = (BOOK, OTHER)[at]
                await self.inventory.stock_up(key, Goods(f"goods-{self.observer.put_in[key]}-{at}", add=3))
                self.observer.put_in[key] += 3
            case Act("retry"):
                await self.retry()
        self.check()

    def fault(self, post: Post, fault: Fault) -> None:
        if not fault.kind.startswith("storage"):
            post.script.append(fault)
        elif post.replica is not None:
            database = post.replica.database
            if fault.kind == "storage answer lost":
                database.lost_answers += 1
            else:
                unknown = fault.kind == "storage unknown"
                database.failures.append((OutcomeUnknown if unknown else Unavailable)(fault.kind.replace(" ", "-")))

    def ask(self, change: Change) -> None:
        self.asked.append(change)
        self.under_way += 1
        self.nursery.start_soon(self.change, change)

    async def change(self, change: Change) -> None:
        post = self.posts[change.at]
        tag = change.identity or f"{len(self.asked)} {change}"
        if change.key is not None:
            self.ledger.keyed.add(tag)
        begun, status, code, version = trio.current_time(), 0, "", None
        with trio.CancelScope() as scope, self.calling(post, scope):
            if change.leaves is not None:
                scope.deadline = begun + change.leaves
            if post.replica is not None:
                try:
                    version = await self.call(post.replica, change, tag)
                    status = 200
                except Error as error:
                    status, code = error.status, error.code
        self.met.add(code or f"{change.kind} {status}")
        self.ledger.answers[tag].append(Told(begun, trio.current_time(), status, code, version))
        self.under_way -= 1

    @contextmanager
    def calling(self, post: Post, scope: trio.CancelScope) -> Iterator[None]:
        post.callers.add(scope)
        try:
            yield
        finally:
            post.callers.remove(scope)

    async def call(self, one: Replica, change: Change, tag: str) -> int:
        actor = Actor("sts", change.client, via=tag)
        order_id, key, if_match = change.order_id, change.key, None
        if change.kind == "create":
            return (await one.orders.create(CreateOrder("One", change.items, order_id), actor, key)).version
        seen = await self.seen_by(change, one) if change.matched else None
        self.ledger.if_match[tag].add(seen)
        if_match = domain.etag(seen) if seen is not None else None
        if change.kind == "update":
            return (await one.orders.update(order_id, UpdateOrder("Two", change.items), actor, if_match, key)).version
        return (await one.orders.cancel(order_id, actor, if_match, key)).version

    async def seen_by(self, change: Change, one: Replica) -> int:
        with suppress(NotFound):
            version = (await one.orders.read(change.order_id)).version
            first = self.seen.setdefault(change.order_id, version)
            return version if change.matched == "as it is" else first
        return -1

    async def retry(self) -> None:
        """An operator has everything tried again, at once: also what somebody is just working on."""
        self.retried_at = trio.current_time()
        for post in self.posts:
            if post.replica is not None:
                post.replica.database.failures.clear()
                for entry in await post.replica.orders.journal.unfinished():
                    try:
                        await post.replica.orders.journal.retry(entry.id)
                    except (Conflict, OutcomeUnknown):
                        continue

    def look(self) -> None:
        """Check at a moment when somebody else would catch what is raised."""
        try:
            self.observer.check()
        except AssertionError as error:
            self.wrong.append(str(error))

    def check(self) -> None:
        self.observer.check()
        assert not self.wrong, self.wrong

    async def settle(self) -> None:
        """End all faults, and wait until nothing is under way."""
        self.inventory_runs = True
        for post in self.posts:
            post.script.clear()
        while self.under_way:  # noqa: ASYNC110 - as simple as can be, and this time costs nothing
            await trio.sleep(5)
        await self.retry()
        with trio.fail_after(SETTLED_WITHIN):
            while self.observer.states().keys() & {"pending", "stuck"}:  # noqa: ASYNC110
                await trio.sleep(1)
        self.check()
        self.ledger.check(self.observer.changes("c.via"), self.observer.live())
        self.met.update(self.observer.states())
