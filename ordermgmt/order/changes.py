"""The two transactions of a change: its intent, and its outcome together with the order."""

from __future__ import annotations

from msgspec.structs import replace

from ordermgmt.errors import Conflict, Internal, NotFound, PreconditionFailed
from ordermgmt.order import idempotency, journal, journal_store, store
from ordermgmt.order.domain import StoredOrder
from ordermgmt.order.journal import Ask, Entry, State, Verdict
from ordermgmt.storage import Transaction

__all__ = ["conclude", "intend"]


def intend(tx: Transaction, ask: Ask, draft: Entry) -> Entry:
    """Write down what is to be done and take the order's slot; return the entry, or the one that the key stands for.

    It is finished at once if there is nothing to move, or if it is refused and has a key that keeps the refusal.
    Raises other refusals, UnprocessableContent if the key was used for something else, and Conflict while another
    change of the order is under way.
    """
    # The first is there already if the answer to our own COMMIT was lost.
    known = journal_store.find(tx, draft.id) or _known_by_key(tx, ask, draft)
    if known is not None:
        return known
    try:
        plan = journal.plan(ask, store.find(tx, ask.order_id))
    except (NotFound, Conflict, PreconditionFailed) as refusal:
        if ask.key is None:
            raise
        entry = replace(draft, state=State.REFUSED, reason=refusal)
        return entry if journal_store.insert(tx, entry, finished_at=draft.created_at) else _taken(tx, ask, draft)
    entry = replace(draft, plan=plan, version=store.next_version(tx))
    # Who has the counter is alone here. To look first spares a wait for somebody who frees the slot just now: that one
    # may wait for the counter.
    if journal_store.is_taken(tx, ask.order_id) or not journal_store.insert(tx, entry):
        return _taken(tx, ask, draft)
    if store.version_of(tx, ask.order_id) != plan.replaces:
        # Only where transactions run side by side: the order changed just before its slot was free.
        raise journal.in_progress(ask.order_id)
    return entry if plan.deltas else conclude(tx, entry, Verdict(State.APPLIED), draft.created_at)


def conclude(tx: Transaction, entry: Entry, verdict: Verdict, now: float) -> Entry:
    """Apply what an attempt came to, and return the entry as it is then.

    The entry's state is compared and set together with the order. Whoever is not the first changes nothing, and
    gets what the first one made of it. Raises Internal if the order is not the version that the entry replaces.
    """
    put = journal_store.finish if verdict.state.is_final else journal_store.postpone
    if not put(tx, entry, verdict, now):
        return journal_store.find(tx, entry.id) or entry
    if verdict.state is State.APPLIED:
        _change_order(tx, entry, now)
    return replace(entry, state=verdict.state, reason=verdict.reason)


def _known_by_key(tx: Transaction, ask: Ask, draft: Entry) -> Entry | None:
    if ask.key is None:
        return None
    known = journal_store.find_by_key(tx, ask.actor, ask.kind, ask.key.text, draft.created_at)
    if known is not None:
        idempotency.check_same(known.key, ask.key)
    return known


def _taken(tx: Transaction, ask: Ask, draft: Entry) -> Entry:
    """Return who took our key at the same time. Raises Conflict if it is the order's slot that is taken."""
    known = _known_by_key(tx, ask, draft)
    if known is None:
        raise journal.in_progress(ask.order_id)
    return known


def _change_order(tx: Transaction, entry: Entry, now: float) -> None:
    plan, actor = entry.plan, entry.actor
    if entry.version is None:
        raise Internal("no-version", f"operation {entry.id} was refused with its intent")
    if entry.kind == "create":
        done = store.insert(
            tx, StoredOrder(entry.order_id, plan.name, plan.items, actor.iss, actor.sub, entry.version, now, now)
        )
        store.record(tx, entry, "created", now)
    elif entry.kind == "update":
        done = store.update(tx, entry, now)
        store.record(tx, entry, "updated", now)
    else:
        store.record(tx, entry, "cancelled", now)
        done = store.delete(tx, entry)
    if not done:
        raise Internal("order-not-as-planned", f"order '{entry.order_id}' changed under operation {entry.id}")
