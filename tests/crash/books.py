"""What the databases say, read beside the services: orders, stock, and what has no outcome yet."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.crash.ledger import Content, held

__all__ = ["Books", "PostgresBooks", "SqliteBooks", "Stock", "drift"]


@dataclass(frozen=True, slots=True)
class Stock:
    """Pieces of one item: `added` at first and since, `moved` by operations, and `qty` that are there."""

    added: int
    moved: int
    qty: int


class Books:
    """The databases of the order service and of inventory. Nothing is ever changed through it.

    `query` runs a SELECT on the database of a service; `{}` in it is the prefix of its tables.
    """

    def __init__(self, query: Callable[[str, str], Sequence[tuple[Any, ...]]]) -> None:
        self._query = query

    def unfinished(self) -> list[str]:
        """Return a line for each change that has no outcome."""
        rows = self._query(
            "order", "SELECT id, kind, order_id, state, attempt, reason FROM {}journal WHERE finished_at IS NULL"
        )
        return [" ".join(map(str, row)) for row in rows]

    def contradictions(self) -> list[str]:
        """Return a line for each change that the journal calls not done, although it was."""
        rows = self._query(
            "order",
            "SELECT id, kind, order_id, state FROM {}journal WHERE state IN ('refused', 'abandoned')"
            " AND version IN (SELECT version FROM {}changes)",
        )
        return [" ".join(map(str, row)) for row in rows]

    def holders(self) -> dict[str, int]:
        """Return how many changes each process of the order service had in hand last."""
        return dict(self._query("order", "SELECT holder, COUNT(*) FROM {}journal GROUP BY holder"))

    def orders(self) -> dict[str, Content]:
        """Return all orders by id."""
        rows = self._query("order", "SELECT id, name, items FROM {}orders")
        return {order_id: Content(name, _lines(items)) for order_id, name, items in rows}

    def stock(self) -> dict[tuple[str, str], Stock]:
        """Return the stock by category and code."""
        rows = self._query(
            "inventory",
            "SELECT category, code, (SELECT SUM(delta) FROM {}adjustment a"
            " WHERE a.category = item.category AND a.code = item.code), moved, qty FROM {}item AS item",
        )
        return {(category, code): Stock(int(added), moved, qty) for category, code, added, moved, qty in rows}

    def restocks(self) -> set[str]:
        """Return the operations by which goods were added."""
        return {operation for (operation,) in self._query("inventory", "SELECT operation FROM {}adjustment")}


class SqliteBooks(Books):
    """The files in `folder`."""

    def __init__(self, folder: Path) -> None:
        def query(service: str, sql: str) -> Sequence[tuple[Any, ...]]:
            # Read only: the last one to close a file would move its write-ahead log, which a crash has left behind.
            uri = f"file:{folder / service}.sqlite?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
                return connection.execute(sql.replace("{}", "")).fetchall()

        super().__init__(query)


class PostgresBooks(Books):
    """The schemas in the database at `dsn`."""

    def __init__(self, dsn: str) -> None:
        schemas = {"order": "orders.", "inventory": "inventory."}

        def query(service: str, sql: str) -> Sequence[tuple[Any, ...]]:
            with psycopg.connect(dsn, autocommit=True) as connection:
                return connection.execute(sql.replace("{}", schemas[service]).encode()).fetchall()

        super().__init__(query)


def drift(orders: Mapping[str, Content], stock: Mapping[tuple[str, str], Stock]) -> list[str]:
    """Return a line for each item of which pieces are missing or too many, or whose own books do not add up."""
    pieces = held(orders)
    lines = [f"{'/'.join(key)} is held by orders and not in stock" for key in pieces.keys() - stock.keys()]
    for key, item in stock.items():
        if item.added != item.qty + pieces[key] or item.moved != -pieces[key] or item.qty < 0:
            lines.append(f"{'/'.join(key)}: {item}, and orders hold {pieces[key]}")
    return lines


def _lines(text: str) -> tuple[tuple[str, str, int], ...]:
    return tuple((item["category"], item["code"], item["qty"]) for item in json.loads(text))
