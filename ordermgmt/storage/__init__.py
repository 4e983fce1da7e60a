"""The database seam: short transactions of plain SQL, durable when they return."""

from __future__ import annotations

from ordermgmt.storage.database import Database, OpenDatabase, Result, Transaction, Value
from ordermgmt.storage.dialect import Dialect
from ordermgmt.storage.figures import storage_figures
from ordermgmt.storage.folder import OwnedFolder, own_folder, use_folder
from ordermgmt.storage.location import Location, PostgresSchema, locate
from ordermgmt.storage.opening import open_database
from ordermgmt.storage.readiness import unready_reason
from ordermgmt.storage.snapshot import Progress, Snapshot, open_snapshot

__all__ = [
    "Database",
    "Dialect",
    "Location",
    "OpenDatabase",
    "OwnedFolder",
    "PostgresSchema",
    "Progress",
    "Result",
    "Snapshot",
    "Transaction",
    "Value",
    "locate",
    "open_database",
    "open_snapshot",
    "own_folder",
    "storage_figures",
    "unready_reason",
    "use_folder",
]
