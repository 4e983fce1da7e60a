"""The peer's inventory service: stock in SQLite, for who has a certificate of the authority.

python inventory.py     with what settings.py reads from the environment
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from fastapi import FastAPI, Response
from pydantic import BaseModel
from settings import DATABASE, serve

FIRST_STOCK = (
    ("electronics", "APMBA132021"),
    ("electronics", "SOWH1000XM4"),
    ("books", "978-1617295959"),
    ("books", "978-1484220498"),
)
PIECES = 10**12

stock = sqlite3.connect(DATABASE, isolation_level=None)
stock.executescript(
    """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS stock (
        category TEXT NOT NULL, code TEXT NOT NULL, qty INTEGER NOT NULL CHECK (qty >= 0), PRIMARY KEY (category, code)
    ) WITHOUT ROWID;
    """
)
stock.executemany(
    "INSERT INTO stock VALUES (?, ?, ?) ON CONFLICT DO NOTHING", [(*names, PIECES) for names in FIRST_STOCK]
)

app = FastAPI()


class Goods(BaseModel):
    """So many pieces of one good."""

    category: str
    code: str
    qty: int


def move(goods: Sequence[Goods], sign: int) -> Response:
    """Move all of it or nothing, durably. It takes less time than to hand it to a thread."""
    stock.execute("BEGIN IMMEDIATE")
    for one in goods:
        moved = stock.execute(
            "UPDATE stock SET qty = qty + ?1 WHERE category = ?2 AND code = ?3 AND qty + ?1 >= 0",
            (sign * one.qty, one.category, one.code),
        )
        if moved.rowcount != 1:
            stock.execute("ROLLBACK")
            return Response(status_code=409)
    stock.execute("COMMIT")
    return Response(status_code=204)


@app.put("/inventory/decrease")
async def decrease(goods: list[Goods]) -> Response:
    """Take goods."""
    return move(goods, -1)


@app.put("/inventory/increase")
async def increase(goods: list[Goods]) -> Response:
    """Give goods back."""
    return move(goods, 1)


if __name__ == "__main__":
    serve(app, "inventory", client_certificates=True)
