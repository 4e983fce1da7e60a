"""What clients find out about the token service by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ordermgmt.sts.contract import (
    AUTHORIZE_PATH,
    INTROSPECT_PATH,
    JWKS_PATH,
    LOGOUT_PATH,
    OIDC_SCOPES,
    ORDER_SCOPES,
    REVOKE_PATH,
    SERVICE_SCOPES,
    TOKEN_PATH,
    USERINFO_PATH,
)
from ordermgmt.sts.core import AUTH_METHODS, NONE
from ordermgmt.sts.grants import GRANT_TYPES

__all__ = ["openid_metadata", "server_metadata"]

_WITH_CERTIFICATE = {
    "token_endpoint": TOKEN_PATH,
    "introspection_endpoint": INTROSPECT_PATH,
    "revocation_endpoint": REVOKE_PATH,
}


def server_metadata(issuer: str, mtls_url: str) -> Mapping[str, Any]:
    """Return the authorization server metadata (RFC 8414 section 2, RFC 8705 sections 3.3 and 5, RFC 9207 section 3).

    A list without elements would be left out (RFC 8414 section 3.2).
    """
    with_public_clients = [*AUTH_METHODS, NONE]
    return {
        "issuer": issuer,
        "authorization_endpoint": issuer + AUTHORIZE_PATH,
        "token_endpoint": issuer + TOKEN_PATH,
        "jwks_uri": issuer + JWKS_PATH,
        "introspection_endpoint": issuer + INTROSPECT_PATH,
        "revocation_endpoint": issuer + REVOKE_PATH,
        "scopes_supported": sorted(ORDER_SCOPES | SERVICE_SCOPES | OIDC_SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": with_public_clients,
        "introspection_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "revocation_endpoint_auth_methods_supported": with_public_clients,
        "authorization_response_iss_parameter_supported": True,
        "tls_client_certificate_bound_access_tokens": True,
        "mtls_endpoint_aliases": {name: mtls_url + path for name, path in _WITH_CERTIFICATE.items()},
    }


def openid_metadata(issuer: str, mtls_url: str, algorithms: Iterable[str]) -> Mapping[str, Any]:
    """Return the provider metadata (OpenID Connect Discovery section 3). `algorithms` are those of the signing keys."""
    return {
        **server_metadata(issuer, mtls_url),
        "userinfo_endpoint": issuer + USERINFO_PATH,
        "end_session_endpoint": issuer + LOGOUT_PATH,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(algorithms),
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_supported": [
            *("iss", "sub", "aud", "azp", "exp", "iat", "auth_time", "nonce", "at_hash", "sid"),
            *("preferred_username", "name"),
        ],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
