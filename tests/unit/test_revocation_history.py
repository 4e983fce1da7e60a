"""Numbers, snapshots and going on where one was: whatever is lost on the way, who is current knows all that counts."""

from __future__ import annotations

import sqlite3
from functools import cache
from importlib.resources import files

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ordermgmt.errors import Unauthenticated
from ordermgmt.security.revocations import RevocationLine, Revocations
from ordermgmt.storage.migrations import load_migrations
from ordermgmt.storage.sqlite_transaction import SqliteTransaction
from ordermgmt.sts import revocation_store
from ordermgmt.sts.revocation_store import RETENTION, Page

KEEP = 90
START = 1_700_000_000


@cache
def empty() -> sqlite3.Connection:
    """A database that holds nothing yet."""
    made = sqlite3.connect(":memory:")
    for migration in load_migrations(files("ordermgmt.sts") / "migrations"):
        made.executescript(migration.sql)
    return made


class Time:
    time = float(START)

    def now(self) -> float:
        return self.time


def is_refused(view: Revocations, one: str, issued_at: float, now: float) -> bool:
    try:
        view.check(frozenset({one, "a"}), issued_at, now)
    except Unauthenticated:
        return True
    return False


class History(RuleBasedStateMachine):
    """An issuer that revokes, a line that is cut at any moment, and a follower."""

    @initialize(page=st.integers(1, 4))
    def begin(self, page: int) -> None:
        self.page = page
        self.time = Time()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        empty().backup(self.connection)
        self.connection.execute("BEGIN")
        self.epochs = 0
        self.numbers = 0
        self.at: dict[str, float] = {}
        self.restored_at = 0.0
        self.view = Revocations("sts", self.time.now)
        self._name_epoch()
        self.sent = ("", 0)
        self.current_at = -1.0

    def _transaction(self) -> SqliteTransaction:
        return SqliteTransaction(self.connection, self.time)

    def _name_epoch(self) -> None:
        self.epochs += 1
        revocation_store.start_epoch(self._transaction(), f"e{self.epochs}")

    def _read(self) -> Page:
        size, revocation_store.PAGE = revocation_store.PAGE, self.page
        try:
            page = revocation_store.load_page(self._transaction(), *self.sent, KEEP)
        finally:
            revocation_store.PAGE = size
        self.sent = page.log.epoch, page.sequence
        return page

    @rule(count=st.integers(1, 6))
    def revoke(self, count: int) -> None:
        ids = [f"id{self.numbers + number}" for number in range(count)]
        self.numbers += count
        revocation_store.revoke(self._transaction(), ids)
        self.at |= dict.fromkeys(ids, self.time.time)

    @rule(seconds=st.sampled_from([0.2, 1, 30, 89, 91, RETENTION + 1]))
    def wait(self, seconds: float) -> None:
        self.time.time += seconds

    @rule()
    def catch_up(self) -> None:
        while self.deliver():
            pass

    @rule()
    def deliver_a_line(self) -> None:
        self.deliver()

    def deliver(self) -> bool:
        """Let one line arrive; tell whether there is more."""
        page = self._read()
        line = RevocationLine(page.log.epoch, page.sequence, KEEP, page.log.not_before, page.revoked, more=page.more)
        self.view.apply(line)
        if not page.more:
            self.current_at = self.time.time
        return page.more

    def teardown(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()

    @rule()
    def lose(self) -> None:
        """A line that is on its way when the connection breaks."""
        self._read()
        self.reconnect()

    @rule()
    def reconnect(self) -> None:
        self.sent = self.view.epoch, self.view.sequence

    @rule()
    def start_again(self) -> None:
        """The follower."""
        self.view = Revocations("sts", self.time.now)
        self.current_at = -1.0
        self.reconnect()

    @rule()
    def restore(self) -> None:
        """What was revoked since the backup is not known any more, nor which tokens were issued."""
        self.connection.execute("DELETE FROM revocations WHERE sequence % 2 = 0")
        self.connection.execute("UPDATE revocation_log SET last = last / 2")
        self.connection.execute("DELETE FROM revocations WHERE sequence > (SELECT last FROM revocation_log)")
        revocation_store.revoke_everything(self._transaction())
        self.restored_at = self.time.time
        self._name_epoch()

    @invariant()
    def who_is_current_knows_all_that_counts(self) -> None:
        if not hasattr(self, "view") or self.current_at != self.time.time:
            return
        log = revocation_store.load_log(self._transaction())
        if (self.sent != (log.epoch, log.last)) or self.view.sequence != log.last:
            return  # something happened since
        now = self.time.time
        for one, at in self.at.items():
            issued_at = at - 1  # a token that came of it, which lives for less than KEEP
            if now < at + KEEP - 1:
                assert is_refused(self.view, one, issued_at, now), one
        assert not is_refused(self.view, "never", now + 1, now)
        if self.restored_at:
            assert is_refused(self.view, "unknown", self.restored_at, now)

    @invariant()
    def what_is_over_is_forgotten(self) -> None:
        if hasattr(self, "view") and self.current_at == self.time.time:
            assert self.view.count <= sum(at > self.time.time - 2 * KEEP for at in self.at.values())


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
