"""The verbs behind what browsers see of the gateway, and the API as a session uses it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import trio

from ordermgmt.errors import Unauthenticated, Unavailable
from ordermgmt.gateway.browser_sessions import BrowserSessions
from ordermgmt.gateway.exchanges import Exchanges
from ordermgmt.gateway.files import Files
from ordermgmt.gateway.operations import INVALID_SUBJECT_TOKEN, Answer, Forwarder, Request
from ordermgmt.gateway.sessions import Session
from ordermgmt.gateway.sign_in import SignIns
from ordermgmt.gateway.trail import Trails
from ordermgmt.ids import Entropy
from ordermgmt.order.contract import AUDIENCE as ORDER
from ordermgmt.telemetry.caches import Lookups

__all__ = ["Portal", "SessionApi"]

T = TypeVar("T")

CONFIRM_TIMEOUT = 0.5
"""Seconds that a look at the system waits for the provider: with the second that supervisors have it stays well under
the two that the operator's page waits for an answer."""


class SessionApi:
    """Passes requests of sessions on."""

    def __init__(self, forwarder: Forwarder, sessions: BrowserSessions, exchanges: Exchanges) -> None:
        self._forwarder = forwarder
        self._sessions = sessions
        self._exchanges = exchanges

    @property
    def lookups(self) -> Lookups:
        """How often an exchange was kept already."""
        return self._exchanges.lookups

    async def forward(self, request: Request, session: Session) -> Answer:
        """Pass a request on for the session's user. Raises as `Forwarder.forward` does.

        A token that the provider refuses before its time was revoked: whether the session goes on without it is asked
        once, by a refresh. The request itself leaves once at most.
        """
        if request.method not in request.route.authenticated:
            return await self._forwarder.forward(request)
        return await self._with_token(
            session, lambda token: self._forwarder.forward(replace(request, subject_token=token))
        )

    async def confirm(self, session: Session) -> None:
        """Have the provider vouch for a session of which no request goes on to a service; kept for as long as a token.

        Raises Unauthenticated if it refuses, and the session has ended. Without an answer the session goes on: what
        operators look at says, too, that the provider is away.
        """
        with trio.move_on_after(CONFIRM_TIMEOUT):
            try:
                await self._with_token(session, lambda token: self._exchanges.get(token, ORDER))
            except Unavailable:
                return

    async def _with_token(self, session: Session, use: Callable[[str], Awaitable[T]]) -> T:
        """Return what `use` does with a token of the session; the session ends if the provider takes none of it."""
        token = await self._sessions.access_token(session)
        try:
            return await use(token)
        except Unauthenticated as error:
            if error.code != INVALID_SUBJECT_TOKEN:
                raise
        token = await self._sessions.access_token_after(session, token)
        try:
            return await use(token)
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
