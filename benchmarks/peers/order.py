"""The peer's order service: checks a JWT, takes the goods at inventory over mTLS, keeps the order in SQLite.

    python order.py     with what settings.py reads from the environment, and PEER_INVENTORY, PEER_ISSUER, PEER_JWKS

It is what one would write with these libraries who looks at speed: no journal, no keys of idempotency, no owners, no
versions. A crash between stock and order loses goods, and so does an update that is refused half way.
"""

from __future__ import annotations

import os
import sqlite3
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiohttp
import jwt
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from pydantic import BaseModel
from settings import CERTIFICATES, DATABASE, serve

INVENTORY = os.environ["PEER_INVENTORY"]
ISSUER = os.environ["PEER_ISSUER"]
CONNECTIONS = int(os.environ.get("PEER_CONNECTIONS", "64"))

trust = ssl.create_default_context(cafile=f"{CERTIFICATES}/ca.pem")
keys = jwt.PyJWKClient(os.environ["PEER_JWKS"], ssl_context=trust, cache_keys=True)
orders = sqlite3.connect(DATABASE, isolation_level=None)
orders.executescript(
    """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    """
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep one session for the whole life of the service."""
    own = ssl.create_default_context(cafile=f"{CERTIFICATES}/ca.pem")
    own.load_cert_chain(f"{CERTIFICATES}/order.pem", f"{CERTIFICATES}/order.key")
    connector = aiohttp.TCPConnector(ssl=own, limit=CONNECTIONS)
    async with aiohttp.ClientSession(INVENTORY, connector=connector) as app.state.inventory:
        yield


app = FastAPI(lifespan=lifespan)


class Goods(BaseModel):
    """So many pieces of one good."""

    category: str
    code: str
    qty: int


class Change(BaseModel):
    """An order as it shall be."""

    name: str
    items: list[Goods]


class Order(Change):
    """An order."""

    id: str


def require(scope: str) -> Any:
    """Let only valid tokens with this scope through."""

    def check(authorization: Annotated[str, Header()] = "") -> None:
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer":
            raise HTTPException(401)
        try:
            key = keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(token, key, algorithms=["ES256", "RS256"], audience="order", issuer=ISSUER)
        except jwt.PyJWTError:
            raise HTTPException(401) from None
        if scope not in claims.get("scope", "").split():
            raise HTTPException(403)

    # An async dependency runs in the loop; a plain one would cost a thread.
    async def checked(authorization: Annotated[str, Header()] = "") -> None:
        check(authorization)

    return Depends(checked)


async def move(verb: str, goods: list[dict[str, Any]]) -> None:
    """Have goods moved at inventory."""
    async with app.state.inventory.put(f"/inventory/{verb}", json=goods) as answer:
        if answer.status != 204:
            raise HTTPException(409 if answer.status == 409 else 503)


def find(order_id: str) -> str:
    """Return an order as JSON."""
    row = orders.execute("SELECT body FROM orders WHERE id = ?", (order_id,)).fetchone()
    if row is None:
        raise HTTPException(404)
    return str(row[0])


def status(order_id: str, done: str, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer a change."""
    return Response(f'{{"status":"Order \'{order_id}\' {done}."}}', code, headers, "application/json")


@app.post("/order", dependencies=[require("add_order")])
async def create(order: Order) -> Response:
    """Take the goods, then keep the order."""
    await move("decrease", [one.model_dump() for one in order.items])
    try:
        orders.execute("INSERT INTO orders VALUES (?, ?)", (order.id, order.model_dump_json()))
    except sqlite3.IntegrityError:
        raise HTTPException(409) from None
    return status(order.id, "created", 201, {"location": f"/order/{order.id}"})


@app.get("/order/{order_id}")
async def read(order_id: str) -> Response:
    """Return an order."""
    return Response(find(order_id), media_type="application/json")


@app.put("/order/{order_id}", dependencies=[require("update_order")])
async def update(order_id: str, change: Change) -> Response:
    """Give the old goods back, take the new ones, keep the order as it is now."""
    old = Order.model_validate_json(find(order_id))
    await move("increase", [one.model_dump() for one in old.items])
    await move("decrease", [one.model_dump() for one in change.items])
    new = Order(id=order_id, name=change.name, items=change.items)
    orders.execute("UPDATE orders SET body = ? WHERE id = ?", (new.model_dump_json(), order_id))
    return status(order_id, "updated")


@app.delete("/order/{order_id}", dependencies=[require("cancel_order")])
async def cancel(order_id: str) -> Response:
    """Give the goods back and forget the order."""
    old = Order.model_validate_json(find(order_id))
    await move("increase", [one.model_dump() for one in old.items])
    orders.execute("DELETE FROM orders WHERE id = ?", (order_id,))
    return status(order_id, "removed")


if __name__ == "__main__":
    serve(app, "order", client_certificates=False)
