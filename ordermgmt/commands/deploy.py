"""Writing the files that run the suite in containers: an image, a compose file, manifests for Kubernetes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from ordermgmt.commands.invocation import config_option, failing_in_one_line, read_config
from ordermgmt.config import Config
from ordermgmt.deployment.compose import compose
from ordermgmt.deployment.container import ARCHIVE, FILE, containerfile
from ordermgmt.deployment.files import as_yaml, write
from ordermgmt.deployment.kubernetes import KEYS, certificates, manifests, shared
from ordermgmt.deployment.plan import PASSWORD_FILE, Options, configuration_file, in_containers, parts
from ordermgmt.system import SERVICES

__all__ = ["deploy", "kubernetes_files"]

NOTICED = 5.0
"""Seconds of `suite.drain_delay` unless configured: by then a cluster's balancers have noticed. It is longer than our
own clients keep an idle connection (`exchange.KEEP_ALIVE`)."""

DEFAULTS = Options()
Command = Callable[..., None]
OUT = (
    config_option,
    click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to."),
    click.option("--force", is_flag=True, help="Overwrite files that were changed by hand."),
)
IMAGE = click.option("--image", default=DEFAULTS.image, show_default=True, help="Name of the image.")
BASE = click.option(
    "--base",
    default=f"python:{sys.version_info.major}.{sys.version_info.minor}-slim",
    show_default=True,
    help="Image to start from, with the Python that the archive is for.",
)
USER = click.option(
    "--user", type=click.IntRange(1, 65534), default=DEFAULTS.user, show_default=True, help="User of the processes."
)


def _with(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    return lambda command: reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


@click.group()
def deploy() -> None:
    """Write files that run the suite in containers, from the same table and settings as `run`."""


@deploy.command("docker")
@_with(*OUT, BASE, USER)
def deploy_docker(config_file: Path | None, out: Path, base: str, user: int, *, force: bool) -> None:
    """Write a Containerfile: build it with dist/ordermgmt.pyz beside it."""
    read_config(config_file)
    _write(out, {FILE: containerfile(Options(base=base, user=user))}, force=force)


@deploy.command("compose")
@_with(*OUT, IMAGE, BASE, USER)
def deploy_compose(config_file: Path | None, out: Path, image: str, base: str, user: int, *, force: bool) -> None:
    """Write a compose file and a Containerfile: a container for each service, on one machine."""
    config, options = read_config(config_file), Options(image=image, base=base, user=user)
    with failing_in_one_line():
        deployed = parts(SERVICES, config)
        configuration = configuration_file(in_containers(config, deployed))
    found = compose(deployed, config, configuration, options)
    _write(out, {FILE: containerfile(options), "compose.yaml": as_yaml([found])}, force=force)


@deploy.command("kubernetes")
@_with(*OUT, IMAGE, USER)
@click.option(
    "--replicas", type=click.IntRange(1), default=DEFAULTS.replicas, show_default=True, help="Of each service."
)
@click.option(
    "--certificates",
    "issuer",
    type=click.Choice(["cert-manager", "own"]),
    default="cert-manager",
    show_default=True,
    help="Who issues certificates; with `own` the secrets <service>-certificate are made of the folder of the PKI.",
)
def deploy_kubernetes(
    config_file: Path | None, out: Path, image: str, user: int, replicas: int, issuer: str, *, force: bool
) -> None:
    """Write manifests for Kubernetes, for `kubectl apply --filename DIR`."""
    options = Options(image=image, user=user, replicas=replicas, cert_manager=issuer == "cert-manager")
    config = read_config(config_file)
    with failing_in_one_line():
        files = {name: as_yaml(found) for name, found in kubernetes_files(config, options).items()}
    _write(out, files, force=force)


def kubernetes_files(config: Config, options: Options) -> Mapping[str, list[dict[str, Any]]]:
    """Return the objects of each file. Raises StartError for settings that cannot be deployed."""
    # Where the database is, is told by a secret.
    suite = replace(
        config.suite,
        database="",
        database_password_file=PASSWORD_FILE,
        drain_delay=config.suite.drain_delay or NOTICED,
    )
    deployed = parts(SERVICES, config)
    keys = {
        part.name: replace(getattr(config, part.name), key_file=str(KEYS / part.key_file))
        for part in deployed
        if part.key_file
    }
    config = replace(config, suite=suite, **keys)
    config = in_containers(config, deployed)
    configuration = configuration_file(config)
    files = {"shared.yaml": shared(configuration)}
    if options.cert_manager:
        files["certificates.yaml"] = certificates(deployed, config)
    return files | {f"{part.name}.yaml": manifests(part, deployed, config, configuration, options) for part in deployed}


def _write(out: Path, files: Mapping[str, str], *, force: bool) -> None:
    with failing_in_one_line():
        written = write(out, files, force=force)
    for name in files:
        click.echo(f"{out / name}: {'written' if name in written else 'as it was'}")
    if FILE in files and not (out / ARCHIVE).exists():
        click.echo(f"{out / ARCHIVE}: missing; `make dist` makes it", err=True)
