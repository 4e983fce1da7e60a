"""The database seam: short transactions of plain SQL, durable when they return."""

from __future__ import annotations

from ordermgmt.storage.database import Database, OpenDatabase, Result, Transaction, Value
from ordermgmt.storage.dialect import Dialect
from ordermgmt.storage.figures import storage_figures
from ordermgmt.storage.location import Location, PostgresSchema, locate
from ordermgmt.storage.opening import open_database

__all__ = [
    "Database",
    "Dialect",
    "Location",
    "OpenDatabase",
    "PostgresSchema",
    "Result",
    "Transaction",
    "Value",
    "locate",
    "open_database",
    "storage_figures",
]
