"""Who may do what, declared per route, with denial as the default.

Every route of an app has a policy: its own (`public`, `require`, `require_session`), or the default of the app's
`Guard`. A route without one, or one that answers by itself (static files, automatic OPTIONS), stops the service from
starting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.routing import Rule

from ordermgmt.errors import Forbidden, StartError, Unauthenticated
from ordermgmt.net import problem
from ordermgmt.net.call import Answer, Call
from ordermgmt.security.bearer import bearer_token, challenge
from ordermgmt.security.peer import Peer
from ordermgmt.security.principal import Principal
from ordermgmt.security.scopes import parse_scope, render_scope
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.requests import UNMATCHED, current_request, note_code, note_principal

__all__ = [
    "Authenticate",
    "AuthenticateSession",
    "Guard",
    "Policy",
    "Public",
    "Require",
    "RequireCaller",
    "RequireSession",
    "current_principal",
    "principal_of",
    "public",
    "require",
    "require_caller",
    "require_session",
]

View = TypeVar("View", bound=Callable[..., Any])
Authenticate = Callable[[str | None, Peer | None], Awaitable[Principal]]
"""From the bearer token (None: there is none) and the certificate of a request to whom it comes from.

Raises Unauthenticated, with the code `no-token` if nothing was presented, or Unavailable."""

AuthenticateSession = Callable[[], Awaitable[Principal]]
"""From the cookies of the current request to whose session they are of. Raises Unauthenticated, or Unavailable."""

_POLICY = "__ordermgmt_policy__"


@dataclass(frozen=True, slots=True)
class Public:
    """Anybody that the listener lets in. No token is looked at, good or bad."""


@dataclass(frozen=True, slots=True)
class Require:
    """A valid token with every one of these scopes; without any, just a valid token."""

    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RequireCaller:
    """A service of the table of callers that may do this, as its certificate alone proves. No token is looked at."""

    scope: str


@dataclass(frozen=True, slots=True)
class RequireSession:
    """A browser's session with every one of these scopes. No token is looked at, good or bad."""

    scopes: frozenset[str] = frozenset()


Policy = Public | Require | RequireCaller | RequireSession


def public(view: View) -> View:
    """Let anybody use this view. Goes below the route decorator."""
    setattr(view, _POLICY, Public())
    return view


def require(*scopes: str) -> Callable[[View], View]:
    """Let only tokens with all of `scopes` use this view; `require()` takes any valid token."""
    policy = Require(parse_scope(list(scopes)))

    def declare(view: View) -> View:
        setattr(view, _POLICY, policy)
        return view

    return declare


def require_caller(scope: str) -> Callable[[View], View]:
    """Let only services use this view that have `scope` in the table of callers of the app's `Guard`."""

    def declare(view: View) -> View:
        setattr(view, _POLICY, RequireCaller(scope))
        return view

    return declare


def require_session(*scopes: str) -> Callable[[View], View]:
    """Let only browsers with a session with all of `scopes` use this view; `require_session()` takes any session."""
    policy = RequireSession(parse_scope(list(scopes)))

    def declare(view: View) -> View:
        setattr(view, _POLICY, policy)
        return view

    return declare


def current_principal() -> Principal:
    """Return whom the current request comes from. Only a guarded, not public, view may ask: else RuntimeError."""
    principal = g.get("principal")
    if not isinstance(principal, Principal):
        msg = "a public view has no principal"
        raise RuntimeError(msg)  # noqa: TRY004 - the view is wrong, not a type
    return principal


def principal_of(call: Call) -> Principal:
    """Return whom a request comes from. Only a guarded, not public, endpoint may ask: else RuntimeError."""
    if not isinstance(call.caller, Principal):
        msg = "a public endpoint has no principal"
        raise RuntimeError(msg)  # noqa: TRY004 - the endpoint is wrong, not a type
    return call.caller


class Guard:
    """Lets requests through to the views of one app, or not.

    `default` is the policy of views that declare none (None: each must). With `callers`, of a listener that asks
    for certificates, a request that is not to a public view must come from a service in that table; its token must
    be bound to that service's certificate and issued to that service; and what the view requires must be within
    what that service may use. Without `bound` all of that goes for views that require a caller only. Only with
    `authenticate_session` can views require a session.
    """

    def __init__(
        self,
        default: Policy | None,
        authenticate: Authenticate,
        realm: str,
        *,
        callers: Mapping[str, frozenset[str]] | None = None,
        bound: bool = True,
        authenticate_session: AuthenticateSession | None = None,
    ) -> None:
        self._default = default
        self._authenticate = authenticate
        self._realm = realm
        self._callers = callers
        self._bound = bound and callers is not None
        self._authenticate_session = authenticate_session
        self._policies: dict[tuple[str, str], Policy] = {}
        self._log = get_logger(realm)

    def protect(self, app: QuartTrio) -> None:
        """Guard every route of `app`, and answer refusals with a challenge. Call it when all routes are there.

        A route that is added later is refused. Raises StartError naming a route that cannot be guarded.
        """
        for rule in app.url_map.iter_rules():
            for method, policy in self._policies_of(app, rule):
                if (rule.rule, method) in self._policies:
                    msg = f"{method} {rule.rule} is declared twice"
                    raise StartError(msg)
                self._policies[rule.rule, method] = policy
        app.before_request(self._check)
        app.register_error_handler(Unauthenticated, self._refuse)
        app.register_error_handler(Forbidden, self._refuse)

    def _policies_of(self, app: QuartTrio, rule: Rule) -> Iterator[tuple[str, Policy]]:
        methods = sorted(rule.methods or ())
        name = f"{' '.join(methods)} {rule.rule}".strip()
        if rule.websocket or not methods:
            msg = f"{name} is not a plain HTTP route"
            raise StartError(msg)
        if getattr(rule, "provide_automatic_options", False):
            msg = f"{name} would answer OPTIONS by itself"
            raise StartError(msg)
        if rule.endpoint.rpartition(".")[2] == "static":
            msg = f"{name} serves files"
            raise StartError(msg)
        policy = getattr(app.view_functions.get(rule.endpoint), _POLICY, self._default)
        if policy is None:
            msg = f"{name} has no policy"
            raise StartError(msg)
        if isinstance(policy, RequireSession) and self._authenticate_session is None:
            msg = f"{name} requires a session, and there are none here"
            raise StartError(msg)
        for method in methods:
            yield method, policy

    async def _check(self) -> None:
        peer = request.scope.get("state", {}).get("peer")
        if request.url_rule is None:
            _note_caller(peer)
            return  # there is nothing to protect: Quart answers 404 or 405
        authorization = request.headers.getlist("authorization")
        principal = await self.admit(request.url_rule.rule, request.method, authorization, peer)
        if principal is not None:
            g.principal = principal

    async def admit(self, rule: str, method: str, authorization: Sequence[str], peer: Peer | None) -> Principal | None:
        """Return who may use a route with these Authorization headers and this certificate; None if no token matters.

        Raises Unauthenticated, Forbidden, or what `authenticate` raises. A session is that of the framework's request.
        """
        _note_caller(peer)
        policy = self._policies.get((rule, method))
        if policy is None:
            raise Forbidden("no-policy")
        if isinstance(policy, Public):
            return None
        if isinstance(policy, RequireCaller):
            self._check_caller(peer, frozenset({policy.scope}))
            return None
        if isinstance(policy, RequireSession):
            principal = await self._of_session()
        else:
            principal = await self._of_token(policy, authorization, peer)
        note_principal(principal.iss, principal.sub, act=principal.actor, jti=principal.jti)
        if not policy.scopes <= principal.scopes:
            raise Forbidden("insufficient-scope", scope=render_scope(policy.scopes))
        return principal

    async def _of_session(self) -> Principal:
        if self._authenticate_session is None:
            raise Forbidden("no-policy")
        return await self._authenticate_session()

    async def _of_token(self, policy: Require, authorization: Sequence[str], peer: Peer | None) -> Principal:
        if self._bound:
            self._check_caller(peer, policy.scopes)
        principal = await self._authenticate(bearer_token(authorization), peer)
        self._check_bound(principal, peer)
        return principal

    def _check_caller(self, peer: Peer | None, scopes: frozenset[str]) -> None:
        callers = self._callers or {}
        if peer is None or peer.name is None or peer.name not in callers:
            raise Forbidden("caller-not-allowed", f"caller {peer.name or peer.uri if peer else None}")
        if not scopes <= callers[peer.name]:
            raise Forbidden("caller-scope", f"caller {peer.name}", scope=render_scope(scopes))

    def _check_bound(self, principal: Principal, peer: Peer | None) -> None:
        if not self._bound:
            return
        if not principal.bound:
            raise Unauthenticated("token-not-bound")
        if peer is None or principal.client_id != peer.name:
            raise Unauthenticated("client-mismatch", f"token of {principal.client_id!a:.80}")

    def refuse(self, error: Unauthenticated | Forbidden, rule: str | None, method: str) -> Answer:
        """Answer with a challenge and nothing else; what exactly was wrong is for the log. A `rule` of None is none."""
        note_code(error.code)
        self._log.warning("refused", code=error.code, detail=error.detail, method=method, route=rule or UNMATCHED)
        status, _, body = problem.render(error)
        policy = self._policies.get((rule, method)) if rule is not None else None
        return Answer(status, [("www-authenticate", self._challenge(error, policy))], body)

    async def _refuse(self, error: Unauthenticated | Forbidden) -> Response:
        rule = request.url_rule.rule if request.url_rule is not None else None
        answer = self.refuse(error, rule, request.method)
        response = Response(answer.content or b"", answer.status, dict(answer.headers))
        response.headers.pop("content-type", None)
        return response

    def _challenge(self, error: Unauthenticated | Forbidden, policy: Policy | None) -> str:
        """Return what would help: for a session a scheme that no browser knows, so that none asks for a password."""
        if isinstance(error, Unauthenticated) and isinstance(policy, RequireSession):
            return f'Cookie realm="{self._realm}"'
        return challenge(error, self._realm)


def _note_caller(peer: Peer | None) -> None:
    """Let the log say whose connection a request came over."""
    noted = current_request()
    if noted is not None:
        noted.caller = None if peer is None else peer.name or peer.uri
