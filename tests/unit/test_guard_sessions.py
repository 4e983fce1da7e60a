"""Views that require the session of a browser."""

from __future__ import annotations

import pytest
from quart_trio import QuartTrio

from ordermgmt.errors import StartError, Unauthenticated
from ordermgmt.security.guard import Guard, Require, require_session
from ordermgmt.security.principal import Principal
from tests.unit.guard_setup import GOOD, Door, ask, sample_app


async def page() -> str:
    return "page"


def with_session(app: QuartTrio) -> None:
    app.add_url_rule("/own", "own", require_session("a")(page))


async def test_a_session_is_required_only_where_there_are_sessions() -> None:
    app = sample_app()
    with_session(app)
    with pytest.raises(StartError, match="GET HEAD /own requires a session, and there are none here"):
        Guard(Require(), Door(), "order").protect(app)


@pytest.mark.parametrize(("scopes", "status"), [({"a"}, 200), ({"b"}, 403), (None, 401)])
async def test_a_session_takes_no_token_and_asks_for_none(scopes: set[str] | None, status: int) -> None:
    async def authenticate() -> Principal:
        if scopes is None:
            raise Unauthenticated("no-session")
        return Principal("iss", "alice", frozenset(scopes))

    app, door = sample_app(), Door("a")
    with_session(app)
    Guard(Require(), door, "order", authenticate_session=authenticate).protect(app)
    answer = await ask(app, "GET", "/own", f"Bearer {GOOD}")
    assert (answer.status, door.asked) == (status, [])
    assert answer.headers.get("www-authenticate") == {
        200: None,
        401: 'Cookie realm="order"',
        403: 'Bearer realm="order", error="insufficient_scope", scope="a"',
    }[status]  # fmt: skip
