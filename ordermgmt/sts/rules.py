"""What is configured of tokens, codes and sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Rules"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What is configured. Lifetimes are in seconds; `resources` maps URIs to audiences (RFC 8707)."""

    issuer: str
    access_token_lifetime: int
    exchanged_token_lifetime: int
    bound_token_lifetime: int
    resources: Mapping[str, str]
    authorization_code_lifetime: int = 60
    authorization_request_lifetime: int = 600
    """How long a user may take to log in and to consent."""
    refresh_token_idle_lifetime: int = 14 * 86400
    """How long a refresh token is good if it is not used."""
    refresh_token_lifetime: int = 90 * 86400
    """How long a family lives however often it is refreshed."""
    refresh_token_grace: int = 10
    """How long a rotated refresh token may come back because its successor did not arrive."""
    session_idle_lifetime: int = 8 * 3600
    session_lifetime: int = 24 * 3600
    """How long a session lives after a login, however much it is used."""
