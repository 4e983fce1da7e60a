"""The SQL of the journal: plain functions of an open transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ordermgmt import errors
from ordermgmt.errors import Error
from ordermgmt.order.contract import Item
from ordermgmt.order.domain import Actor
from ordermgmt.order.idempotency import IdempotencyKey
from ordermgmt.order.journal import Backlog, Entry, Kind, Plan, State, Verdict, back_off, keep_for
from ordermgmt.storage import Transaction

__all__ = [
    "Glance",
    "acknowledge",
    "claim",
    "count_unfinished",
    "find",
    "find_by_key",
    "finish",
    "forget_expired",
    "glance",
    "insert",
    "is_taken",
    "postpone",
    "retry",
    "unfinished",
]

_COLUMNS = (
    "id, kind, order_id, name, items, deltas, replaces, version, iss, sub, via, full_name,"
    " idempotency_key, fingerprint, created_at, state, reason, holder, lease_until, attempt"
)
_VALUES = ", ".join(["?"] * (_COLUMNS.count(",") + 1))
_ITEMS = msgspec.json.Decoder(tuple[Item, ...])
_DELTAS = msgspec.json.Decoder(tuple[tuple[str, str, int], ...])
_KINDS: Mapping[int, type[Error]] = {
    kind.status: kind
    for kind in (
        errors.NotFound,
        errors.Conflict,
        errors.PreconditionFailed,
        errors.UnprocessableContent,
        errors.Internal,
        errors.Unavailable,
        errors.OutcomeUnknown,
    )
}


class _Reason(msgspec.Struct, array_like=True):
    status: int
    code: str
    detail: str
    retry_after: int | None
    members: dict[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Glance:
    """What there is to do: entries whose lease ran out, and outcomes that inventory still remembers for us."""

    due: bool
    unacknowledged: tuple[str, ...]
    backlog: Backlog


def insert(tx: Transaction, entry: Entry, finished_at: float | None = None) -> bool:
    """Write an entry; False if its order has an unfinished one, or its id or key is there already.

    One that is finished with its intent never was at inventory, so there is nothing to acknowledge.
    """
    plan, actor, key = entry.plan, entry.actor, entry.key
    keep_until = finished_at + keep_for(entry) if finished_at is not None else None
    result = tx.execute(
        f"INSERT INTO journal ({_COLUMNS}, finished_at, keep_until, acknowledged)"  # noqa: S608 - constants
        f" VALUES ({_VALUES}, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            entry.id,
            entry.kind,
            entry.order_id,
            plan.name,
            msgspec.json.encode(plan.items).decode(),
            msgspec.json.encode([(*names, delta) for names, delta in plan.deltas.items()]).decode(),
            plan.replaces,
            entry.version,
            actor.iss,
            actor.sub,
            actor.via,
            actor.full_name,
            key.text if key is not None else None,
            key.fingerprint if key is not None else None,
            entry.created_at,
            entry.state.value,
            _encode_reason(entry.reason),
            entry.holder,
            entry.lease_until,
            entry.attempt,
            finished_at,
            keep_until,
            int(finished_at is not None),
        ),
    )
    return result.rowcount == 1


def is_taken(tx: Transaction, order_id: str) -> bool:
    """Tell whether an order has an unfinished entry, as far as is committed."""
    return bool(tx.execute("SELECT 1 FROM journal WHERE order_id = ? AND finished_at IS NULL", (order_id,)).rows)


def find(tx: Transaction, entry_id: str) -> Entry | None:
    """Return an entry, or None."""
    rows = tx.execute(f"SELECT {_COLUMNS} FROM journal WHERE id = ?", (entry_id,)).rows  # noqa: S608 - constant
    return _entry(rows[0]) if rows else None


def find_by_key(tx: Transaction, actor: Actor, kind: Kind, key: str, now: float) -> Entry | None:
    """Return the entry that a principal's key stands for, or None. A key whose time is over is freed."""
    named = (actor.iss, actor.sub, kind, key)
    where = "iss = ? AND sub = ? AND kind = ? AND idempotency_key = ?"
    tx.execute(f"UPDATE journal SET idempotency_key = NULL WHERE {where} AND keep_until <= ?", (*named, now))  # noqa: S608
    rows = tx.execute(f"SELECT {_COLUMNS} FROM journal WHERE {where}", named).rows  # noqa: S608 - constants
    return _entry(rows[0]) if rows else None


def finish(tx: Transaction, entry: Entry, verdict: Verdict, now: float) -> bool:
    """Give an entry its outcome, if it has none yet; False if somebody else did.

    What inventory decided is true whoever heard it. What we decide ourselves holds only as long as nobody has
    taken the entry over. A change that was abandoned frees its key.
    """
    fence, fenced = ("", ()) if verdict.decided else (" AND holder = ? AND attempt = ?", (entry.holder, entry.attempt))
    result = tx.execute(
        "UPDATE journal SET state = ?, reason = ?, finished_at = ?, keep_until = ?, acknowledged = ?,"  # noqa: S608
        " idempotency_key = ?"
        f" WHERE id = ? AND finished_at IS NULL{fence}",
        (
            verdict.state.value,
            _encode_reason(verdict.reason),
            now,
            now + keep_for(entry),
            int(not verdict.decided),
            entry.key.text if entry.key is not None and verdict.state is not State.ABANDONED else None,
            entry.id,
            *fenced,
        ),
    )
    return result.rowcount == 1


def postpone(tx: Transaction, entry: Entry, verdict: Verdict, now: float) -> bool:
    """Note why an attempt came to nothing, and when the next may be made; False if the entry is no longer ours."""
    result = tx.execute(
        "UPDATE journal SET state = ?, reason = ?, lease_until = ?"
        " WHERE id = ? AND state = 'pending' AND holder = ? AND attempt = ?",
        (
            verdict.state.value,
            _encode_reason(verdict.reason),
            now + back_off(entry.attempt),
            entry.id,
            entry.holder,
            entry.attempt,
        ),
    )
    return result.rowcount == 1


def claim(tx: Transaction, holder: str, now: float, *, lease: float, limit: int) -> list[Entry]:
    """Take up to `limit` entries whose lease ran out, for `lease` seconds. Each is had by one holder only."""
    picked = tx.execute(
        "SELECT id, attempt FROM journal WHERE state = 'pending' AND lease_until <= ?"  # noqa: S608 - constant
        f" ORDER BY lease_until LIMIT ?{tx.dialect.skip_locked}",
        (now, limit),
    ).rows
    claimed = []
    for entry_id, attempt in picked:
        claimed += tx.execute(
            "UPDATE journal SET holder = ?, lease_until = ?, attempt = attempt + 1"  # noqa: S608 - constant
            f" WHERE id = ? AND state = 'pending' AND attempt = ? RETURNING {_COLUMNS}",
            (holder, now + lease, entry_id, attempt),
        ).rows
    return [_entry(row) for row in claimed]


def retry(tx: Transaction, entry_id: str, now: float) -> bool:
    """Let an unfinished entry be taken up at once; False if it is finished, or not there."""
    result = tx.execute(
        "UPDATE journal SET state = 'pending', lease_until = ? WHERE id = ? AND finished_at IS NULL", (now, entry_id)
    )
    return result.rowcount == 1


def acknowledge(tx: Transaction, entry_ids: Sequence[str]) -> None:
    """Note that inventory knows that these outcomes were taken over. What somebody else is just noting is left out."""
    if entry_ids:
        marks = ", ".join(["?"] * len(entry_ids))
        tx.execute(
            "UPDATE journal SET acknowledged = 1 WHERE id IN"  # noqa: S608 - marks
            f" (SELECT id FROM journal WHERE id IN ({marks}) AND acknowledged = 0{tx.dialect.skip_locked})",
            entry_ids,
        )


def forget_expired(tx: Transaction, now: float, limit: int) -> None:
    """Remove up to `limit` entries that nobody can ask for any more."""
    tx.execute(
        "DELETE FROM journal WHERE id IN (SELECT id FROM journal"  # noqa: S608 - constant
        f" WHERE acknowledged = 1 AND keep_until <= ? ORDER BY keep_until LIMIT ?{tx.dialect.skip_locked})",
        (now, limit),
    )


def glance(tx: Transaction, now: float, *, finished_before: float, limit: int) -> Glance:
    """Look what there is to do. `limit` bounds the outcomes to acknowledge."""
    due = tx.execute("SELECT 1 FROM journal WHERE state = 'pending' AND lease_until <= ? LIMIT 1", (now,)).rows
    finished = tx.execute(
        "SELECT id FROM journal WHERE finished_at IS NOT NULL AND acknowledged = 0 AND finished_at <= ?"
        " ORDER BY finished_at LIMIT ?",
        (finished_before, limit),
    ).rows
    ((count, stuck, oldest),) = tx.execute(
        "SELECT COUNT(*), COUNT(CASE WHEN state = 'stuck' THEN 1 END), MIN(created_at)"
        " FROM journal WHERE finished_at IS NULL"
    ).rows
    backlog = Backlog(count, stuck, max(now - oldest, 0.0) if oldest is not None else 0.0)
    return Glance(bool(due), tuple(entry_id for (entry_id,) in finished), backlog)


def count_unfinished(tx: Transaction) -> int:
    """Return how many entries have no outcome."""
    return int(tx.execute("SELECT COUNT(*) FROM journal WHERE finished_at IS NULL").rows[0][0])


def unfinished(tx: Transaction, limit: int) -> list[Entry]:
    """Return up to `limit` entries without an outcome, oldest first."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM journal WHERE finished_at IS NULL ORDER BY created_at, id LIMIT ?",  # noqa: S608
        (limit,),
    ).rows
    return [_entry(row) for row in rows]


def _entry(row: Iterable[Any]) -> Entry:
    (entry_id, kind, order_id, name, items, deltas, replaces, version, *rest) = row
    iss, sub, via, full_name, key, mark, created_at, state, reason, holder, lease_until, attempt = rest
    return Entry(
        id=entry_id,
        kind=kind,
        order_id=order_id,
        plan=Plan(
            name,
            _ITEMS.decode(items),
            {(category, code): delta for category, code, delta in _DELTAS.decode(deltas)},
            replaces,
        ),
        version=version,
        actor=Actor(iss, sub, via, full_name),
        key=IdempotencyKey(key, mark) if key is not None else None,
        created_at=created_at,
        state=State(state),
        reason=_decode_reason(reason),
        holder=holder,
        lease_until=lease_until,
        attempt=attempt,
    )


def _encode_reason(error: Error | None) -> str | None:
    if error is None:
        return None
    reason = _Reason(error.status, error.code, error.detail, error.retry_after, error.members)
    return msgspec.json.encode(reason).decode()


def _decode_reason(text: str | None) -> Error | None:
    if text is None:
        return None
    reason = msgspec.json.decode(text, type=_Reason)
    kind = _KINDS.get(reason.status, errors.Internal)
    return kind(reason.code, reason.detail, retry_after=reason.retry_after, members=reason.members)
