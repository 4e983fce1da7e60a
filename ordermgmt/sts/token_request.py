"""A request to the token endpoint, read whole before anything is decided (RFC 6749 section 3.2)."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from ordermgmt.sts.contract import INVALID_CLIENT, INVALID_REQUEST, OAuthError
from ordermgmt.telemetry.secrets import Secret

__all__ = ["TokenRequest", "read_token_request"]

_LISTS = frozenset({"audience", "resource"})
"""The only parameters that may come more than once (RFC 8693 section 2.1, RFC 8707 section 2)."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What was asked, and with which proofs. `secret` and `subject_token` are secrets."""

    client_id: str
    parameters: Mapping[str, str] = field(repr=False)
    """All parameters with a value but `audience` and `resource`."""
    audiences: Sequence[str] = ()
    resources: Sequence[str] = ()
    secret: Secret[str] | None = None
    """What came by HTTP Basic."""
    certificate_uri: str = ""
    """The one URI of the certificate that the connection proved. Empty: none."""
    thumbprint: str = ""
    """The thumbprint of that certificate."""

    def get(self, name: str) -> str:
        """Return a parameter, or an empty string: one without a value counts as omitted."""
        return self.parameters.get(name, "")


def read_token_request(
    form: Sequence[tuple[str, str]],
    authorization: Sequence[str] = (),
    *,
    certificate_uri: str = "",
    thumbprint: str = "",
) -> TokenRequest:
    """Read the form and all `Authorization` headers of a request.

    Raises OAuthError: invalid_request for a parameter that is repeated or a request that uses two ways of client
    authentication, invalid_client for a way that is not offered or credentials that cannot be read.
    """
    given = [(name, value) for name, value in form if value]
    repeated = [name for name, count in Counter(name for name, _ in given).items() if count > 1]
    if any(name not in _LISTS for name in repeated):
        raise OAuthError(INVALID_REQUEST, "a parameter is repeated")
    parameters = {name: value for name, value in given if name not in _LISTS}
    if len(authorization) + ("client_secret" in parameters) > 1:
        raise OAuthError(INVALID_REQUEST, "client authentication is given twice")
    if "client_secret" in parameters:
        raise OAuthError(INVALID_CLIENT, "a secret goes into the Authorization header, by the scheme Basic")
    client_id, secret = parameters.get("client_id", ""), None
    if authorization:
        client_id, secret = _basic(authorization[0])
        if parameters.get("client_id", client_id) != client_id:
            raise OAuthError(INVALID_REQUEST, "client_id is not the client that authenticates")
    return TokenRequest(
        client_id=client_id,
        parameters=parameters,
        audiences=[value for name, value in given if name == "audience"],
        resources=[value for name, value in given if name == "resource"],
        secret=None if secret is None else Secret(secret),
        certificate_uri=certificate_uri,
        thumbprint=thumbprint,
    )


def _basic(header: str) -> tuple[str, str]:
    """Read id and secret, both form-encoded inside the base64 (RFC 6749 section 2.3.1)."""
    scheme, _, credentials = header.partition(" ")
    try:
        text = base64.b64decode(credentials.strip(" "), validate=True).decode()
        client_id, secret = (unquote_plus(part, errors="strict") for part in text.split(":", 1))
    except (binascii.Error, ValueError):
        client_id, secret = "", ""
    if scheme.lower() != "basic" or not client_id:
        raise OAuthError(INVALID_CLIENT, "the Authorization header is not one of the scheme Basic")
    return client_id, secret
