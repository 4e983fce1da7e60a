"""How entries of the journal come to their end: asked at inventory, applied by compare-and-set, taken up when left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import Error, Internal, OutcomeUnknown, Unavailable
from ordermgmt.inventory.contract import MAX_ACKNOWLEDGED, MAX_OPERATIONS, Line, Operation
from ordermgmt.net.steps import step
from ordermgmt.order import changes, journal, journal_store
from ordermgmt.order.dispatch import Dispatcher
from ordermgmt.order.journal import Backlog, Entry, State, Verdict
from ordermgmt.storage import Database, Transaction
from ordermgmt.telemetry.logs import get_logger

__all__ = ["Settlement"]

MAX_RUNNING = 512
"""Changes under way at once: at about 20 kB each, 10 MB. One more is answered 503."""
MAX_BACKLOG = 4096
"""Entries without an outcome from which on new changes are answered 503: at one request for 256 of them, and ten
seconds for a request to an inventory service that hangs, they are asked for again within three minutes."""
PASS = 1.0
"""Seconds between two looks at what was left: what the command line wants tried again is noticed within this time."""
FORGOTTEN_PER_WRITE = 4
"""Expired entries that one write removes: a few microseconds, and more than the one that it adds."""


@dataclass(slots=True)
class _Listeners:
    count: int = 0
    told: trio.Event = field(default_factory=trio.Event)
    entry: Entry | None = None


class Settlement:
    """Settles entries in `nursery`, so that they outlive the requests that asked for them.

    `run` must be running: it takes up what others left behind, with leases in the database, so any number of
    these share one. `lease` is in seconds; a dispatcher that is asked within it answers within it.
    """

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        *,
        holder: str,
        lease: float,
        clock: Clock,
        nursery: trio.Nursery,
    ) -> None:
        self.backlog = Backlog()
        """What has no outcome, as of the last look."""
        self.holder = holder
        self.lease = lease
        self._database = database
        self._dispatcher = dispatcher
        self._clock = clock
        self._nursery = nursery
        self._running = 0
        self._recovery = trio.CancelScope()
        self._listeners: dict[str, _Listeners] = {}
        self._log = get_logger("order")

    @contextmanager
    def admission(self) -> Iterator[None]:
        """Count a change that is being written down as one under way. Raises Unavailable if there are too many."""
        if self._running >= MAX_RUNNING or self.backlog.unfinished >= MAX_BACKLOG:
            raise Unavailable("busy", "too many changes are under way", retry_after=1)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    def start(self, entry: Entry, *, claimed_at: float) -> None:
        """Make an attempt at an entry that is held since `claimed_at` (seconds since 1970, by the own clock)."""
        self._running += 1
        self._nursery.start_soon(self._settle, entry, claimed_at)

    async def outcome(self, entry: Entry, *, patience: float, started: bool) -> Entry:
        """Wait until an entry has its outcome, or is stuck; return it as it is then, or after `patience` seconds.

        It may be settled here or elsewhere; `started` tells that it was just started here. A caller that is
        cancelled ends its own wait, nothing else.
        """
        listeners = self._listeners.setdefault(entry.id, _Listeners())
        listeners.count += 1
        end = trio.current_time() + patience
        try:
            if started:  # there is nothing to look at yet, and most often there never will be
                with trio.move_on_after(min(PASS, patience)):
                    await listeners.told.wait()
            if listeners.entry is None:
                with trio.move_on_at(end):
                    return await self._watch(entry, listeners)
        finally:
            listeners.count -= 1
            if not listeners.count and self._listeners.get(entry.id) is listeners:
                del self._listeners[entry.id]
        return listeners.entry or entry

    async def _watch(self, entry: Entry, listeners: _Listeners) -> Entry:
        while True:
            with suppress(Unavailable):
                found = await self._database.read(lambda tx: journal_store.find(tx, entry.id))
                if found is not None and found.state is not State.PENDING:
                    return found
            with trio.move_on_after(PASS):
                await listeners.told.wait()
            if listeners.entry is not None:
                return listeners.entry

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take up what was left behind, now and every second, until `stop`."""
        task_status.started()
        with self._recovery:
            while True:
                try:
                    await self._look_round()
                except (Unavailable, OutcomeUnknown) as error:
                    self._log.warning("recovery-postponed", reason=str(error))
                await trio.sleep(PASS)

    def stop(self) -> None:
        """End `run`, and leave what is under way to itself."""
        self._recovery.cancel()

    async def _look_round(self) -> None:
        def look(tx: Transaction) -> journal_store.Glance:
            now = tx.now()
            return journal_store.glance(tx, now, finished_before=now - PASS, limit=MAX_ACKNOWLEDGED)

        def take(tx: Transaction) -> list[Entry]:
            journal_store.acknowledge(tx, acknowledged)
            journal_store.forget_expired(tx, tx.now(), FORGOTTEN_PER_WRITE)
            return journal_store.claim(tx, self.holder, tx.now(), lease=self.lease, limit=limit)

        glance = await self._database.read(look)
        self.backlog = glance.backlog
        self._dispatcher.acknowledge(glance.unacknowledged, at_once=True)
        acknowledged = self._dispatcher.take_acknowledged()
        limit = max(min(MAX_OPERATIONS, MAX_RUNNING - self._running), 0)
        if acknowledged or (glance.due and limit):
            claimed_at = self._clock.now()
            for entry in await self._database.write(take):
                self.start(entry, claimed_at=claimed_at)

    async def _settle(self, entry: Entry, claimed_at: float) -> None:
        try:
            settled = await self._conclude(entry, await self._attempt(entry, claimed_at))
        except (Unavailable, OutcomeUnknown) as error:
            # The entry is as it was, or as it shall be. Whoever takes it up next learns which.
            self._log.warning("operation-postponed", operation=entry.id, reason=str(error))
        except Exception:  # noqa: BLE001 - one entry that cannot be applied must not end the others
            self._log.exception("operation-failed", operation=entry.id)
            await self._give_to_operator(entry)
        else:
            self._tell(settled)
        finally:
            self._running -= 1

    async def _attempt(self, entry: Entry, claimed_at: float) -> Verdict:
        lines = tuple(Line(category, code, delta) for (category, code), delta in entry.plan.deltas.items())
        taken_at = entry.lease_until - self.lease  # by the clock of the database, as all times of the entry
        operation = Operation(entry.id, lines, abandon=journal.is_given_up(entry, taken_at))
        answer: Error | None
        try:
            with step("inventory"):
                answer = (await self._dispatcher.ask(operation, claimed_at=claimed_at)).refusal
        except (Unavailable, OutcomeUnknown, Internal) as error:
            answer = error
        return journal.judge(answer, first=entry.attempt == 1)

    async def _conclude(self, entry: Entry, verdict: Verdict) -> Entry:
        acknowledged = self._dispatcher.take_acknowledged()

        def write(tx: Transaction) -> Entry:
            now = tx.now()
            journal_store.acknowledge(tx, acknowledged)
            journal_store.forget_expired(tx, now, FORGOTTEN_PER_WRITE)
            return changes.conclude(tx, entry, verdict, now)

        with step("outcome"):
            settled = await self._database.write(write)
        if verdict.decided:
            self._dispatcher.acknowledge([entry.id], at_once=False)
        return settled

    async def _give_to_operator(self, entry: Entry) -> None:
        fault = Internal("operation-failed", "a fault of the order service; its log has the details")
        try:
            self._tell(await self._conclude(entry, Verdict(State.STUCK, fault)))
        except (Unavailable, OutcomeUnknown) as error:
            self._log.warning("operation-postponed", operation=entry.id, reason=str(error))

    def _tell(self, entry: Entry) -> None:
        if entry.state is State.STUCK:
            self._log.error("operation-stuck", operation=entry.id, order=entry.order_id, reason=str(entry.reason))
        listeners = self._listeners.pop(entry.id, None) if entry.state is not State.PENDING else None
        if listeners is not None:
            listeners.entry = entry
            listeners.told.set()
