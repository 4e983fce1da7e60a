"""What there is to deploy, whatever to: services of the table, their ports, and the configuration in a container."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from ordermgmt.config import Config, SuiteConfig
from ordermgmt.endpoints import configured_address
from ordermgmt.errors import StartError
from ordermgmt.net import Address, format_address
from ordermgmt.placement import Service

__all__ = [
    "ADMIN_PORT",
    "CERTIFICATES",
    "CONFIGURATION",
    "DATA",
    "PASSWORD_FILE",
    "Options",
    "Part",
    "arguments",
    "configuration_file",
    "grace",
    "in_containers",
    "parts",
]

DATA, CERTIFICATES = "/var/lib/ordermgmt", "/etc/ordermgmt/certs"
CONFIGURATION = "/etc/ordermgmt/configuration/ordermgmt.toml"
PASSWORD_FILE = "/etc/ordermgmt/database/password"  # noqa: S105 - a path
ADMIN_PORT = 9400
EDGE_SETTINGS = {("sts", "listen"): "sts", ("sts", "mtls_listen"): "sts_mtls"}
"""The settings that tell the others where a listener is; that of any other service is called like the service."""
MARGIN = 5
"""Seconds that a process gets to end, beyond those in which it drains."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for. `user` is the numeric user and group of the processes."""

    image: str = "ordermgmt:latest"
    base: str = "python:3.11-slim"
    user: int = 10001
    replicas: int = 2
    cert_manager: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """One service to deploy: its ports by setting, and which listeners of which others it calls."""

    name: str
    ports: Mapping[str, int]
    calls: Mapping[str, Sequence[str]]
    public: Sequence[str]
    keeps_data: bool
    watches: bool
    """Whether it asks the admin listeners of all."""
    key_file: str
    """What its replicas have to share besides a database: the name of the file; empty if there is none."""

    def ports_of(self, callee: Part) -> list[int]:
        """Return the ports of `callee` to which it connects: one of its replicas, if it is the same service."""
        called = [callee.ports[key] for key in self.calls.get(callee.name, ())]
        return [*called, ADMIN_PORT] if self.watches else called


def parts(services: Sequence[Service], config: Config) -> list[Part]:
    """Return the services with the ports that they are configured to have. Raises StartError naming a setting."""
    return [
        Part(
            service.name,
            {key: _port(config, service.name, key) for key in service.listeners},
            service.calls,
            service.public,
            service.keeps_data,
            service.watches,
            f"{service.name}-key" if "key_file" in getattr(config, service.name).__struct_fields__ else "",
        )
        for service in services
    ]


def _port(config: Config, service: str, key: str) -> int:
    setting = f"{service}.{key}"
    port = configured_address(setting, getattr(getattr(config, service), key)).port
    if port == 0:
        msg = f"{setting}: has to name a port that the others can know"
        raise StartError(msg)
    return port


def in_containers(config: Config, deployed: Sequence[Part], host: Callable[[str], str] = str) -> Config:
    """Return the configuration of services that run in a container each, where `host` names that of a service.

    They listen on all addresses of theirs and find each other by name; everything else is as it was. Raises StartError
    for what cannot be the same there.
    """
    for number, issuer in enumerate(config.order.issuers):
        if issuer.ca_file and not issuer.ca_file.startswith("/"):
            msg = f"order.issuers[{number}].ca_file: has to be the path in the container, from / on"
            raise StartError(msg)
    password = PASSWORD_FILE if config.suite.database_password_file else ""
    watched = tuple(format_address(Address(host(part.name), ADMIN_PORT)) for part in deployed)
    suite = replace(config.suite, data=DATA, certs=CERTIFICATES, database_password_file=password, admin=watched)
    sections = {"admin": replace(config.admin, listen=f"0.0.0.0:{ADMIN_PORT}")}
    for part in deployed:
        section = getattr(config, part.name)
        for key, port in part.ports.items():
            section = replace(section, **{key: f"0.0.0.0:{port}"})
            at = format_address(Address(host(part.name), port))
            edge = EDGE_SETTINGS.get((part.name, key), part.name)
            if edge in SuiteConfig.__struct_fields__:
                suite = replace(suite, **{edge: (at,)})
            url = key.removesuffix("listen") + "public_url"
            if url in section.__struct_fields__ and not getattr(section, url):
                section = replace(section, **{url: f"https://{at}"})
        sections[part.name] = section
    names = (*suite.names, *(name for part in deployed if (name := host(part.name)) not in suite.names))
    return replace(config, suite=replace(suite, names=names), **sections)


def configuration_file(config: Config) -> str:
    """Return the TOML file that says what differs from the defaults."""
    found = msgspec.to_builtins(config)
    defaults = msgspec.to_builtins(Config())
    changed = {
        name: {key: value for key, value in section.items() if value != defaults[name][key]}
        for name, section in found.items()
    }
    return msgspec.toml.encode({name: section for name, section in changed.items() if section}).decode()


def arguments(part: Part) -> list[str]:
    """Return the arguments of a service's container."""
    return ["run", part.name, "--config", CONFIGURATION]


def grace(config: Config) -> int:
    """Return the seconds from the signal on in which a container has to end."""
    return round(config.suite.drain_delay + config.suite.drain) + MARGIN
