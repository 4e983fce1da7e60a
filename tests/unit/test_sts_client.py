from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from quart import Response

from ordermgmt.errors import Error, Unauthenticated, Unavailable
from ordermgmt.net import Address
from ordermgmt.net.app import App, json_response, new_app
from ordermgmt.net.outbound import open_client
from ordermgmt.net.server import serve
from ordermgmt.pki import files as pki
from ordermgmt.security.peer import Peer
from ordermgmt.security.tls import Credential, load_credential
from ordermgmt.sts.bound_client import BoundToken
from ordermgmt.sts.client import IssuedToken, StsClient
from ordermgmt.testing.memory import MemoryNetwork
from tests.unit.sts_setup import DOMAIN, NOW, open_sts, service

ADDRESS = Address("127.0.0.1", 9446)


@asynccontextmanager
async def serving(app: App, *, peer: Peer | None = None, client_id: str = "gateway") -> AsyncIterator[StsClient]:
    """Serve `app` in memory, where every client proves to be `peer`, and open a client of it."""
    network, drain = MemoryNetwork(), trio.Event()
    listener = (await network.bind(ADDRESS)).open_listener()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, app, listener, drain=drain, identify=lambda _: peer))
        async with open_client(network, [ADDRESS], tls=None) as http:
            yield StsClient(http, client_id)
        drain.set()


@pytest.fixture
def credential(tmp_path: Path) -> Credential:
    pki.ensure(tmp_path, ["order"], ["localhost"], DOMAIN, NOW)
    return load_credential(tmp_path, "order", DOMAIN)


class Issuer:
    """A token service that numbers its tokens and does what a test says."""

    def __init__(self) -> None:
        self.requests = 0
        self.failing = False
        self.pause = 0.0
        self.app = new_app("issuer")
        self.app.post("/oauth2/token")(self.token)

    async def token(self) -> Response:
        self.requests += 1
        number = self.requests
        await trio.sleep(self.pause)
        if self.failing:
            raise Unavailable("storage-unavailable")
        return json_response({"access_token": f"token-{number}", "expires_in": 600, "token_type": "Bearer", "new": 1})


@asynccontextmanager
async def holding(issuer: Issuer, credential: Credential) -> AsyncIterator[BoundToken]:
    async with serving(issuer.app) as sts, trio.open_nursery() as nursery:
        bound = BoundToken(sts, credential, "inventory", ["read_inventory"])
        await nursery.start(bound.run)
        yield bound
        nursery.cancel_scope.cancel()


async def test_a_token_is_exchanged(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with open_sts(tmp_path) as sts, serving(sts.app, peer=service("gateway")) as client:
        issued = await client.exchange(await sts.user_token(), "order")
        assert sts.read(issued.token, "order").actors == ("client:gateway",)
        assert issued.expires_in == 60
        assert issued.scopes == {"add_order", "cancel_order"}


async def test_a_service_gets_its_own_bound_token(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with open_sts(tmp_path) as sts, serving(sts.app, peer=service("order"), client_id="order") as client:
        issued = await client.client_credentials(f"spiffe://{DOMAIN}/inventory", ["read_inventory"])
        assert sts.read(issued.token, "inventory", "thumb").bound
        assert issued.scopes == {"read_inventory"}


async def test_a_bad_subject_token_is_the_callers_fault(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with open_sts(tmp_path) as sts, serving(sts.app, peer=service("gateway")) as client:
        with pytest.raises(Unauthenticated, match="invalid-subject-token"):
            await client.exchange("oma_" + "x" * 43, "order")


async def test_a_service_that_is_not_known_is_our_fault(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with open_sts(tmp_path) as sts, serving(sts.app, peer=service("order")) as client:
        with pytest.raises(Unavailable, match="sts-refused"):
            await client.exchange(await sts.user_token(), "order")


async def test_nobody_there(autojump_clock: trio.testing.MockClock) -> None:
    async with open_client(MemoryNetwork(), [ADDRESS], tls=None) as http:
        with pytest.raises(Unavailable, match="sts-unreachable"):
            await StsClient(http, "gateway").exchange("x", "order")


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, "{}", "sts-rubbish"),
        (200, "<html>", "sts-rubbish"),
        (200, '{"access_token": "x", "expires_in": 60, "token_type": "DPoP"}', "sts-rubbish"),
        (400, "<html>", "sts-unavailable"),
        (503, '{"title": "Service Unavailable"}', "sts-unavailable"),
        (400, '{"error": "invalid_target"}', "sts-refused"),
    ],
)
async def test_any_other_answer_is_unavailable(
    status: int, body: str, code: str, autojump_clock: trio.testing.MockClock
) -> None:
    app = new_app("odd")
    app.post("/oauth2/token")(_constant(lambda: Response(body, status)))
    async with serving(app) as client:
        with pytest.raises(Unavailable, match=code):
            await client.exchange("token", "order")


async def test_what_it_does_not_know_of_an_answer_is_ignored(autojump_clock: trio.testing.MockClock) -> None:
    """RFC 6749 section 5.1, also for the case of the type."""
    app = new_app("new")
    body = '{"access_token": "x", "expires_in": 60, "token_type": "bEARER", "scope": "a b", "new": {"er": 1}}'
    app.post("/oauth2/token")(_constant(lambda: Response(body, 200)))
    async with serving(app) as client:
        assert await client.exchange("token", "order") == IssuedToken("x", 60, frozenset({"a", "b"}))


def _constant(make: Callable[[], Response]) -> Callable[[], Awaitable[Response]]:
    async def view() -> Response:
        return make()

    return view


async def test_many_requests_make_one_fetch(credential: Credential, autojump_clock: trio.testing.MockClock) -> None:
    issuer, tokens = Issuer(), []
    issuer.pause = 1.0

    async def use(bound: BoundToken) -> None:
        tokens.append(await bound.get())

    async with holding(issuer, credential) as bound:
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(0.5) as first:
                await bound.get()
            for _ in range(50):
                nursery.start_soon(use, bound)
        assert first.cancelled_caught
        assert tokens == ["token-1"] * 50
        assert issuer.requests == 1
        assert bound.credential is credential


async def test_nothing_is_fetched_before_it_is_needed(
    credential: Credential, autojump_clock: trio.testing.MockClock
) -> None:
    issuer = Issuer()
    async with holding(issuer, credential):
        await trio.sleep(10_000)
        assert issuer.requests == 0


async def test_it_is_renewed_at_half_its_life_while_the_old_one_is_used(
    credential: Credential, autojump_clock: trio.testing.MockClock
) -> None:
    issuer = Issuer()
    async with holding(issuer, credential) as bound:
        assert await bound.get() == "token-1"
        await trio.sleep(299)
        assert await bound.get() == "token-1"
        issuer.pause = 2.0
        await trio.sleep(2)
        with trio.fail_after(0.1):
            assert await bound.get() == "token-1"
        await trio.sleep(2)
        assert await bound.get() == "token-2"


async def test_a_failed_renewal_is_tried_again_and_the_token_used_to_its_end(
    credential: Credential, autojump_clock: trio.testing.MockClock
) -> None:
    issuer = Issuer()
    async with holding(issuer, credential) as bound:
        await bound.get()
        issuer.failing = True
        await trio.sleep(590)
        assert await bound.get() == "token-1"
        assert issuer.requests > 50
        await trio.sleep(6)
        with pytest.raises(Unavailable, match="sts-unavailable"):
            await bound.get()
        issuer.failing = False
        last = issuer.requests
        assert await bound.get() == f"token-{last + 1}"


async def test_a_hanging_token_service_fails_the_fetch_in_bounded_time(
    credential: Credential, autojump_clock: trio.testing.MockClock
) -> None:
    issuer = Issuer()
    issuer.pause = 1000
    async with holding(issuer, credential) as bound:
        with trio.fail_after(10.5), pytest.raises(Unavailable, match="sts-unreachable"):
            await bound.get()


async def test_a_token_that_was_refused_is_replaced_once(
    credential: Credential, autojump_clock: trio.testing.MockClock
) -> None:
    issuer = Issuer()
    async with holding(issuer, credential) as bound:
        refused = await bound.get()
        bound.discard(refused)
        assert await bound.get() == "token-2"
        bound.discard(refused)
        assert await bound.get() == "token-2"


async def test_waiting_requests_fail_when_the_service_ends(
    credential: Credential, autojump_clock: trio.testing.MockClock
) -> None:
    issuer, failures = Issuer(), []
    issuer.pause = 5.0

    async def use(bound: BoundToken) -> None:
        try:
            await bound.get()
        except Error as error:
            failures.append(error.code)

    async with serving(issuer.app) as sts, trio.open_nursery() as requests:
        bound = BoundToken(sts, credential, "inventory")
        async with trio.open_nursery() as nursery:
            await nursery.start(bound.run)
            requests.start_soon(use, bound)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        await use(bound)
    assert failures == ["shutting-down"] * 2


def test_a_token_is_not_in_a_repr() -> None:
    assert "secret" not in repr(IssuedToken("secret", 60, frozenset()))
