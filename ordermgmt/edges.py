"""Who calls whom, checked before anything starts: both ends of every edge must agree that it exists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from ordermgmt.errors import StartError
from ordermgmt.net import PeerRefused
from ordermgmt.operate.contract import TrustEdge
from ordermgmt.security.peer import identify
from ordermgmt.security.tls import load_credential
from ordermgmt.sts.contract import Audience
from ordermgmt.sts.registration import Client

__all__ = ["Edge", "check_certificates", "check_edges", "trust_edges"]

EXCHANGED = "exchanged JWT (RFC 8693)"
BOUND = "certificate and bound JWT (RFC 8705)"
CERTIFIED = "certificate"


@dataclass(frozen=True, slots=True)
class Edge:
    """`caller` calls `service` with tokens that have `scopes`.

    `exchanged` tells tokens that the caller gets for its own callers (RFC 8693) from those for itself, which are
    bound to its certificate (RFC 8705). With `certified` there is no token: the certificate alone is enough.
    """

    caller: str
    service: str
    scopes: frozenset[str]
    exchanged: bool = False
    certified: bool = False


def check_edges(
    edges: Iterable[Edge],
    callers: Mapping[str, Mapping[str, frozenset[str]]],
    clients: Mapping[str, Client],
    audiences: Mapping[str, Audience],
) -> None:
    """Check each edge against the table of callers of each service, and the clients and audiences of the STS.

    Raises StartError naming the first edge that is broken, and where.
    """
    for edge in edges:
        reason = _broken(edge, callers, clients, audiences)
        if reason is not None:
            msg = f"{edge.caller} cannot call {edge.service}: {reason}"
            raise StartError(msg)


def trust_edges(edges: Iterable[Edge], callers: Mapping[str, Mapping[str, frozenset[str]]]) -> list[TrustEdge]:
    """Return who may call whom, for operators: by exchanged tokens, and by the certificates that are let in."""
    edges = list(edges)
    exchanged = [(edge.caller, edge.service, edge.scopes, EXCHANGED) for edge in edges if edge.exchanged]
    certified = {(edge.caller, edge.service) for edge in edges if edge.certified}
    let_in = [
        (caller, service, scopes, CERTIFIED if (caller, service) in certified else BOUND)
        for service, by_caller in callers.items()
        for caller, scopes in by_caller.items()
    ]
    return [
        TrustEdge(caller, service, tuple(sorted(scopes)), proof)
        for caller, service, scopes, proof in [*exchanged, *let_in]
    ]


def check_certificates(directory: Path, names: Iterable[str], trust_domain: str, now: float) -> None:
    """Check that every named certificate is there, chains to an authority of the folder, and both are in their dates.

    Raises StartError naming the file.
    """
    for name in names:
        credential = load_credential(directory, name, trust_domain)
        try:
            identify(credential.certificate.public_bytes(Encoding.DER), credential.authorities, trust_domain, now)
        except PeerRefused as error:
            msg = f"{credential.certificate_path}: {error}"
            raise StartError(msg) from error


def _broken(
    edge: Edge,
    callers: Mapping[str, Mapping[str, frozenset[str]]],
    clients: Mapping[str, Client],
    audiences: Mapping[str, Audience],
) -> str | None:
    let_in = edge.scopes <= callers.get(edge.service, {}).get(edge.caller, frozenset())
    if not edge.exchanged and not let_in:
        return f"{edge.service} does not let {edge.caller} in with these scopes"
    return None if edge.certified else _broken_tokens(edge, clients, audiences)


def _broken_tokens(edge: Edge, clients: Mapping[str, Client], audiences: Mapping[str, Audience]) -> str | None:
    audience, client = audiences.get(edge.service), clients.get(edge.caller)
    if audience is None:
        return f"the STS knows no audience {edge.service}"
    if client is None:
        return f"the STS knows no client {edge.caller}"
    if edge.service not in (client.exchange_targets if edge.exchanged else client.targets):
        return f"the STS gives client {edge.caller} no tokens for {edge.service}"
    missing = edge.scopes - audience.scopes
    if not missing and not edge.exchanged:
        missing = edge.scopes - client.scopes
    if missing:
        return f"the STS grants no scope {min(missing)} for it"
    return None
