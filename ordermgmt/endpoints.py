"""Where the services are: as an edge's setting says, as bound here, or as configured."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from ordermgmt.config import Config
from ordermgmt.errors import StartError
from ordermgmt.net import Address, format_address, parse_address
from ordermgmt.runtime import Endpoints
from ordermgmt.sts.contract import JWKS_PATH

__all__ = ["Addresses", "configured_address", "is_loopback", "reachable", "resolve_endpoints"]

Addresses = Mapping[str, Mapping[str, Address]]
"""Listening addresses as bound, by section and setting."""


def is_loopback(address: Address) -> bool:
    """Tell whether only this machine can reach an address."""
    if address.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return False


def resolve_endpoints(config: Config, bound: Addresses) -> Endpoints:
    """Work out where every service is: as an edge's setting says, else as bound here, else as configured.

    Raises StartError naming a setting that is not an address, or not a URL.
    """

    def own(section: str, key: str = "listen") -> Address:
        return bound.get(section, {}).get(key) or configured_address(
            f"{section}.{key}", getattr(getattr(config, section), key)
        )

    def edge(setting: str, configured: Sequence[str], default: Address) -> tuple[Address, ...]:
        return tuple(configured_address(setting, text) for text in configured) or (default,)

    def url(setting: str, configured: str, address: Address) -> str:
        if not configured:
            return f"https://{format_address(Address('localhost', address.port))}"
        if not _is_base_url(configured):
            msg = f"{setting}: {configured!a} is not an https URL such as https://orders.example.com"
            raise StartError(msg)
        return configured.rstrip("/")

    def issuer(address: Address) -> str:
        """Its pages and cookies need a host for themselves, although RFC 8414 section 3.1 would allow a path."""
        found = url("sts.public_url", config.sts.public_url, address)
        if urlsplit(found).path:
            msg = f"sts.public_url: {config.sts.public_url!a} has a path, but the issuer is a host alone"
            raise StartError(msg)
        return found

    sts_address, sts_mtls_address = own("sts"), own("sts", "mtls_listen")
    order_address, inventory_address, gateway_address = own("order"), own("inventory"), own("gateway")
    return Endpoints(
        issuer=issuer(sts_address),
        sts_mtls_url=url("sts.mtls_public_url", config.sts.mtls_public_url, sts_mtls_address),
        order_url=url("order.public_url", config.order.public_url, order_address),
        gateway_url=url("gateway.public_url", config.gateway.public_url, gateway_address),
        jwks_path=JWKS_PATH,
        sts=edge("suite.sts", config.suite.sts, sts_address),
        sts_mtls=edge("suite.sts_mtls", config.suite.sts_mtls, sts_mtls_address),
        order=edge("suite.order", config.suite.order, order_address),
        inventory=edge("suite.inventory", config.suite.inventory, inventory_address),
        admin=tuple(configured_address("suite.admin", text) for text in config.suite.admin),
    )


def reachable(endpoints: Endpoints, calls: Mapping[str, Sequence[str]], *, watches: bool) -> Endpoints:
    """Leave the addresses of those listeners that a service calls, by service: it has no others to connect to.

    Those of the admin listeners are for one that `watches`.
    """

    def only(service: str, addresses: Sequence[Address], listener: str = "listen") -> Sequence[Address]:
        return addresses if listener in calls.get(service, ()) else ()

    return replace(
        endpoints,
        sts=only("sts", endpoints.sts),
        sts_mtls=only("sts", endpoints.sts_mtls, "mtls_listen"),
        order=only("order", endpoints.order),
        inventory=only("inventory", endpoints.inventory),
        admin=endpoints.admin if watches else (),
    )


def configured_address(setting: str, text: str) -> Address:
    """Read the address in a setting. Raises StartError naming the setting."""
    try:
        return parse_address(text)
    except ValueError as error:
        msg = f"{setting}: {error}"
        raise StartError(msg) from error


def _is_base_url(text: str) -> bool:
    """Tell whether a path can be put behind it."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and not set(text) & set(" ?#@")
    return plain and parts.scheme == "https" and bool(parts.hostname) and port != 0
