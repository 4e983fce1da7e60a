"""What an OpenID provider says of itself (OpenID Connect Discovery 1.0, RFC 8414), read strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult

from ordermgmt.security.https_url import split_https_url
from ordermgmt.security.jose_json import Refused, decode_object

__all__ = ["MAX_DOCUMENT", "Location", "ProviderMetadata", "location_of", "read_metadata"]

MAX_DOCUMENT = 64 * 1024
_DEFAULT_PORT = re.compile(r":(0*443)?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Location:
    """A URL as a request needs it: whom to connect to, and path and query.

    The origin is as browsers write it (RFC 6454 section 6.2): `https://host:port`, without the port if it is 443.
    """

    origin: str
    target: str


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """What a client needs of the document: where browsers are sent to as URLs, whom we ask as Locations."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: Location
    jwks: Location
    end_session_endpoint: str
    """Empty: the provider has none."""
    revocation_endpoint: Location | None
    says_issuer: bool
    """Whether every answer to a browser names the issuer (RFC 9207 section 2.4)."""


def read_metadata(content: bytes, issuer: str, *, with_certificate: bool) -> ProviderMetadata:
    """Read the document of `issuer`. Raises ValueError with what is wrong with it.

    `with_certificate` picks the endpoints at which a client is known by its certificate (RFC 8705 section 5).
    """
    try:
        document = decode_object(content, MAX_DOCUMENT)
    except Refused as error:
        msg = f"not a JSON object: {error.reason}"
        raise ValueError(msg) from error
    if document.get("issuer") != issuer:  # section 4.3: else anybody could be spoken for
        msg = f"it is of another issuer: {document.get('issuer')!a:.200}"
        raise ValueError(msg)
    aliases = document.get("mtls_endpoint_aliases") if with_certificate else None
    own = {**document, **aliases} if isinstance(aliases, dict) else document
    end_session = document.get("end_session_endpoint")
    return ProviderMetadata(
        issuer=issuer,
        authorization_endpoint=_url(document, "authorization_endpoint").geturl(),
        token_endpoint=_location(own, "token_endpoint"),
        jwks=_location(document, "jwks_uri"),
        end_session_endpoint=_url(document, "end_session_endpoint").geturl() if end_session is not None else "",
        revocation_endpoint=_location(own, "revocation_endpoint") if "revocation_endpoint" in own else None,
        says_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )


def location_of(url: str) -> Location:
    """Split an https URL. Raises ValueError if it is none, or has a user or a fragment."""
    return _split(_read(url))


def _location(document: Mapping[str, Any], name: str) -> Location:
    return _split(_url(document, name))


def _url(document: Mapping[str, Any], name: str) -> SplitResult:
    value = document.get(name)
    try:
        return _read(value if isinstance(value, str) else "")
    except ValueError as error:
        msg = f"{name} is not an https URL: {value!a:.200}"
        raise ValueError(msg) from error


def _read(url: str) -> SplitResult:
    if set(url) & set('"<>\\'):  # some of them browsers are sent to
        msg = "not a URL"
        raise ValueError(msg)
    return split_https_url(url)


def _split(parts: SplitResult) -> Location:
    query = f"?{parts.query}" if parts.query else ""
    return Location(f"https://{_DEFAULT_PORT.sub('', parts.netloc.lower())}", (parts.path or "/") + query)
