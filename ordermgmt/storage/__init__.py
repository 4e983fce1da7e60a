"""The database seam: short transactions of plain SQL, durable when they return."""

from __future__ import annotations

from ordermgmt.storage.database import Database, OpenDatabase, Result, Transaction, Value
from ordermgmt.storage.dialect import Dialect
from ordermgmt.storage.sqlite import open_database

__all__ = ["Database", "Dialect", "OpenDatabase", "Result", "Transaction", "Value", "open_database"]
