"""Where the databases differ in SQL: all that `store.py` files have to know, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["POSTGRES", "SQLITE", "Dialect"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a statement must say on one engine and not on another. Each piece goes to the end of a SELECT."""

    name: str
    lock: str
    """Keeps the rows that were read as they are until the transaction ends, waiting for whoever holds them."""
    skip_locked: str
    """The same, without the rows that somebody else holds: to pick work, never to decide."""


SQLITE = Dialect("sqlite", lock="", skip_locked="")
"""One transaction writes at a time, so whatever it reads is its own."""

POSTGRES = Dialect("postgres", lock=" FOR UPDATE", skip_locked=" FOR UPDATE SKIP LOCKED")
"""Several replicas write at a time: what one read without a lock may have changed when it writes."""
