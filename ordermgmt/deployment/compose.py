"""A compose file: a container for each service on one machine, and a network for each edge of the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ordermgmt.config import Config
from ordermgmt.deployment.container import FILE, HEALTH
from ordermgmt.deployment.plan import CERTIFICATES, CONFIGURATION, DATA, PASSWORD_FILE, Options, Part, arguments, grace

__all__ = ["compose"]

PASSWORD = "database-password"  # noqa: S105 - a name
OUTSIDE, DATABASE = "outside", "database"


def compose(deployed: Sequence[Part], config: Config, configuration: str, options: Options) -> dict[str, Any]:
    """Return the file. `configuration` is what the containers read; `config` says where secrets are on this machine.

    Certificates come from the folder `config.suite.certs`, each service's to itself alone. Relative paths are relative
    to the file.
    """
    members = _networks(deployed, config)
    internal = _edges(deployed)
    return {
        "services": {
            part.name: _service(
                part, [name for name, joined in members.items() if part.name in joined], config, options
            )
            for part in deployed
        },
        "networks": {name: {"internal": True} if name in internal else {} for name in members},
        "volumes": {"data": {}},
        "configs": {"configuration": {"content": configuration.replace("$", "$$")}},
        "secrets": _secrets(deployed, config),
    }


def _networks(deployed: Sequence[Part], config: Config) -> dict[str, set[str]]:
    """Return the networks, each with the services in it."""
    networks = _edges(deployed)
    networks |= {f"public-{part.name}": {part.name} for part in deployed if part.public}
    if config.suite.database:
        networks[DATABASE] = {part.name for part in deployed if part.keeps_data}
    if config.order.issuers:
        networks[OUTSIDE] = {"order"}
    return networks


def _edges(deployed: Sequence[Part]) -> dict[str, set[str]]:
    """Return a network for each service and another one to which it connects."""
    return {
        f"{part.name}-{other.name}": {part.name, other.name}
        for part in deployed
        for other in deployed
        if part is not other and part.ports_of(other)
    }


def _service(part: Part, networks: Sequence[str], config: Config, options: Options) -> dict[str, Any]:
    files = {"ca.pem": "ca", f"{part.name}.pem": f"{part.name}-certificate", f"{part.name}.key": f"{part.name}-key"}
    secrets = [{"source": secret, "target": f"{CERTIFICATES}/{file}"} for file, secret in files.items()]
    if config.suite.database_password_file and part.keeps_data:
        secrets.append({"source": PASSWORD, "target": PASSWORD_FILE})
    service: dict[str, Any] = {
        "image": options.image,
        "build": {"context": ".", "dockerfile": FILE},
        "command": arguments(part),
        "user": f"{options.user}:{options.user}",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "init": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - in the container
        "networks": networks,
        "configs": [{"source": "configuration", "target": CONFIGURATION}],
        "secrets": secrets,
        "volumes": [{"type": "volume", "source": "data", "target": DATA}],
        "healthcheck": {"test": ["CMD", *HEALTH], "interval": "10s", "timeout": "5s", "start_period": "30s"},
        "stop_grace_period": f"{grace(config)}s",
        "restart": "unless-stopped",
    }
    if part.public:
        service["ports"] = [
            {"target": part.ports[key], "published": str(part.ports[key]), "protocol": "tcp"} for key in part.public
        ]
    return service


def _secrets(deployed: Sequence[Part], config: Config) -> dict[str, dict[str, str]]:
    folder = Path(config.suite.certs)
    files = {"ca": folder / "ca.pem"}
    for part in deployed:
        files[f"{part.name}-certificate"] = folder / f"{part.name}.pem"
        files[f"{part.name}-key"] = folder / f"{part.name}.key"
    if config.suite.database_password_file:
        files[PASSWORD] = Path(config.suite.database_password_file)
    return {name: {"file": str(path) if path.is_absolute() else f"./{path}"} for name, path in files.items()}
