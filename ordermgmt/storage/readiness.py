"""Whether a database can be used."""

from __future__ import annotations

from ordermgmt.errors import Unavailable
from ordermgmt.storage.database import Database

__all__ = ["unready_reason"]


async def unready_reason(database: Database) -> str | None:
    """Tell why nothing can be read from a database now, or None if it can. It is cancel-safe."""
    try:
        await database.read(lambda transaction: transaction.execute("SELECT 1"))
    except Unavailable as error:
        return str(error)
    return None
