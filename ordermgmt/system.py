"""The table of services: who there is, who starts first, who may call whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ordermgmt.edges import Edge
from ordermgmt.errors import StartError
from ordermgmt.gateway import main as gateway
from ordermgmt.inventory import main as inventory
from ordermgmt.order import main as order
from ordermgmt.placement import Service
from ordermgmt.sts import main as sts
from ordermgmt.sts.contract import OPERATE, ORDER_SCOPES, READ_REVOCATIONS

__all__ = ["EDGES", "SERVICES", "Service", "callers", "select", "service_names"]


SERVICES = (
    Service(
        "sts",
        sts.run,
        listeners=("listen", "mtls_listen"),
        public=("listen",),
        callers={name: frozenset({READ_REVOCATIONS}) for name in ("order", "gateway")},
    ),
    Service(
        "inventory",
        inventory.run,
        calls={"sts": ("listen",)},
        callers={
            "order": frozenset({"read_inventory", "change_inventory"}),
            "gateway": frozenset({"read_inventory"}),
            "operator": frozenset({"read_inventory", "manage_inventory"}),
        },
    ),
    Service("order", order.run, calls={"sts": ("listen", "mtls_listen"), "inventory": ("listen",)}),
    Service(
        "gateway",
        gateway.run,
        calls={"sts": ("listen", "mtls_listen"), "inventory": ("listen",), "order": ("listen",)},
        public=("listen",),
        watches=True,
    ),
)
"""In the order in which they start; they drain in reverse."""


EDGES = (
    Edge("order", "inventory", frozenset({"change_inventory"})),
    Edge("gateway", "inventory", frozenset({"read_inventory"})),
    Edge("gateway", "order", ORDER_SCOPES, exchanged=True),
    Edge("gateway", "sts", frozenset({OPERATE}), exchanged=True),
    Edge("order", "sts", frozenset({READ_REVOCATIONS}), certified=True),
    Edge("gateway", "sts", frozenset({READ_REVOCATIONS}), certified=True),
)
"""Who calls whom with which tokens; a start checks that both ends agree. The STS, which gives them, is in `calls`."""


def service_names() -> list[str]:
    """Return the names of all services, in start order."""
    return [service.name for service in SERVICES]


def select(names: Sequence[str]) -> list[Service]:
    """Return the named services in start order, all of them if none is named. Raises StartError."""
    unknown = [name for name in names if name not in service_names()]
    if unknown:
        msg = f"there is no service {unknown[0]!r}; there are: {', '.join(service_names())}"
        raise StartError(msg)
    return [service for service in SERVICES if not names or service.name in names]


def callers() -> dict[str, Mapping[str, frozenset[str]]]:
    """Return who may call each service with a certificate, and for which scopes."""
    return {service.name: service.callers for service in SERVICES}
