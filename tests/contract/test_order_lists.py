"""Lists and histories of orders: who sees what, in which order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import trio

from ordermgmt.net.outbound import HttpClient
from ordermgmt.pki import files as pki
from ordermgmt.testing.harness import RunningSystem, running_system
from tests.contract.shop_setup import open_shop, surfer

BOOK = {"category": "books", "code": "978-1617295959", "qty": 1}
CABLE = {"category": "electronics", "code": "CABLE", "qty": 1}


async def create(system: RunningSystem, token: str, order_id: str, item: dict[str, Any] = BOOK) -> str:
    body = {"id": order_id, "name": f"Order {order_id}", "items": [item]}
    answer = await system.request("order", "POST", "/order", token=token, json=body)
    assert answer.status == 201
    return answer.headers["etag"]


async def page(system: RunningSystem, token: str, query: str = "") -> tuple[list[str], str | None]:
    answer = await system.request("order", "GET", f"/order{query}", token=token)
    assert answer.status == 200
    document = json.loads(answer.content)
    return [order["id"] for order in document["orders"]], document.get("next")


async def test_a_list_shows_ones_own_orders_newest_first(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        admin, alice, bob = [await system.order_token(f"{who}-app") for who in ("admin", "alice", "bob")]
        for token, order_id in ((alice, "a1"), (bob, "b1"), (alice, "a2")):
            await create(system, token, order_id)
        assert await page(system, alice) == (["a2", "a1"], None)
        assert await page(system, bob) == (["b1"], None)
        assert await page(system, admin) == (["a2", "b1", "a1"], None)
        assert (await system.request("order", "GET", "/order")).status == 401
        without = await system.token("admin-app", resource="https://localhost:9090", scope="add_order")
        assert await page(system, without) == ([], None)


async def test_pages_hold_every_order_once(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        admin = await system.order_token("admin-app")
        await stock_cables(system)
        ids = [f"n{number}" for number in range(120)]
        for order_id in ids:
            await create(system, await system.order_token("alice-app"), order_id, CABLE)
        for query, sizes in (("?", [50, 50, 20]), ("?limit=40", [40, 40, 40]), ("?limit=119", [119, 1])):
            seen: list[list[str]] = []
            cursor: str | None = ""
            while cursor is not None:
                shown, cursor = await page(system, admin, f"{query}&cursor={cursor}" if cursor else query)
                seen.append(shown)
                if len(seen) == 1:  # what is new meanwhile moves nothing
                    await create(system, admin, f"late-{query[-2:].strip('?=')}", CABLE)
                    await cancel(system, admin, f"late-{query[-2:].strip('?=')}")
            assert [len(shown) for shown in seen] == sizes
            assert [order_id for shown in seen for order_id in shown] == ids[::-1]


async def stock_cables(system: RunningSystem) -> None:
    suite = system.suite.config.suite
    pki.issue(system.certs, "operator", suite.names, suite.trust_domain, system.runtime.clock.now())
    goods = {"operation": "stock", "name": "Cable", "price": "1.00", "add": 1000}
    answer = await system.request(
        "inventory",
        "PUT",
        "/inventory/electronics/CABLE",
        token=await system.bound_token("operator"),
        json=goods,
        identity="operator",
    )
    assert answer.status == 201, answer.content


async def cancel(system: RunningSystem, token: str, order_id: str) -> None:
    assert (await system.request("order", "DELETE", f"/order/{order_id}", token=token)).status == 200


async def test_a_cursor_or_limit_that_makes_no_sense_is_400(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        token = await system.order_token("alice-app")
        queries = [f"limit={limit}" for limit in ("0", "-1", "201", "x", "", "1.5", "%C2%B2", "0000000010000")]
        queries += [f"cursor={cursor}" for cursor in ("", "x", "AAAAAAAAAA", "AAAAAAAAAAAA", "_________-8", "%00" * 11)]
        for query in queries:
            answer = await system.request("order", "GET", f"/order?{query}", token=token)
            assert (query, answer.status) == (query, 400)
            assert json.loads(answer.content)["type"].endswith(f"invalid-{query.partition('=')[0]}")
        assert (await system.request("order", "GET", "/order?limit=200&cursor=AAAAAAAAAAA", token=token)).status == 200


async def test_the_history_is_for_the_owner_and_who_reads_all_orders(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path) as system:
        admin, alice, bob = [await system.order_token(f"{who}-app") for who in ("admin", "alice", "bob")]
        await create(system, alice, "1")
        update = {"name": "Two", "items": [BOOK]}
        through_gateway = await system.token("admin-app")
        changed = await system.request("gateway", "PUT", "/order/1", token=through_gateway, json=update)
        assert changed.status == 200
        for token, status in ((alice, 200), (admin, 200), (bob, 404), (None, 401)):
            answer = await system.request("order", "GET", "/order/1/history", token=token)
            assert answer.status == status
        answer = await system.request("order", "GET", "/order/1/history", token=alice)
        changes = json.loads(answer.content)["changes"]
        assert [(change["action"], change["subject"], change["actor"]) for change in changes] == [
            ("created", "client:alice-app", None),
            ("updated", "client:admin-app", "client:gateway"),
        ]


async def test_the_history_calls_users_by_their_full_name(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        created = await browser.ask("POST", "/api/order", {"id": "1", "name": "One", "items": [BOOK]})
        assert created.status == 201
        admin = await system.order_token("admin-app")
        update = {"name": "Two", "items": [BOOK]}
        assert (await system.request("order", "PUT", "/order/1", token=admin, json=update)).status == 200
        changes = json.loads((await browser.get("/api/order/1/history")).content)["changes"]
        assert [(change["subject"], change["full_name"], change["actor"]) for change in changes] == [
            ("alice", "Alice", "client:gateway"),
            ("client:admin-app", None, None),
        ]


async def test_an_id_that_is_used_again_has_no_past(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        admin, alice, bob = [await system.order_token(f"{who}-app") for who in ("admin", "alice", "bob")]
        old = await create(system, alice, "1")
        await cancel(system, admin, "1")
        new = await create(system, bob, "1")
        assert new != old
        headers = [("if-none-match", old)]
        assert (await system.request("order", "GET", "/order/1", headers=headers)).status == 200
        refused = await system.request("order", "DELETE", "/order/1", token=admin, headers=[("if-match", old)])
        assert refused.status == 412
        answer = await system.request("order", "GET", "/order/1/history", token=bob)
        assert [change["subject"] for change in json.loads(answer.content)["changes"]] == ["client:bob-app"]
        assert (await system.request("order", "GET", "/order/1/history", token=alice)).status == 404


async def test_a_client_who_hangs_up_does_not_end_the_change(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        admin = await system.order_token("admin-app")
        headers = [("authorization", f"Bearer {admin}"), ("content-type", "application/json")]
        client = await system.client("order")
        kept_without_an_answer = 0
        for steps in range(0, 120, 2):
            content = json.dumps({"id": "1", "name": "One", "items": [BOOK]}).encode()
            answered = await ask_for(steps, client, headers, content)
            await trio.sleep(0.5)
            kept = (await system.request("order", "GET", "/order/1")).status == 200
            kept_without_an_answer += kept and not answered
            stock = await system.request("gateway", "GET", "/inventory/books/978-1617295959")
            assert json.loads(stock.content)["qty"] == (9 if kept else 10)
            if kept:
                await cancel(system, admin, "1")
        assert kept_without_an_answer


async def ask_for(steps: int, client: HttpClient, headers: list[tuple[str, str]], content: bytes) -> bool:
    """Create an order, and hang up after so many steps of the loop. Tells whether it was answered before."""
    answered = False
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            nonlocal answered
            await client.request("POST", "/order", headers=headers, content=content)
            answered = True
            nursery.cancel_scope.cancel()

        nursery.start_soon(ask)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    return answered
