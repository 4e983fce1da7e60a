"""What operators do at the token service: see and rotate the signing keys, see and end sessions.

It takes exchanged tokens of this audience with the scope `operate`, over a connection of the very service that acts.
"""

from __future__ import annotations

from quart import Response

from ordermgmt.clock import rfc3339
from ordermgmt.errors import NotFound
from ordermgmt.ids import is_order_id
from ordermgmt.net.app import App, json_response
from ordermgmt.security.audit import audit
from ordermgmt.security.guard import current_principal, require
from ordermgmt.sts.contract import (
    OPERATE,
    OPERATE_KEYS_PATH,
    OPERATE_SESSIONS_PATH,
    REVOKE_SESSION_PATH,
    ROTATE_KEYS_PATH,
    KeyList,
    KeyStatus,
    SessionList,
    SessionStatus,
)
from ordermgmt.sts.key_rotation import StoredKey
from ordermgmt.sts.session_store import OpenSession
from ordermgmt.sts.sessions import Sessions
from ordermgmt.sts.signing_key import SigningKeys

__all__ = ["add_operations"]

PRIVATE = {"cache-control": "no-store"}


def add_operations(app: App, keys: SigningKeys, sessions: Sessions) -> None:
    """Add the routes."""

    @app.get(OPERATE_KEYS_PATH)
    @require(OPERATE)
    async def list_keys() -> Response:
        return json_response(KeyList(tuple(_key(keys, key) for key in keys.stored)), headers=PRIVATE)

    @app.post(ROTATE_KEYS_PATH)
    @require(OPERATE)
    async def rotate_keys() -> Response:
        key = await keys.rotate()
        audit("sts", "rotate-signing-key", current_principal(), kid=key.kid)
        return json_response(_key(keys, key), headers=PRIVATE)

    @app.get(OPERATE_SESSIONS_PATH)
    @require(OPERATE)
    async def list_sessions() -> Response:
        own = current_principal().sid
        found = await sessions.open_sessions()
        return json_response(SessionList(tuple(_session(one, own) for one in found)), headers=PRIVATE)

    @app.post(REVOKE_SESSION_PATH)
    @require(OPERATE)
    async def revoke_session(session_id: str) -> Response:
        if not is_order_id(session_id):
            raise NotFound("no-such-session", "there is no such session")
        user = await sessions.revoke_session(session_id)
        audit("sts", "revoke-session", current_principal(), session=session_id, user=user)
        return Response(b"", 204, dict(PRIVATE))


def _key(keys: SigningKeys, key: StoredKey) -> KeyStatus:
    changes_at = keys.changes_at(key)
    return KeyStatus(
        kid=key.kid,
        algorithm=key.algorithm,
        state=str(key.state),
        since=rfc3339(key.since),
        until=rfc3339(changes_at) if changes_at is not None else None,
    )


def _session(session: OpenSession, own: str | None) -> SessionStatus:
    return SessionStatus(
        id=session.sid,
        user=session.user,
        logged_in=rfc3339(session.auth_time),
        last_used=rfc3339(session.last_used_at),
        ends=rfc3339(session.ends_at),
        clients=session.clients,
        own=session.sid == own,
    )
