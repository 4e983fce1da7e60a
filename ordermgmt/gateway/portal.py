"""The verbs behind what browsers see of the gateway, and the API as a session uses it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ordermgmt.errors import Unauthenticated
from ordermgmt.gateway.browser_sessions import BrowserSessions
from ordermgmt.gateway.files import Files
from ordermgmt.gateway.operations import INVALID_SUBJECT_TOKEN, Answer, Forwarder, Request
from ordermgmt.gateway.sessions import Session
from ordermgmt.gateway.sign_in import SignIns
from ordermgmt.gateway.trail import Trails
from ordermgmt.ids import Entropy

__all__ = ["Portal", "SessionApi"]


class SessionApi:
    """Passes requests of sessions on."""

    def __init__(self, forwarder: Forwarder, sessions: BrowserSessions) -> None:
        self._forwarder = forwarder
        self._sessions = sessions

    async def forward(self, request: Request, session: Session) -> Answer:
        """Pass a request on for the session's user. Raises as `Forwarder.forward` does.

        A token that the provider refuses before its time was revoked: whether the session goes on without it is asked
        once, by a refresh. The request itself leaves once at most.
        """
        if request.method not in request.route.authenticated:
            return await self._forwarder.forward(request)
        token = await self._sessions.access_token(session)
        try:
            return await self._forwarder.forward(replace(request, subject_token=token))
        except Unauthenticated as error:
            if error.code != INVALID_SUBJECT_TOKEN:
                raise
        token = await self._sessions.access_token_after(session, token)
        try:
            return await self._forwarder.forward(replace(request, subject_token=token))
        except Unauthenticated as error:
            if error.code != INVALID_SUBJECT_TOKEN:
                raise
            refused = error
        await self._sessions.forget(session)
        raise refused


@dataclass(frozen=True, slots=True)
class Portal:
    """What the routes for browsers need. `origin` is the one under which browsers see us."""

    origin: str
    sessions: BrowserSessions
    sign_ins: SignIns
    api: SessionApi
    files: Files
    trails: Trails
    entropy: Entropy
