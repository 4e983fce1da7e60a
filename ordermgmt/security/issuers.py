"""Issuers that somebody else runs: from their settings to what is trusted, and where its keys are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ordermgmt.config import IssuerConfig
from ordermgmt.errors import StartError
from ordermgmt.net import Address
from ordermgmt.security.https_url import split_https_url
from ordermgmt.security.keys import ALGORITHMS
from ordermgmt.security.pem import read_certificates
from ordermgmt.security.scopes import parse_scope
from ordermgmt.security.tokens import TrustedIssuer

__all__ = ["ForeignIssuer", "Location", "read_issuers"]

HTTPS_PORT = 443


class Location(NamedTuple):
    """Where something is fetched: a server, and path and query there."""

    address: Address
    target: str


class ForeignIssuer(NamedTuple):
    """A trusted issuer, where its JWK set is, and its stream of revocations if it has one."""

    trust: TrustedIssuer
    keys: Location
    revocations: Location | None
    ca_file: Path


def read_issuers(
    configured: Sequence[IssuerConfig],
    setting: str,
    *,
    known: Mapping[str, str],
    scopes: Collection[str],
    default_ca_file: Path,
) -> list[ForeignIssuer]:
    """Check the issuers that the list `setting` holds, and return them.

    `known` are issuers that are trusted without a setting, each with what it is; they cannot be configured.
    `scopes` are those of the service. Raises StartError with one line that names the setting that is wrong.
    """
    taken = dict(known)
    found = []
    for index, issuer in enumerate(configured):
        at = f"{setting}[{index}]"
        for name, problem in chain(_issuer_problems(issuer, taken), _token_problems(issuer, scopes)):
            msg = f"{at}.{name}: {problem}"
            raise StartError(msg)
        taken[issuer.issuer] = at
        trust = TrustedIssuer(
            issuer.issuer, issuer.audience, issuer.algorithms, token_types=issuer.token_types, scopes=issuer.scopes
        )
        ca_file = Path(issuer.ca_file) if issuer.ca_file else default_ca_file
        revocations = _location(issuer.revocations_url) if issuer.revocations_url else None
        found.append(ForeignIssuer(trust, _location(issuer.jwks_url), revocations, ca_file))
    return found


def _issuer_problems(issuer: IssuerConfig, taken: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with who it is and where its keys are, each with the name of its setting."""
    if not issuer.issuer:
        yield "issuer", "must not be empty"
    if issuer.issuer in taken:
        yield "issuer", f"{issuer.issuer!a} is {taken[issuer.issuer]} already"
    if not issuer.audience:
        yield "audience", "must not be empty"
    urls = {"jwks_url": issuer.jwks_url, "revocations_url": issuer.revocations_url or issuer.jwks_url}
    for name, url in urls.items():
        try:
            _location(url)
        except ValueError:
            yield name, f"{url!a} is not an https URL of a host, without user and fragment"
    if issuer.ca_file:
        try:
            read_certificates(Path(issuer.ca_file))
        except StartError as error:
            yield "ca_file", str(error)


def _token_problems(issuer: IssuerConfig, scopes: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with what its tokens must be and may give."""
    if not issuer.algorithms:
        yield "algorithms", "must not be empty"
    for algorithm in issuer.algorithms:
        if algorithm not in ALGORITHMS:
            yield "algorithms", f"{algorithm!a} is not one of {', '.join(ALGORITHMS)}"
    if not issuer.token_types or not all(issuer.token_types):
        yield "token_types", "must not be empty"
    for theirs, ours in issuer.scopes.items():
        try:
            parse_scope([theirs])
        except ValueError:
            yield "scopes", f"{theirs!a} is not a scope"
        if ours not in scopes:
            yield "scopes", f"{ours!a} is not one of {', '.join(sorted(scopes))}"


def _location(url: str) -> Location:
    """Read the URL of a JWK set or a stream. Raises ValueError."""
    parts = split_https_url(url)
    query = f"?{parts.query}" if parts.query else ""
    return Location(Address(str(parts.hostname), parts.port or HTTPS_PORT), (parts.path or "/") + query)
