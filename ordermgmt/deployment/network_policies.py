"""Network policies: a pod may be reached from, and connect to, exactly what the table says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from ordermgmt.config import Config
from ordermgmt.deployment.plan import Part

__all__ = ["DATABASE_PORT", "labels", "network_policy", "nothing_else"]

DATABASE_PORT = 5432
DNS_PORT = 53


def labels(name: str) -> dict[str, str]:
    """Return the labels by which the pods of a service are found."""
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "ordermgmt"}


def nothing_else() -> dict[str, Any]:
    """Return the policy without which everything that no other one mentions would be allowed."""
    selector = {"matchLabels": {"app.kubernetes.io/part-of": "ordermgmt"}}
    return _policy("nothing-else", selector, [], [])


def network_policy(part: Part, deployed: Sequence[Part], config: Config) -> dict[str, Any]:
    """Return the policy of one service.

    Beside the table it may look up names and, if it keeps data, connect to a database; the order service reaches the
    issuers that it is configured to trust. Of those the addresses are not known here, only the ports.
    """
    ingress = [
        {"from": [_pods(other.name)], "ports": _tcp(ports)} for other in deployed if (ports := other.ports_of(part))
    ]
    if part.public:
        ingress.append({"ports": _tcp(part.ports[key] for key in part.public)})
    egress = [
        {"to": [_pods(other.name)], "ports": _tcp(ports)} for other in deployed if (ports := part.ports_of(other))
    ]
    egress.append({"ports": [{"protocol": protocol, "port": DNS_PORT} for protocol in ("UDP", "TCP")]})
    beyond = {DATABASE_PORT} if part.keeps_data else set()
    if part.name == "order":
        beyond |= {urlsplit(issuer.jwks_url).port or 443 for issuer in config.order.issuers}
    if beyond:
        egress.append({"ports": _tcp(sorted(beyond))})
    return _policy(part.name, {"matchLabels": labels(part.name)}, ingress, egress)


def _policy(name: str, selector: object, ingress: list[Any], egress: list[Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": selector,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        },
    }


def _pods(name: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": labels(name)}}


def _tcp(ports: Iterable[int]) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": port} for port in ports]
