"""What a database has done, as figures."""

from __future__ import annotations

from ordermgmt.storage.database import OpenDatabase
from ordermgmt.telemetry.metrics import Figure

__all__ = ["storage_figures"]


def storage_figures(database: OpenDatabase) -> tuple[Figure, ...]:
    """Return the counts of a database; their quotient is how many transactions shared a COMMIT."""
    return (
        Figure("ordermgmt_storage_commits_total", "counter", "COMMITs of the service's database.", database.commits),
        Figure(
            "ordermgmt_storage_transactions_total",
            "counter",
            "Writing transactions that got a result or an error.",
            database.transactions,
        ),
    )
