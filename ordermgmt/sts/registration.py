"""Who may ask for tokens: clients and users as registered, and the services, which are clients by their certificate."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ordermgmt.errors import InvalidRequest
from ordermgmt.sts.contract import (
    AUDIENCES,
    AUTHORIZATION_CODE,
    CLIENT_CREDENTIALS,
    GATEWAY_CALLBACK_PATH,
    OIDC_SCOPES,
    ORDER_SCOPES,
    REFRESH_TOKEN,
    TOKEN_EXCHANGE,
    service_resource,
)

__all__ = ["Client", "UserDetails", "check_client", "is_client_id", "is_redirect_uri", "is_user_name", "system_clients"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_RESERVED = frozenset({"gateway", "order", "inventory", "sts", "operator"})
_GRANTS = frozenset({AUTHORIZATION_CODE, CLIENT_CREDENTIALS, REFRESH_TOKEN})
"""What a registered client may use: tokens of others are exchanged by services only."""
MAX_TITLE = 64


@dataclass(frozen=True, slots=True)
class Client:
    """A client as registered: the most that it may ever ask for.

    It authenticates either with a secret, known by its digest, or with a certificate, known by its one URI; a public
    one does not authenticate (RFC 6749 section 2.1).
    """

    id: str
    grants: frozenset[str]
    scopes: frozenset[str]
    """What it may do for itself, or for the users that it sends here."""
    user_scopes: frozenset[str] = frozenset()
    """What it may do besides for its users, and never for itself."""
    targets: frozenset[str] = frozenset()
    """Audiences of JWTs for itself."""
    exchange_targets: frozenset[str] = frozenset()
    """Audiences that it may exchange tokens of its callers for."""
    default_audience: str = ""
    """Audience of its opaque tokens. Empty: it gets none."""
    secret_digest: str = field(default="", repr=False)
    """SHA-256 of its secret, in hex."""
    certificate_uri: str = ""
    """The URI that its certificate has to name (RFC 8705 section 2.1.2, `tls_client_auth_san_uri`)."""
    public: bool = False
    generation: int = 0
    """How often all its tokens were ended."""
    name: str = ""
    """What users get to see of it. Empty: its id."""
    redirect_uris: frozenset[str] = frozenset()
    """Where users may be sent back to, each exactly so. Without any it cannot ask for authorization."""
    post_logout_redirect_uris: frozenset[str] = frozenset()
    """Where users may be sent after they have logged out."""
    first_party: bool = False
    """Whether it is a part of this system: its users are not asked whether they let it do what they came for."""

    @property
    def scopes_with_users(self) -> frozenset[str]:
        """The most that it may ask of its users."""
        return self.scopes | self.user_scopes

    @property
    def title(self) -> str:
        """What to call it before a user."""
        return self.name or self.id


@dataclass(frozen=True, slots=True)
class UserDetails:
    """What an audience may get to see of a user."""

    name: str
    roles: tuple[str, ...] = ()


_REDIRECT = re.compile(
    r"https://[!-~]+"
    r"|http://(127\.0\.0\.1|\[::1\]|localhost)(:[0-9]{1,5})?([/?][!-~]*)?"
    r"|[a-z][a-z0-9+-]*\.[a-z0-9+.-]+:/[!-~]*"
)


def is_redirect_uri(text: str) -> bool:
    """Tell whether a client may register this redirect URI: absolute and without a fragment (RFC 6749 section 3.1.2).

    It has the scheme https, http on loopback, or a private one with a dot in it (RFC 8252 section 7.1).
    """
    return "#" not in text and "@" not in text.partition("?")[0] and _REDIRECT.fullmatch(text) is not None


def is_user_name(text: str) -> bool:
    """Tell whether a user may have this name: it becomes the `sub`, so it never looks like `client:<id>`."""
    return _NAME.fullmatch(text) is not None


def is_client_id(text: str) -> bool:
    """Tell whether a client may be registered under this id: the services' names are taken."""
    return _NAME.fullmatch(text) is not None and text not in _RESERVED


def system_clients(trust_domain: str, gateway_url: str = "") -> Mapping[str, Client]:
    """Return the clients that are part of the system, by id. Each proves itself with its service certificate.

    The gateway is also the web client: browsers come back to it at `gateway_url`; without one, to nowhere.

    A certificate for `operator` is issued only on demand, to a person who may add goods.
    """
    gateway = Client(
        "gateway",
        grants=frozenset({AUTHORIZATION_CODE, CLIENT_CREDENTIALS, REFRESH_TOKEN, TOKEN_EXCHANGE}),
        scopes=frozenset({"read_inventory"}),
        user_scopes=ORDER_SCOPES | OIDC_SCOPES,
        targets=frozenset({"inventory"}),
        exchange_targets=frozenset({"order", "inventory", "sts"}),
        default_audience="gateway",
        certificate_uri=service_resource(trust_domain, "gateway"),
        name="Order management",
        redirect_uris=frozenset({f"{gateway_url}{GATEWAY_CALLBACK_PATH}"} if gateway_url else ()),
        post_logout_redirect_uris=frozenset({f"{gateway_url}/"} if gateway_url else ()),
        first_party=True,
    )
    order = Client(
        "order",
        grants=frozenset({CLIENT_CREDENTIALS}),
        scopes=frozenset({"read_inventory", "change_inventory"}),
        targets=frozenset({"inventory"}),
        certificate_uri=service_resource(trust_domain, "order"),
    )
    operator = Client(
        "operator",
        grants=frozenset({CLIENT_CREDENTIALS}),
        scopes=frozenset({"read_inventory", "manage_inventory"}),
        targets=frozenset({"inventory"}),
        certificate_uri=service_resource(trust_domain, "operator"),
    )
    return {client.id: client for client in (gateway, order, operator)}


def check_client(client: Client) -> None:
    """Make sure that a client can be registered like this. Raises InvalidRequest saying what cannot be."""
    for wrong, reason in _objections(client):
        if wrong:
            raise InvalidRequest("invalid-client", reason)


def _objections(client: Client) -> Iterator[tuple[bool, str]]:
    with_users, uris = AUTHORIZATION_CODE in client.grants, client.redirect_uris | client.post_logout_redirect_uris
    scopes = ORDER_SCOPES | OIDC_SCOPES
    targets = sorted(name for name, known in AUDIENCES.items() if not known.bound and not known.exchanged)
    yield not is_client_id(client.id), "an id is up to 64 letters, digits, '.', '_', '@' and '-', and no service's name"
    yield not client.name.isprintable() or len(client.name) > MAX_TITLE, f"a name has {MAX_TITLE} characters at most"
    yield not client.grants, "it has no grant"
    yield not client.grants <= _GRANTS, f"the grants are {', '.join(sorted(_GRANTS))}"
    yield REFRESH_TOKEN in client.grants and not with_users, f"{REFRESH_TOKEN} needs {AUTHORIZATION_CODE}"
    yield client.public and CLIENT_CREDENTIALS in client.grants, f"a public client cannot use {CLIENT_CREDENTIALS}"
    yield with_users and not client.redirect_uris, f"{AUTHORIZATION_CODE} needs a redirect URI"
    yield bool(uris) and not with_users, f"only {AUTHORIZATION_CODE} has redirect URIs"
    for uri in sorted(uris):
        yield not is_redirect_uri(uri), f"not a redirect URI (https, http on loopback, or a private scheme): {uri}"
    yield not client.scopes <= scopes, f"the scopes are {', '.join(sorted(scopes))}"
    yield not client.scopes, "it has no scope"
    yield bool(client.scopes & OIDC_SCOPES) and not with_users, f"only {AUTHORIZATION_CODE} tells of users"
    yield not client.targets <= set(targets), f"the targets are {', '.join(targets)}"
    yield bool(client.default_audience) and client.default_audience not in targets, f"audiences: {', '.join(targets)}"
    yield not client.default_audience and not client.targets, "it has neither an audience nor a target"
