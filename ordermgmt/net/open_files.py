"""How many files, and so how many connections, this process may have open."""

from __future__ import annotations

import resource

from msgspec.structs import replace

from ordermgmt.config import Config
from ordermgmt.telemetry.logs import get_logger

__all__ = ["ENOUGH", "RESERVE", "fit_open_files", "limit_connections", "raise_open_files"]

ENOUGH = 65536
"""Open files that are asked for at most: six full listeners of the default size, and all else."""
RESERVE = 512
"""Open files that are kept for all else: databases, logs, connections to other services (128 to each)."""


def fit_open_files(config: Config) -> Config:
    """Open as many files as the system lets this process and its children, and have no more connections than that."""
    wanted, files = config.listeners.connections, raise_open_files()
    connections = limit_connections(wanted, files)
    if connections < wanted:
        get_logger("net").warning("fewer-connections", wanted=wanted, connections=connections, open_files=files)
    return replace(config, listeners=replace(config.listeners, connections=connections))


def raise_open_files() -> int:
    """Raise the soft limit of open files towards the hard one; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return ENOUGH if soft == resource.RLIM_INFINITY else soft


def limit_connections(wanted: int, open_files: int) -> int:
    """Return how many connections one listener may have: as wanted, or what the open files leave.

    All listeners together may still want more files than there are. Then accepting stops for a moment and an idle
    connection makes room, as when a listener is full.
    """
    return max(1, min(wanted, open_files - RESERVE))
