"""Looks at the figures of all services every two seconds, so that the last minutes can be seen when they matter."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import msgspec
import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import StartError
from ordermgmt.operate import domain
from ordermgmt.operate.contract import Certificate, EdgeStatus, History, Sample, ServiceStatus, Status, TrustEdge
from ordermgmt.security.pem import read_certificates
from ordermgmt.supervision.health import Board, State
from ordermgmt.telemetry.metrics import BOUNDS, Figure
from ordermgmt.threads import Threads

__all__ = ["INTERVAL", "Look", "Recorder", "Subject"]

INTERVAL = 2.0
"""Seconds between two looks. One asks each process once for its figures and its readiness: both are a few values that
it has in memory, and one read of its database."""
KEPT = 90
"""Looks that are kept: three minutes, at about 1 kB for each look of a dozen edges."""
WINDOW = 30
"""Looks over which the histograms go: a minute."""
CERTIFICATES = 15.0
"""Seconds between two looks at the files of certificates."""

Figures = Mapping[str, Sequence[Figure]]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw: figures by service, and reasons not to be ready by worker."""

    figures: Figures
    reasons: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at. `look` is cancel-safe, and ends soon whatever a service does."""

    board: Board
    look: Callable[[], Awaitable[Look]]
    addresses: Mapping[str, Mapping[str, str]]
    trust: Sequence[TrustEdge]
    certificates: Path
    pid: int


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    totals: Mapping[domain.EdgeKey, domain.Totals] = field(default_factory=dict)


class Recorder:
    """The last looks at a suite. `run` takes them; `status` and `history` render them as JSON."""

    def __init__(self, subject: Subject, clock: Clock, threads: Threads) -> None:
        self._subject = subject
        self._clock = clock
        self._threads = threads
        # By this the times of the board, which are Trio's, become times of day.
        self._midnight = clock.now() - trio.current_time()
        self._numbers = count(1)
        self._look = Look({}, {})
        self._seen = deque([_Seen(trio.current_time())], maxlen=WINDOW)
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._edges: tuple[EdgeStatus, ...] = ()
        self._certificates: tuple[Certificate, ...] = ()
        self._started = clock.now()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look every `INTERVAL` until cancelled."""
        task_status.started()
        certificates_at = trio.current_time()
        while True:
            if trio.current_time() >= certificates_at:
                self._certificates = await self._threads.run(self._read_certificates)
                certificates_at = trio.current_time() + CERTIFICATES
            self._record(await self._subject.look())
            await trio.sleep(INTERVAL)

    def status(self) -> bytes:
        """Return what is known now. See `contract.Status`."""
        subject, look = self._subject, self._look
        return msgspec.json.encode(
            Status(
                pid=subject.pid,
                started=self._started,
                services=tuple(self._services()),
                sample=self._samples[-1] if self._samples else None,
                edges=self._edges,
                bounds=BOUNDS,
                certificates=self._certificates,
                trust=tuple(subject.trust),
                issuers=tuple(domain.issuers(look.figures)),
                journal=domain.journal(look.figures),
            )
        )

    def history(self) -> bytes:
        """Return the looks that are kept. See `contract.History`."""
        return msgspec.json.encode(History(INTERVAL, tuple(self._samples)))

    def _services(self) -> list[ServiceStatus]:
        return [
            ServiceStatus(
                name=health.service,
                worker=name,
                state=str(health.state),
                since=round(self._midnight + health.since, 3),
                restarts=health.restarts,
                pid=health.pid,
                error=health.error,
                reason=self._look.reasons.get(name) if health.state is State.RUNNING else None,
                addresses=dict(self._subject.addresses.get(health.service, {})),
            )
            for name, health in self._subject.board.snapshot().items()
        ]

    def _record(self, look: Look) -> None:
        now = _Seen(trio.current_time(), domain.totals(look.figures))
        before, longest_ago = self._seen[-1], self._seen[0]
        self._look = look
        if now.at > before.at:
            edges = tuple(
                domain.sample_edge(key, before.totals.get(key, {}), found, now.at - before.at)
                for key, found in now.totals.items()
            )
            self._samples.append(Sample(next(self._numbers), round(self._midnight + now.at, 3), edges))
            self._edges = tuple(
                domain.gauge_edge(key, longest_ago.totals.get(key, {}), found, now.at - longest_ago.at)
                for key, found in now.totals.items()
            )
            self._seen.append(now)

    def _read_certificates(self) -> tuple[Certificate, ...]:
        names = ("ca", *dict.fromkeys(health.service for health in self._subject.board.snapshot().values()))
        return tuple(_certificate(self._subject.certificates, name) for name in names)


def _certificate(folder: Path, name: str) -> Certificate:
    """Read when a certificate ends: of several authorities in one file, the first that does."""
    try:
        ends = [one.not_valid_after_utc.timestamp() for one in read_certificates(folder / f"{name}.pem")]
    except StartError as error:
        return Certificate(name, None, str(error))
    # A service's file may end with certificates of its authorities.
    return Certificate(name, min(ends) if name == "ca" else ends[0])
