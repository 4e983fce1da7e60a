"""Logging out at a client's request (OpenID Connect RP-Initiated Logout 1.0)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from ordermgmt.errors import InvalidRequest
from ordermgmt.storage import Database
from ordermgmt.sts import store
from ordermgmt.sts.mint import Mint
from ordermgmt.sts.registration import Client, is_client_id
from ordermgmt.sts.rules import Rules

__all__ = ["Logout", "Logouts"]


@dataclass(frozen=True, slots=True)
class Logout:
    """What a client asks for. Without one the user came by itself."""

    client: Client | None = None
    destination: str = ""
    """Where the user goes afterwards, `state` included. Empty: to a page of ours."""
    proven_sid: str = ""
    """The session that the client has an ID token of: the user need not be asked about that one."""


class Logouts:
    """Reads requests for logging out. `system` has the clients that are not registered, by id."""

    def __init__(self, database: Database, mint: Mint, rules: Rules, system: Mapping[str, Client]) -> None:
        self._database = database
        self._mint = mint
        self._rules = rules
        self._system = system

    async def read(self, parameters: Sequence[tuple[str, str]]) -> Logout:
        """Return what is asked for with these parameters.

        An ID token that proves nothing, because it is not one of ours or of a key that is no more, is as good as none.
        Raises InvalidRequest, for the user to see, if it cannot be said who asks, or it has not registered where the
        user is to be sent (section 3).
        """
        counts = Counter(name for name, value in parameters if value)
        given = {name: value for name, value in parameters if value}
        if any(counts[name] > 1 for name in ("id_token_hint", "client_id", "post_logout_redirect_uri", "state")):
            raise InvalidRequest("invalid-logout-request", "a parameter is repeated")
        hint = self._mint.read_id_token(given.get("id_token_hint", ""), self._rules.issuer)
        client_id = given.get("client_id", hint.client_id if hint else "")
        if hint is not None and hint.client_id != client_id:
            raise InvalidRequest("invalid-logout-request", "the ID token is another client's")
        client = self._system.get(client_id)
        if client is None and is_client_id(client_id):
            client = await self._database.read(lambda transaction: store.find_client(transaction, client_id))
        destination = given.get("post_logout_redirect_uri", "")
        if destination and (client is None or destination not in client.post_logout_redirect_uris):
            raise InvalidRequest("invalid-logout-request", "the client has not registered that address to return to")
        if destination and "state" in given:
            destination += ("&" if "?" in destination else "?") + urlencode({"state": given["state"]})
        return Logout(client, destination, hint.sid if hint is not None and client is not None else "")
