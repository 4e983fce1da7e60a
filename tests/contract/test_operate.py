"""What operators see and do through the gateway: who may, what it says, and what is written down of it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from ordermgmt.config import AdminConfig, Config, SuiteConfig
from ordermgmt.gateway.contract import OWN_PATHS, ROUTES
from ordermgmt.net.outbound import Response
from ordermgmt.storage import open_database
from ordermgmt.sts.main import open_accounts
from ordermgmt.suite import Suite
from ordermgmt.supervision.health import State
from ordermgmt.system import service_names
from ordermgmt.testing.harness import RunningSystem, running_system
from tests.contract.login_setup import CLIENT, Portal
from tests.contract.shop_setup import open_shop, surfer
from tests.log_lines import select

READS = ("status", "history", "accounts", "keys", "sessions", "held")
CHANGES = ("keys/rotate", "sessions/none-such/revoke")
ORDER = {"id": "100500", "name": "Sample order", "items": [{"category": "books", "code": "978-1617295959", "qty": 2}]}
SECRETS = ("PRIVATE", "oma_", "omr_", "eyJ", "private_pem", '"d":')
"""What no answer may hold: keys, and tokens of any kind."""


async def operate(system: RunningSystem, method: str, path: str, client: str | None = "admin-app") -> Response:
    token = await system.token(client) if client is not None else None
    return await system.request("gateway", method, f"/operate/{path}", token=token)


async def read(system: RunningSystem, path: str) -> Any:
    answer = await operate(system, "GET", path)
    assert answer.status == 200, (path, answer)
    assert answer.headers["cache-control"] == "no-store"
    assert not [secret for secret in SECRETS if secret.encode() in answer.content]
    return msgspec.json.decode(answer.content)


async def test_only_operators_see_and_do_anything(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with running_system(tmp_path) as system:
        for method, path in [*(("GET", path) for path in READS), *(("POST", path) for path in CHANGES)]:
            nobody = await operate(system, method, path, client=None)
            assert (nobody.status, nobody.content) == (401, b""), path
            counter = await operate(system, method, path, client="counter-app")
            assert (counter.status, counter.content) == (403, b""), path
            assert 'scope="operate"' in counter.headers["www-authenticate"], path
            admin = await operate(system, method, path)
            assert admin.status == (404 if "none-such" in path else 200), (path, admin)


async def test_only_sessions_of_operators_see_and_do_anything(tmp_path: Path, autojump_clock: MockClock) -> None:
    asked = [*(("GET", path) for path in READS), *(("POST", path) for path in CHANGES)]
    routes = [(method, route.path) for route in ROUTES for method in route.methods if route.path.startswith("/operate")]
    routes += [("GET", path) for path in OWN_PATHS]
    known = [(method, f"/operate/{path.replace('none-such', '<session_id>')}") for method, path in asked]
    assert sorted(known) == sorted(routes)
    async with running_system(tmp_path) as system:
        nobody, alice, admin = [await surfer(system) for _ in range(3)]
        await alice.sign_in("alice")
        await admin.sign_in("admin")
        for method, path in asked:
            good = 404 if "none-such" in path else 200
            for browser, status in ((nobody, 401), (alice, 403), (admin, good)):
                answer = await browser.ask(method, f"/api/operate/{path}")
                assert (answer.status, answer.headers["cache-control"]) == (status, "no-store"), (path, answer)
                assert status == good or answer.content == b"", path


@pytest.mark.parametrize("watched", ["/api/operate/status", "/api/operate/keys", "/api/journal"])
async def test_a_page_that_is_left_open_keeps_no_session(
    tmp_path: Path, watched: str, autojump_clock: MockClock
) -> None:
    async with open_shop(tmp_path, session_idle_lifetime=600) as system:
        browser, used = await surfer(system), await surfer(system)
        await browser.sign_in("admin")
        await used.sign_in("admin")
        for _ in range(9):
            await trio.sleep(60)
            assert (await browser.get(watched)).status == 200
            assert (await used.get("/api/order")).status == 200
        await trio.sleep(61)
        assert (await browser.get(watched)).status == 401
        assert (await used.get(watched)).status == 200


async def test_the_token_service_obeys_the_acting_service_only(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with running_system(tmp_path) as system:
        opaque = await system.token("admin-app")
        exchanged = await system.token_request(
            {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "client_id": "gateway",
                "subject_token": opaque,
                "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "audience": "sts",
            },
            identity="gateway",
        )
        token = msgspec.json.decode(exchanged.content)["access_token"]
        for_orders = await system.order_token("admin-app")

        async def ask(token: str, identity: str | None) -> int:
            answer = await system.request("sts", "GET", "/operate/keys", token=token, identity=identity)
            return answer.status

        assert await ask(token, "gateway") == 200
        assert await ask(token, "order") == 401
        assert await ask(token, None) == 401
        assert await ask(for_orders, "gateway") == 401
        assert await ask(opaque, "gateway") == 403
        direct = await system.token_request(
            {"grant_type": "client_credentials", "client_id": "gateway", "resource": "spiffe://ordermgmt.local/sts"},
            identity="gateway",
        )
        assert (direct.status, msgspec.json.decode(direct.content)["error"]) == (400, "invalid_target")


async def test_a_rotation_of_the_signing_key_is_seen_and_written_down(
    tmp_path: Path, autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_system(tmp_path) as system:
        (active,) = (await read(system, "keys"))["keys"]
        assert active["state"] == "active"
        answer = await operate(system, "POST", "keys/rotate")
        made = msgspec.json.decode(answer.content)
        assert (answer.status, made["state"]) == (200, "next")
        again = msgspec.json.decode((await operate(system, "POST", "keys/rotate")).content)
        assert again == made  # one that is published already is not replaced
        assert {key["kid"]: key["state"] for key in (await read(system, "keys"))["keys"]} == {
            active["kid"]: "active",
            made["kid"]: "next",
        }
        await trio.sleep(1300)
        assert {key["kid"]: key["state"] for key in (await read(system, "keys"))["keys"]} == {
            active["kid"]: "retiring",
            made["kid"]: "active",
        }
    first, _ = select(capsys.readouterr().err, "audit", action="rotate-signing-key", kid=made["kid"])
    assert (first["sub"], first["act"], first["caller"]) == ("client:admin-app", "client:gateway", "gateway")


async def test_status_tells_states_and_edges_as_they_are(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with running_system(tmp_path) as system:
        token = await system.token("admin-app")
        for number in range(5):
            created = await system.request(
                "gateway", "POST", "/order", token=token, json={**ORDER, "id": f"o-{number}"}
            )
            assert created.status == 201
        assert (await system.request("gateway", "GET", "/order/none")).status == 404
        await trio.sleep(5)
        (supervisor,) = (await read(system, "status"))["supervisors"]
        report = supervisor["report"]
        assert [(one["name"], one["state"], one["restarts"], one["reason"]) for one in report["services"]] == [
            (name, "running", 0, None) for name in service_names()
        ]
        edges = {(edge["caller"], edge["service"], edge["what"]): edge for edge in report["edges"]}
        assert set(edges) == {
            ("", "gateway", "requests"),
            ("gateway", "sts", "exchange"),
            ("gateway", "sts", "sessions"),
            ("gateway", "sts", "operate"),
            ("gateway", "sts", "token"),
            ("gateway", "order", "orders"),
            ("gateway", "inventory", "stock"),
            ("order", "sts", "keys"),
            ("order", "sts", "token"),
            ("order", "inventory", "stock"),
            ("inventory", "sts", "keys"),
            ("order", "sts", "revocations"),
            ("gateway", "sts", "revocations"),
        }
        clients = edges["", "gateway", "requests"]
        assert (clients["ok"], clients["refused"], clients["failed"]) == (5, 1, 0)
        assert sum(clients["counts"]) == 6
        assert edges["order", "inventory", "stock"]["ok"] >= 5
        assert {one["service"]: one["keys"] for one in report["issuers"]} == {"inventory": 1, "order": 1}
        assert all(0 <= one["age"] < 300 for one in report["issuers"])
        assert {one["name"] for one in report["certificates"]} == {"ca", *service_names()}
        assert report["journal"]["stuck"] == 0
        trust = [(one["caller"], one["service"], one["scopes"]) for one in report["trust"]]
        assert ("gateway", "sts", ["operate"]) in trust
        assert ("gateway", "inventory", ["read_inventory"]) in trust
        proofs = {(one["caller"], one["service"], *one["scopes"]): one["proof"] for one in report["trust"]}
        assert proofs["order", "sts", "read_revocations"] == "certificate"
        (supervisor,) = (await read(system, "history"))["supervisors"]
        samples = supervisor["report"]["samples"]
        assert [sample["number"] for sample in samples] == list(range(1, len(samples) + 1))
        assert len(samples) >= 2


async def test_an_answer_that_the_page_has_already_is_not_sent_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with running_system(tmp_path) as system:
        token = await system.token("admin-app")
        await trio.sleep(4)
        first = await system.request("gateway", "GET", "/operate/status", token=token)
        known = [("if-none-match", first.headers["etag"])]
        again = await system.request("gateway", "GET", "/operate/status", token=token, headers=known)
        assert (again.status, again.content) == (304, b"")
        await trio.sleep(4)
        later = await system.request("gateway", "GET", "/operate/status", token=token, headers=known)
        assert later.status == 200


async def test_a_service_that_is_away_is_told_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with running_system(tmp_path) as system:
        await trio.sleep(3)
        system.suite.board.record("inventory", State.BACKING_OFF, error="Crashed: gone")
        (supervisor,) = (await read(system, "status"))["supervisors"]
        (inventory,) = [one for one in supervisor["report"]["services"] if one["name"] == "inventory"]
        assert (inventory["state"], inventory["error"], inventory["reason"]) == ("backing_off", "Crashed: gone", None)


async def test_a_supervisor_that_does_not_answer_is_named(tmp_path: Path, autojump_clock: MockClock) -> None:
    config = Config(suite=SuiteConfig(admin=("127.0.0.1:9400", "127.0.0.1:9")))
    async with running_system(tmp_path, config=config) as system:
        here, gone = (await read(system, "status"))["supervisors"]
        assert (here["address"], gone) == ("127.0.0.1:9400", {"address": "127.0.0.1:9", "report": None})
        assert here["report"]["services"]


@pytest.mark.parametrize(
    ("admin_listen", "configured", "asked"),
    [
        ("", (), [f"127.0.0.1:{9400 + place}" for place in (len(service_names()), *range(1, len(service_names())))]),
        ("127.0.0.1:9400", (), ["127.0.0.1:9400"]),
        ("", ("127.0.0.1:9", "127.0.0.1:10"), ["127.0.0.1:9", "127.0.0.1:10"]),
    ],
)
async def test_a_gateway_alone_asks_the_supervisors_of_the_others(
    tmp_path: Path, autojump_clock: MockClock, admin_listen: str, configured: tuple[str, ...], asked: list[str]
) -> None:
    config = Config(suite=SuiteConfig(admin=configured), admin=AdminConfig(listen=admin_listen))
    assigned: list[tuple[str, ...]] = []

    def prepare(suite: Suite) -> None:
        assigned.append(suite._part("gateway", suite.services[0]).assignment.config.suite.admin)

    async with running_system(tmp_path, config=config, services=["gateway"], prepare=prepare):
        assert [list(one) for one in assigned] == [asked]


async def test_stock_and_orders_are_accounted_for(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with running_system(tmp_path) as system:
        token = await system.token("admin-app")
        assert (await system.request("gateway", "POST", "/order", token=token, json=ORDER)).status == 201
        accounts = await read(system, "accounts")
        assert (accounts["settled"], accounts["orders"], accounts["unfinished"]) == (True, 1, 0)
        rows = {one["code"]: one for one in accounts["goods"]}
        book = {"category": "books", "code": "978-1617295959", "added": 10, "in_orders": 2, "in_stock": 8, "missing": 0}
        assert rows["978-1617295959"] == book
        assert not any(one["missing"] for one in accounts["goods"])
        assert (await system.request("gateway", "DELETE", "/order/100500", token=token)).status == 200
        rows = {one["code"]: one for one in (await read(system, "accounts"))["goods"]}
        assert rows["978-1617295959"] == {**book, "in_orders": 0, "in_stock": 10}


async def test_pieces_that_nobody_has_are_missing(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with running_system(tmp_path) as system:
        token = await system.token("admin-app")
        assert (await system.request("gateway", "POST", "/order", token=token, json=ORDER)).status == 201
        migrations = files("ordermgmt.order") / "migrations"
        runtime = system.runtime
        async with open_database(
            system.location("order"), migrations, threads=runtime.threads, clock=runtime.clock
        ) as database:
            await database.write(lambda tx: tx.execute("UPDATE orders SET items = replace(items, ':2', ':1')"))
        accounts = await read(system, "accounts")
        assert [one["missing"] for one in accounts["goods"] if one["missing"]] == [1]


async def test_a_session_that_is_revoked_is_over_with_its_tokens(
    tmp_path: Path, autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_system(tmp_path) as system:
        async with open_accounts(system.location("sts"), system.runtime) as accounts:
            await accounts.add_client(CLIENT)
        portal = Portal(system)
        tokens = await portal.tokens(portal.browser())
        assert await portal.is_alive(tokens["access_token"])
        (session,) = (await read(system, "sessions"))["sessions"]
        assert (session["user"], session["clients"], session["own"]) == ("alice", ["spa"], False)
        revoked = await operate(system, "POST", f"sessions/{session['id']}/revoke")
        assert (revoked.status, revoked.content) == (204, b"")
        assert not await portal.is_alive(tokens["access_token"])
        assert (await read(system, "sessions"))["sessions"] == []
        assert (await operate(system, "POST", f"sessions/{session['id']}/revoke")).status == 404
    (line,) = select(capsys.readouterr().err, "audit", action="revoke-session", session=session["id"])
    assert (line["user"], line["sub"]) == ("alice", "client:admin-app")
