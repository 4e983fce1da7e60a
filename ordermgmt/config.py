"""Configuration: one TOML file, overridden by the environment. An unknown key is an error.

A setting `key` of section `[section]` is overridden by `ORDERMGMT_SECTION_KEY`; lists are then separated by
commas. Secrets are never values here: a setting that concerns one is the path of a file that holds it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin, get_type_hints

import msgspec

from ordermgmt.errors import StartError

__all__ = [
    "AdminConfig",
    "Config",
    "GatewayConfig",
    "InventoryConfig",
    "IssuerConfig",
    "ListenersConfig",
    "OrderConfig",
    "StsConfig",
    "SuiteConfig",
    "TelemetryConfig",
    "load_config",
]

PREFIX = "ORDERMGMT_"
NOT_SETTINGS = frozenset({"ORDERMGMT_CACHE", "ORDERMGMT_CONFIG", "ORDERMGMT_TEST_POSTGRES"})


Lifetime = Annotated[int, msgspec.Meta(ge=1)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section of the file: every setting has a default, and no other setting exists."""


class SuiteConfig(Section, frozen=True):
    """What all services share. Relative paths are relative to the working directory."""

    data: str = "var"
    """Folder of databases and generated credentials."""
    database: str = ""
    """Connection string of a PostgreSQL database, without a password. Empty: SQLite files in `data`."""
    database_password_file: str = ""
    """File that holds the password for `database`. Empty: what libpq finds in PGPASSWORD or ~/.pgpass."""
    certs: str = "certs"
    """Folder of the PKI."""
    trust_domain: str = "ordermgmt.local"
    """Authority part of the services' SPIFFE ids; also a DNS name in their certificates."""
    names: tuple[str, ...] = ("localhost",)
    """DNS names or IP addresses by which clients reach the services: they go into the certificates."""
    drain: float = 10.0
    """Seconds that requests in flight have to finish when the suite stops."""
    drain_delay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Seconds for which a service that is to stop takes requests all the same, while it says that it is not ready."""
    sts: tuple[str, ...] = ()
    """Where the others reach the STS, without client certificates. Empty: its `listen`."""
    sts_mtls: tuple[str, ...] = ()
    """Where the others reach the STS with their certificate. Empty: its `mtls_listen`."""
    order: tuple[str, ...] = ()
    """Where the gateway reaches the order service. Empty: its `listen`."""
    inventory: tuple[str, ...] = ()
    """Where the others reach the inventory service. Empty: its `listen`."""
    admin: tuple[str, ...] = ()
    """Where the gateway reaches the admin listener of each supervisor. Empty: its own, and the defaults of
    services that run alone."""


class AdminConfig(Section, frozen=True):
    """The plain HTTP listener for /healthz, /readyz and /metrics. Keep it on loopback or a private network."""

    listen: str = ""
    """Empty: 127.0.0.1:9400, or a port of its own for a service that runs alone, from 9401 on by the table."""


class ListenersConfig(Section, frozen=True):
    """What every listener of a service takes of clients."""

    connections: Annotated[int, msgspec.Meta(ge=1)] = 6000
    """Connections of one listener; fewer if the process may not open as many files."""
    connections_per_address: Annotated[int, msgspec.Meta(ge=1)] = 5500
    """Connections of one client address (IPv6: of one /64 network) to one listener."""


class StsConfig(Section, frozen=True):
    """The token service."""

    listen: str = "127.0.0.1:9445"
    """For browsers and clients: asks for no certificate."""
    mtls_listen: str = "127.0.0.1:9446"
    """For clients that authenticate with a certificate (RFC 8705)."""
    public_url: str = ""
    """The issuer identifier, without a path. Empty: https://localhost and the port of `listen`."""
    mtls_public_url: str = ""
    """Base URL of `mtls_endpoint_aliases`. Empty: https://localhost and the port of `mtls_listen`."""
    signing_algorithm: Literal["ES256", "RS256"] = "ES256"
    """Algorithm of the signing keys that are made from now on."""
    key_file: str = ""
    """File with the key that encrypts the signing keys in the database. Empty: `sts-key` in `suite.data`."""
    key_rotation_days: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    """Days that a signing key signs, then the next one does. 0: only on command."""
    access_token_lifetime: int = 3600
    """Seconds that an opaque access token is good for."""
    exchanged_token_lifetime: Annotated[int, msgspec.Meta(ge=1, le=600)] = 60
    """Seconds that a JWT from a token exchange, or for a client's own use, is good for."""
    bound_token_lifetime: int = 600
    """Seconds that a certificate-bound JWT of a service is good for."""
    authorization_code_lifetime: Lifetime = 60
    """Seconds in which a client has to use an authorization code."""
    authorization_request_lifetime: Lifetime = 600
    """Seconds that a user may take to log in and to consent."""
    refresh_token_idle_lifetime: Lifetime = 14 * 86400
    """Seconds that a refresh token is good for if it is not used."""
    refresh_token_lifetime: Lifetime = 90 * 86400
    """Seconds after which a user has to log in again, however often the tokens are refreshed."""
    refresh_token_grace: Annotated[int, msgspec.Meta(ge=0, le=60)] = 10
    """Seconds in which a refresh token may be used again because the answer to its first use was lost."""
    session_idle_lifetime: Lifetime = 8 * 3600
    """Seconds after which a session ends if it is not used."""
    session_lifetime: Lifetime = 24 * 3600
    """Seconds after a login at which its session ends, used or not."""


class IssuerConfig(Section, frozen=True):
    """An issuer whose JWTs a service accepts, besides the suite's own STS."""

    issuer: str
    audience: str
    jwks_url: str
    ca_file: str = ""
    """PEM file of the CAs that may certify the servers of both. Empty: the suite's own CA."""
    algorithms: tuple[str, ...] = ("ES256",)
    token_types: tuple[str, ...] = ("at+jwt",)
    scopes: Mapping[str, str] = {}
    """Which scope of the issuer gives which scope here; any other scope gives nothing."""
    revocations_url: str = ""
    """https URL of its stream of revocations (docs/revocation.md). Empty: its tokens are good until their end."""


class OrderConfig(Section, frozen=True):
    """The order service."""

    listen: str = "127.0.0.1:9090"
    public_url: str = ""
    """Base of the Location of orders. Empty: https://localhost and the port of `listen`."""
    inventory_timeout: float = 10.0
    """Seconds that one request to the inventory service may take."""
    trust_sts: bool = True
    """Whether tokens of the suite's own STS are accepted. Without them users come from `issuers` only."""
    patience: float = 15.0
    """Seconds that a client waits for the outcome of a change; then it is answered 504, and the change goes on."""
    issuers: tuple[IssuerConfig, ...] = ()
    """Issuers that are trusted besides the STS, or in its place."""


class InventoryConfig(Section, frozen=True):
    """The inventory service."""

    listen: str = "127.0.0.1:9091"


class GatewayConfig(Section, frozen=True):
    """The API gateway."""

    listen: str = "127.0.0.1:8443"
    public_url: str = ""
    """Base of the Location of orders. Empty: https://localhost and the port of `listen`."""
    upstream_timeout: float = 20.0
    """Seconds that a request to a service behind the gateway may take."""
    session_idle_lifetime: Lifetime = 1800
    """Seconds after which a browser's session ends if it is not used."""
    session_lifetime: Lifetime = 12 * 3600
    """Seconds after a sign-in at which its session ends, used or not."""
    login_lifetime: Lifetime = 600
    """Seconds that a user may take to sign in."""
    key_file: str = ""
    """File with the key that encrypts the tokens of sessions. Empty: `gateway-key` in `suite.data`."""
    issuer: str = ""
    """OpenID provider that signs users in, and exchanges their tokens. Empty: the suite's own STS."""
    issuer_ca_file: str = ""
    """PEM file of the CAs that may certify that provider. Empty: the suite's own CA."""
    client_id: str = "gateway"
    """What the gateway is called at that provider."""
    client_secret_file: str = ""
    """File with the secret for `client_id`. Empty: the gateway is known by its certificate."""
    scopes: tuple[str, ...] = (
        "openid",
        "profile",
        "add_order",
        "update_order",
        "cancel_order",
        "read_all_orders",
        "operate",
    )
    """What the gateway asks for in the name of its users: who may less gets less."""


class TelemetryConfig(Section, frozen=True):
    """Where traces of requests go."""

    otlp_endpoint: str = ""
    """URL of an OpenTelemetry collector that takes traces by OTLP over HTTP. Empty: none are recorded."""
    otlp_ca_file: str = ""
    """PEM file of the CAs that may certify that collector. Empty: those that its client brings along."""
    traces_per_second: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    """Traces that a service begins to record in a second at most; what more requests there are, is not recorded."""


class Config(Section, frozen=True):
    """The whole configuration."""

    suite: SuiteConfig = SuiteConfig()
    admin: AdminConfig = AdminConfig()
    listeners: ListenersConfig = ListenersConfig()
    sts: StsConfig = StsConfig()
    order: OrderConfig = OrderConfig()
    inventory: InventoryConfig = InventoryConfig()
    gateway: GatewayConfig = GatewayConfig()
    telemetry: TelemetryConfig = TelemetryConfig()


def load_config(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Read the file, if one is named, and lay the environment over it.

    Raises StartError with one line that names the file or variable and what is wrong with it.
    """
    table: dict[str, Any] = {}
    if path is not None:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            msg = f"cannot read {path}: {error.strerror}"
            raise StartError(msg) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            msg = f"{path} is not TOML: {error}"
            raise StartError(msg) from error
    source = str(path) if path is not None else "configuration"
    try:
        msgspec.convert(table, Config)
    except msgspec.ValidationError as error:
        msg = f"{source}: {error}"
        raise StartError(msg) from error
    return _override(table, environment)


def _override(table: dict[str, Any], environment: Mapping[str, str]) -> Config:
    config = msgspec.convert(table, Config)
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        section_name, _, key = variable.removeprefix(PREFIX).lower().partition("_")
        section = getattr(config, section_name, None)
        if not isinstance(section, Section) or key not in section.__struct_fields__:
            msg = f"environment: {variable} is not a setting"
            raise StartError(msg)
        hint = get_type_hints(type(section))[key]
        text = environment[variable]
        value: Any = [part.strip() for part in text.split(",") if part.strip()] if get_origin(hint) is tuple else text
        try:
            value = msgspec.convert(value, hint, strict=False)
        except msgspec.ValidationError as error:
            msg = f"environment: {variable}: {error}"
            raise StartError(msg) from error
        config = msgspec.structs.replace(config, **{section_name: msgspec.structs.replace(section, **{key: value})})
    return config
