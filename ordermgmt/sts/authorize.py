"""The authorization endpoint's steps (RFC 6749 section 4.1): begin, have the user log in and consent, give a code.

Every verb that leads on returns the URL that the browser is sent to with 303: the login page, the consent page, or
the client's redirect URI with a code or an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ordermgmt.sts.authorization import Pending, Session
from ordermgmt.sts.registration import Client

__all__ = ["Authorizations", "Waiting"]


class Waiting(NamedTuple):
    """A request that waits for its user, and the client that sent it."""

    pending: Pending
    client: Client


class Authorizations:
    """Answers authorization requests."""

    async def begin(self, parameters: Sequence[tuple[str, str]], session: Session | None) -> str:
        """Take a request with all its parameters in order, from a browser with this session, and return where to go.

        Raises OAuthError if it cannot be said where the client wants its answer: that is for the user to see, and the
        browser is sent nowhere (RFC 6749 section 4.1.2.1). Every other mistake goes to the client.
        """
        raise NotImplementedError

    async def pending(self, request_id: str) -> Waiting:
        """Return the request of a login or consent page. Raises NotFound("no-such-request") if it waits no more."""
        raise NotImplementedError

    async def grant_consent(self, request_id: str, session: Session) -> None:
        """Note that the session's user lets the client do what it asks for, as far as the user itself may.

        That is remembered for requests to come. `continue_authorization` is next. Raises NotFound as `pending` does.
        """
        raise NotImplementedError

    async def deny(self, request_id: str) -> str:
        """End a request because the user does not want it: `access_denied`. Raises NotFound as `pending` does."""
        raise NotImplementedError

    async def continue_authorization(self, request_id: str, session: Session | None) -> str:
        """Go on with a request after a login or a consent, and return where to go: perhaps to the one still missing.

        A code is on disk before its URL is returned, and a request gives one code. Raises NotFound as `pending` does.
        """
        raise NotImplementedError
