"""The network: where services listen and connect, the safe HTTP server, the outbound client, problem+json."""

from ordermgmt.net.network import Address, Binding, Network, TcpBinding, TcpNetwork, format_address, parse_address
from ordermgmt.net.tls_seam import ClientTls, PeerRefused

__all__ = [
    "Address",
    "Binding",
    "ClientTls",
    "Network",
    "PeerRefused",
    "TcpBinding",
    "TcpNetwork",
    "format_address",
    "parse_address",
]
