"""What every command starts from: its options, the configuration, the outside world, and one line when it fails."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import click
import trio

from ordermgmt.clock import SystemClock
from ordermgmt.config import Config, load_config
from ordermgmt.errors import Error, StartError
from ordermgmt.net import TcpNetwork
from ordermgmt.placement import data_folder
from ordermgmt.runtime import Runtime
from ordermgmt.storage import Location, locate
from ordermgmt.supervision.child import ServiceFailed, one_line
from ordermgmt.threads import WorkerThreads

__all__ = [
    "call_with",
    "config_option",
    "failing_in_one_line",
    "guide_option",
    "read_config",
    "real_world",
    "show_version",
]

S = TypeVar("S")
T = TypeVar("T")


class _Line(click.ClickException):
    """A failure that a person can do something about: one line, and a non-zero exit."""


config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="ORDERMGMT_CONFIG",
    help="TOML file with settings; see docs/config.md.",
)
show_version = click.version_option(package_name="ordermgmt", prog_name="ordermgmt", message="%(prog)s %(version)s")
guide_option = click.option("--guide", is_flag=True, help="The data of the replay profile.")


@contextmanager
def failing_in_one_line() -> Iterator[None]:
    """Turn what a person can do something about into one line and exit code 1."""
    try:
        yield
    except* (StartError, ServiceFailed, Error) as group:
        raise _Line(one_line(group)) from None


def read_config(path: Path | None) -> Config:
    """Read the file, if one is named, and the environment."""
    with failing_in_one_line():
        return load_config(path, os.environ)


def real_world() -> Runtime:
    """Return the outside world of production."""
    return Runtime(SystemClock(), TcpNetwork(), WorkerThreads(), secrets.token_bytes)


def call_with(
    opener: Callable[[Location, Runtime], AbstractAsyncContextManager[S]],
    service: str,
    config: Config,
    *,
    guide: bool,
    verb: Callable[[S], Awaitable[T]],
) -> T:
    """Open what `service` keeps, also while it runs, do one thing with it, and close it."""

    async def call() -> T:
        location = locate(config.suite, service, data_folder(config, guide=guide), guide=guide)
        async with opener(location, real_world()) as opened:
            return await verb(opened)

    with failing_in_one_line():
        return trio.run(call)
