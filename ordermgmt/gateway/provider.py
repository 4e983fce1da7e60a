"""The OpenID provider whose users sign in here: found by its issuer, asked as one of its confidential clients."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from urllib.parse import quote_plus, urlencode

import msgspec
import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import Unauthenticated, Unavailable
from ordermgmt.gateway.discovery import MAX_DOCUMENT, Location, ProviderMetadata, location_of, read_metadata
from ordermgmt.gateway.id_token import ID_TOKEN_TYPES, SignedIn, check_id_token
from ordermgmt.net.outbound import HttpClient, Interrupted, Response, Unreachable
from ordermgmt.security.jwks import JwksClient, fetch_over
from ordermgmt.security.tokens import TrustedIssuer, parse
from ordermgmt.security.verifier import TokenVerifier
from ordermgmt.sts.contract import (
    ACCESS_TOKEN_TYPE,
    AUTHORIZATION_CODE,
    INVALID_GRANT,
    INVALID_REQUEST,
    REFRESH_TOKEN,
    TOKEN_EXCHANGE,
    ErrorResponse,
)
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.secrets import Secret, Unshown

__all__ = ["Client", "ConnectedProvider", "GrantRefused", "Provider", "TokenAnswer"]

log = get_logger("provider")

REFRESH = 300.0
"""Seconds after which the document is read again."""
FIRST_RETRY, LAST_RETRY = 0.5, 15.0
"""Seconds between attempts while the provider is away: doubled from the first to the last."""
WAIT = 5.0
"""Seconds that a request waits for a provider that was not found yet."""
TIMEOUT = 4.0
"""Seconds that a request to the provider may take: less than the lease of a session."""
ALGORITHMS = ("ES256", "RS256")

Connect = Callable[[str], AbstractAsyncContextManager[HttpClient]]
"""Opens connections to an origin, `https://host:port`."""


class GrantRefused(Exception):
    """The provider does not take this code, refresh token or subject token: it expired, was used or was revoked."""


class TokenAnswer(Unshown, msgspec.Struct, frozen=True):
    """Tokens as they were given (RFC 6749 section 5.1)."""

    access_token: str
    expires_in: int | None = None
    scope: str | None = None
    """None: what was asked for (section 3.3)."""
    refresh_token: str = ""
    id_token: str = ""


@dataclass(frozen=True, slots=True)
class Client:
    """What we are to the provider. Without a secret we are known by our certificate."""

    issuer: str
    client_id: str
    secret: Secret[str]
    scopes: Sequence[str]
    redirect_uri: str
    post_logout_redirect_uri: str


class Provider:
    """Finds the provider, and keeps connections and keys fresh while `run` runs."""

    def __init__(self, client: Client, connect: Connect, clock: Clock) -> None:
        self.client = client
        self._connect = connect
        self._clock = clock
        self._current: ConnectedProvider | None = None
        self._found = trio.Event()

    async def connected(self) -> ConnectedProvider:
        """Return the provider, waiting up to 5 s for one that was not found yet. Raises Unavailable."""
        with trio.move_on_after(WAIT):
            await self._found.wait()
        if self._current is None:
            raise Unavailable(
                "provider-unreachable", "the service that signs users in cannot be reached", retry_after=1
            )
        return self._current

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep it found until cancelled. Started at once: a provider that is not there yet is waited for."""
        task_status.started()
        try:
            where, retry = location_of(self.client.issuer), FIRST_RETRY
        except ValueError as error:  # of a STS that runs elsewhere, and nothing says where
            log.warning("provider-not-found", issuer=self.client.issuer, reason=str(error))
            await trio.sleep_forever()
        target = where.target.rstrip("/") + "/.well-known/openid-configuration"
        async with self._connect(where.origin) as http:
            metadata = None
            while metadata is None:
                metadata = await self._read(http, target)
                if metadata is None:
                    await trio.sleep(retry)
                    retry = min(retry * 2, LAST_RETRY)
            while True:
                metadata = await self._use(http, target, metadata)

    async def _use(self, http: HttpClient, target: str, metadata: ProviderMetadata) -> ProviderMetadata:
        """Stay connected as `metadata` says until it says something else, and return that."""
        async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
            origins = {where.origin: where for where in _asked(metadata)}
            clients = {origin: await stack.enter_async_context(self._connect(origin)) for origin in origins}
            keys = JwksClient(
                metadata.issuer, fetch_over(clients[metadata.jwks.origin], metadata.jwks.target), ALGORITHMS
            )
            await nursery.start(keys.run)
            trust = TrustedIssuer(metadata.issuer, self.client.client_id, ALGORITHMS, token_types=ID_TOKEN_TYPES)
            verifier = TokenVerifier([(trust, keys)], self._clock)
            self._current = ConnectedProvider(metadata, self.client, clients, verifier)
            self._found.set()
            found: ProviderMetadata | None = metadata
            while found is None or found == metadata:
                await trio.sleep(REFRESH)
                found = await self._read(http, target)
            nursery.cancel_scope.cancel()
        return found

    async def _read(self, http: HttpClient, target: str) -> ProviderMetadata | None:
        try:
            with trio.fail_after(TIMEOUT):
                answer = await http.request("GET", target, repeatable=True, max_answer=MAX_DOCUMENT)
            if answer.status == 200:
                return read_metadata(answer.content, self.client.issuer, with_certificate=not self.client.secret)
            reason = f"the answer is {answer.status}"
        except (Unreachable, Interrupted, trio.TooSlowError, ValueError) as error:
            reason = str(error) or "too-slow"
        log.warning("provider-not-found", issuer=self.client.issuer, reason=reason)
        return None


def _asked(metadata: ProviderMetadata) -> list[Location]:
    found = [metadata.token_endpoint, metadata.jwks, metadata.revocation_endpoint]
    return [where for where in found if where is not None]


class ConnectedProvider:
    """The provider as found. Requests to it have a time limit of their own, and end as a whole when cancelled."""

    def __init__(
        self, metadata: ProviderMetadata, client: Client, clients: dict[str, HttpClient], verifier: TokenVerifier
    ) -> None:
        self.metadata = metadata
        self._client = client
        self._clients = clients
        self._verifier = verifier

    def login_url(self, *, state: str, nonce: str, code_challenge: str) -> str:
        """Return where to send a browser (RFC 6749 section 4.1.1, RFC 7636 section 4.3)."""
        return _with_query(
            self.metadata.authorization_endpoint,
            {
                "response_type": "code",
                "client_id": self._client.client_id,
                "redirect_uri": self._client.redirect_uri,
                "scope": " ".join(self._client.scopes),
                "state": state,
                "nonce": nonce,
                "code_challenge": code_challenge,
                "code_challenge_method": "S256",
            },
        )

    def logout_url(self, id_token: str) -> str:
        """Return where to send a browser to be signed out there, too (RP-Initiated Logout section 2).

        The ID token says whose session it is, so that nobody has to be asked; it opens nothing. Without a place for
        that at the provider this is where it would have sent the browser then.
        """
        if not self.metadata.end_session_endpoint:
            return self._client.post_logout_redirect_uri
        parameters = {
            "client_id": self._client.client_id,
            "post_logout_redirect_uri": self._client.post_logout_redirect_uri,
        }
        return _with_query(
            self.metadata.end_session_endpoint, parameters | ({"id_token_hint": id_token} if id_token else {})
        )

    async def redeem(self, code: str, code_verifier: str) -> TokenAnswer:
        """Return the tokens for a code. Raises GrantRefused, or Unavailable."""
        return await self._issue(
            {INVALID_GRANT},
            grant_type=AUTHORIZATION_CODE,
            code=code,
            redirect_uri=self._client.redirect_uri,
            code_verifier=code_verifier,
        )

    async def refresh(self, refresh_token: str) -> TokenAnswer:
        """Return the next tokens. Raises as `redeem` does."""
        return await self._issue({INVALID_GRANT}, grant_type=REFRESH_TOKEN, refresh_token=refresh_token)

    async def exchange(self, access_token: str, audience: str) -> TokenAnswer:
        """Return a JWT for a service behind us (RFC 8693). Raises as `redeem` does."""
        return await self._issue(
            # All that is variable in it is the token, so that is what is wrong (section 2.2.2).
            {INVALID_GRANT, INVALID_REQUEST},
            grant_type=TOKEN_EXCHANGE,
            subject_token=access_token,
            subject_token_type=ACCESS_TOKEN_TYPE,
            audience=audience,
        )

    async def revoke(self, token: str) -> None:
        """Have a refresh token and all that came of it end (RFC 7009). Raises Unavailable."""
        where = self.metadata.revocation_endpoint
        if where is not None:
            await self._send(where, {"token": token, "token_type_hint": REFRESH_TOKEN})

    async def who(self, answer: TokenAnswer, nonce: str) -> SignedIn:
        """Return whom an ID token proves. Raises Unauthenticated with what is wrong with it, or Unavailable."""
        if not answer.id_token:
            raise Unauthenticated("no-id-token")
        principal = await self._verifier.verify(answer.id_token)
        payload = parse(answer.id_token).payload
        check_id_token(payload, client_id=self._client.client_id, nonce=nonce, access_token=answer.access_token)
        return SignedIn.of(principal, payload)

    async def _issue(self, no_good: set[str], **parameters: str) -> TokenAnswer:
        answer = await self._send(self.metadata.token_endpoint, parameters)
        if answer.status != 200:
            raise _refusal(answer, no_good)
        try:
            return msgspec.json.decode(answer.content, type=TokenAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable("provider-rubbish", "the provider did not answer with a token") from error

    async def _send(self, where: Location, parameters: dict[str, str]) -> Response:
        headers = [("accept", "application/json"), ("content-type", "application/x-www-form-urlencoded")]
        if self._client.secret:
            credentials = f"{quote_plus(self._client.client_id)}:{quote_plus(self._client.secret.reveal())}"
            headers.append(("authorization", f"Basic {b64encode(credentials.encode()).decode('ascii')}"))
        else:
            parameters = parameters | {"client_id": self._client.client_id}
        try:
            with trio.fail_after(TIMEOUT):
                return await self._clients[where.origin].request(
                    "POST", where.target, headers=headers, content=urlencode(parameters).encode()
                )
        except (Unreachable, Interrupted, trio.TooSlowError) as error:
            log.warning("provider-unreachable", reason=str(error) or "too-slow")
            raise Unavailable("provider-unreachable", "the provider cannot be reached", retry_after=1) from error


def _refusal(answer: Response, no_good: set[str]) -> Exception:
    try:
        refused = msgspec.json.decode(answer.content, type=ErrorResponse)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Unavailable("provider-unavailable", f"the provider answered {answer.status}", retry_after=1)
    if refused.error in no_good:
        return GrantRefused(refused.error)
    # Not its description, which is free text: some repeat there what they were sent, a token or a code.
    log.error("provider-refused", error=refused.error[:64])
    return Unavailable("provider-refused", "the provider does not serve this service", retry_after=5)


def _with_query(url: str, parameters: dict[str, str]) -> str:
    return url + ("&" if "?" in url else "?") + urlencode(parameters)
