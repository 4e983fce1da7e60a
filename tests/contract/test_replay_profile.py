"""What the guide's published tokens open under `--guide`, and what they never open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from ordermgmt.config import Config, InventoryConfig
from ordermgmt.errors import StartError
from ordermgmt.security.keys import SigningKey
from ordermgmt.sts import main as sts_main
from ordermgmt.testing.clocks import START
from ordermgmt.testing.harness import RunningSystem, running_system

TOKENS = Path(__file__).parents[2] / "scripts" / "guide" / "tokens.txt"
ITEMS = [{"category": "books", "code": "978-1617295959", "qty": 1}]
ORDER = {"id": "1", "name": "One", "items": ITEMS}
EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "client_id": "gateway",
    "audience": "order",
}
TOKEN_TYPES = ("urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt")


def published() -> dict[str, str]:
    lines = [line for line in TOKENS.read_text().splitlines() if not line.startswith("#")]
    return {name: token for name, token in (line.split(" ") for line in lines)}  # noqa: C416 - says the type


@pytest.fixture(scope="module")
def anybodys_key() -> SigningKey:
    """A key that takes the place of the public one, as only the key set of the latter comes with the project."""
    return SigningKey.generate("RS256")


@pytest.fixture
def mint(anybodys_key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(
        sts_main, "_guide_jwks", lambda context: {"keys": [anybodys_key.public_jwk()]} if context.guide else None
    )

    def make(sub: str, scope: object, typ: str = "JWT", **changes: object) -> str:
        now = int(START)
        claims = {"iss": "wso2", "sub": sub, "aud": "ballerina", "exp": now + 3600, "nbf": now, "iat": now, "jti": "x"}
        return anybodys_key.sign(claims | {"scope": scope} | changes, typ)

    return make


async def create(system: RunningSystem, token: str, **changes: object) -> int:
    return (await system.request("order", "POST", "/order", token=token, json=ORDER | changes)).status


async def test_the_published_tokens_do_what_the_guide_does(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    counter, admin = published()["counter"], published()["admin"]
    async with running_system(tmp_path, guide=True) as system:
        assert await create(system, counter) == 201
        body = {"name": "Two", "items": ITEMS}
        assert (await system.request("order", "PUT", "/order/1", token=counter, json=body)).status == 403
        assert (await system.request("order", "PUT", "/order/1", token=admin, json=body)).status == 200
        assert (await system.request("order", "DELETE", "/order/1", token=admin)).status == 200
        assert system.data.name == "guide"
        if isinstance(system.location("order"), Path):
            assert (tmp_path / "var" / "guide" / "order.sqlite").exists()
        assert not (tmp_path / "var" / "order.sqlite").exists()


async def test_without_the_profile_they_are_worthless(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        for token in published().values():
            assert await create(system, token) == 401
        assert (await system.request("sts", "GET", "/guide/jwks")).status == 404


async def test_minted_tokens_get_nothing_beyond_three_scopes(
    mint: Any, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path, guide=True) as system:
        own = await system.order_token("alice-app")
        assert await create(system, own, id="live") == 201
        alice = mint("alice", "add_order read_all_orders operate")
        assert await create(system, alice) == 201
        listed = await system.request("order", "GET", "/order", token=alice)
        assert [order["id"] for order in json.loads(listed.content)["orders"]] == ["1"]
        assert (await system.request("order", "GET", "/order/live/history", token=alice)).status == 404
        assert (await system.request("order", "DELETE", "/order/1", token=alice)).status == 403
        powerless = mint("alice", ["read_all_orders", "operate", "manage_inventory", "change_inventory"])
        assert await create(system, powerless, id="2") == 403
        everyone = await system.request("order", "GET", "/order", token=mint("mallory", "read_all_orders"))
        assert json.loads(everyone.content)["orders"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "order"},
        {"aud": "gateway"},
        {"iss": "https://localhost:9445"},
        {"iss": "https://localhost:9445", "aud": "order"},
        {"iss": "https://localhost:9445", "aud": "order", "typ": "at+jwt"},
        {"typ": "at+jwt"},
        {"exp": int(START) - 31},
    ],
)
async def test_the_public_key_vouches_for_nothing_else(
    changes: dict[str, Any], mint: Any, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path, guide=True) as system:
        assert await create(system, mint("counter", "add_order")) == 201
        assert await create(system, mint("counter", "add_order", **changes), id="2") == 401


@pytest.mark.parametrize("scope", ["add_order", "read_all_orders operate", "read_inventory change_inventory"])
async def test_no_other_service_takes_them(
    scope: str, mint: Any, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path, guide=True) as system:
        for token in (*published().values(), mint("alice", scope), mint("alice", scope, aud="gateway")):
            for token_type in TOKEN_TYPES:
                refused = await system.token_request(
                    EXCHANGE | {"subject_token": token, "subject_token_type": token_type}, identity="gateway"
                )
                assert (refused.status, json.loads(refused.content)["error"]) == (400, "invalid_request")
            assert (await system.request("gateway", "POST", "/order", token=token, json=ORDER)).status == 401
            assert (await system.request("gateway", "GET", "/order", token=token)).status == 401
            for identity in ("order", "gateway"):
                answer = await system.request("inventory", "GET", "/inventory", token=token, identity=identity)
                assert answer.status == 401
        assert (await system.request("order", "GET", "/order/1")).status == 404


async def test_owners_of_the_same_name_are_others(mint: Any, tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path, guide=True) as system:
        live = await system.order_token("admin-app")
        namesake = mint("client:admin-app", "add_order")
        assert await create(system, live, id="live") == 201
        assert await create(system, namesake, id="minted") == 201
        assert (await system.request("order", "GET", "/order/live/history", token=namesake)).status == 404
        mine = await system.request("order", "GET", "/order", token=namesake)
        assert [order["id"] for order in json.loads(mine.content)["orders"]] == ["minted"]
        history = await system.request("order", "GET", "/order/minted/history", token=live)  # reads all orders
        (change,) = json.loads(history.content)["changes"]
        assert (change["issuer"], change["subject"]) == ("wso2", "client:admin-app")


async def test_the_profile_keeps_to_loopback(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    exposed = Config(inventory=InventoryConfig(listen="192.0.2.1:9091"))
    with pytest.raises(StartError, match=r"192\.0\.2\.1:9091 must be on loopback"):
        async with running_system(tmp_path, config=exposed, guide=True):
            pytest.fail("it started")
    assert not (tmp_path / "var").exists()
