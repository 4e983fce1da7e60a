"""Certificates of a running suite: renewed in time, and taken in when somebody changed their files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import trio

from ordermgmt.clock import Clock
from ordermgmt.config import SuiteConfig
from ordermgmt.errors import StartError
from ordermgmt.pki import files as pki
from ordermgmt.supervision.bells import Bell
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.threads import Threads

__all__ = ["Renewal"]

LOOK = 0.4
"""Seconds between two looks at the files. Two that see the same end a change: it is noticed within 0.8 s."""
CHECK = 3600.0
"""Seconds between two checks of what is due: a certificate when a third of its life is left, a new authority's when
services trust it, an old authority's end. It reads a dozen small files."""
SPARE = 10.0
"""Seconds more than services have to trust a new authority, until certificates are issued from it."""

_log = get_logger("supervisor")


class Renewal:
    """Keeps the certificates of `services` fresh, and rings `changed` when services have to read their files again.

    Where the key of the authority is not on this machine it issues nothing, and waits for files from where it is.
    """

    def __init__(
        self, suite: SuiteConfig, services: Sequence[str], clock: Clock, threads: Threads, changed: Bell
    ) -> None:
        self._directory = Path(suite.certs)
        self._names = suite.names
        self._trust_domain = suite.trust_domain
        self._services = tuple(services)
        self._clock = clock
        self._threads = threads
        self._changed = changed
        self._wanted = Bell()

    def rotate(self) -> None:
        """Have all certificates issued again, or at least read again, soon. Does not block."""
        self._wanted.ring()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do so until cancelled. What goes wrong is logged, and tried again at the next check."""
        heard = self._wanted.rings
        seen = told = self._look()
        check_at = trio.current_time() + CHECK
        task_status.started()
        while True:
            await trio.sleep(LOOK)
            if self._wanted.rings != heard:
                heard = self._wanted.rings
                await self._rotate()
            found = self._look()
            if found == seen and found != told:
                told = found
                self._changed.ring()
                # perhaps a new authority, from which to issue once all services trust it
                check_at = min(check_at, trio.current_time() + pki.TRUST_FIRST + SPARE)
            seen = found
            if trio.current_time() >= check_at:
                await self._do(partial(pki.ensure, self._directory, self._services, settle=pki.TRUST_FIRST))
                check_at = trio.current_time() + CHECK

    async def _rotate(self) -> None:
        if (self._directory / "ca.key").exists():  # noqa: ASYNC240 - one look
            await self._do(partial(pki.rotate, self._directory, only=self._services))
        self._changed.ring()

    async def _do(self, change: Callable[..., list[str]]) -> None:
        call = partial(change, names=self._names, trust_domain=self._trust_domain, now=self._clock.now())
        try:
            done = await self._threads.run(call)
        except StartError as error:
            _log.error("certificates-not-renewed", reason=str(error))
            return
        for line in done:
            _log.info("certificate-renewed", what=line)

    def _look(self) -> tuple[object, ...]:
        """Return what changes when one of the files does: a few calls of the operating system."""
        names = [f"{name}.{kind}" for name in ("ca", *self._services) for kind in ("pem", "key")]
        return tuple(_identity(self._directory / name) for name in names)


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - called often
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
