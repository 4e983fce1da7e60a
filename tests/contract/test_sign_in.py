"""Signing in at the gateway, using the API with a session, and signing out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import trio

from tests.contract.shop_setup import open_shop, surfer

ORDER = {"id": "web-1", "name": "By web", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}


async def test_a_user_signs_in_orders_and_signs_out(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        assert await browser.session() == {"signed_in": False}
        assert await browser.sign_in("alice", "/%23/orders/7") == "/#/orders/7"
        found = await browser.session()
        assert found["user"] == {"sub": "alice", "name": "Alice", "preferred_username": "alice"}
        assert found["scopes"] == ["add_order"]
        made = await browser.ask("POST", "/api/order", ORDER)
        assert made.status == 201, made.content
        assert made.headers["location"] == f"{browser.origin}/api/order/web-1"
        listed = msgspec.json.decode((await browser.get("/api/order")).content)
        assert [order["id"] for order in listed["orders"]] == ["web-1"]
        answer = await browser.ask("POST", "/session/logout")
        assert answer.status == 200
        assert await browser.session() == {"signed_in": False}
        assert (await browser.get("/api/order")).status == 401
        location = msgspec.json.decode(answer.content)["location"]
        assert (await browser.follow(location)).status == 200
        assert browser.passed[-1] == f"{browser.origin}/"
        assert not any(name.startswith("__Host-sts-session") for name in browser.cookies)
