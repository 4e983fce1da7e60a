"""What `GET /status` and `GET /history` of the admin listener answer. Nothing in it is a secret.

Times are seconds since 1970; durations are seconds.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "Certificate",
    "EdgeSample",
    "EdgeStatus",
    "History",
    "Issuer",
    "Journal",
    "Sample",
    "ServiceStatus",
    "Status",
    "TrustEdge",
]


class ServiceStatus(msgspec.Struct, frozen=True):
    """A service: in its `state` `since` then. `pid` is null while it has no process.

    Of a service with several workers there is one for each: `worker` tells them apart, and is else the `name`.
    `error` is about its last failure, and stays after a restart that cured it. `reason` is why it could not do its work
    at the last look, though it runs; null if it could.
    """

    name: str
    worker: str
    state: str
    since: float
    restarts: int
    pid: int | None
    error: str | None
    reason: str | None
    addresses: dict[str, str]
    """By the setting that names them."""


class Certificate(msgspec.Struct, frozen=True):
    """A certificate in the folder of certificates; `problem` is why it cannot be read."""

    name: str
    not_after: float | None
    problem: str | None = None


class EdgeStatus(msgspec.Struct, frozen=True):
    """The requests over an edge in the last `window` seconds: `rate` is per second, `counts` are by `bounds`.

    `caller` is empty for clients from outside.
    """

    caller: str
    service: str
    what: str
    window: float
    rate: float
    ok: int
    refused: int
    failed: int
    cancelled: int
    p50: float | None
    p95: float | None
    p99: float | None
    counts: tuple[int, ...]


class EdgeSample(msgspec.Struct, frozen=True, array_like=True):
    """An edge between two looks: requests and failures (5xx, no answer, given up) per second, and percentiles."""

    caller: str
    service: str
    what: str
    rate: float
    failures: float
    p50: float | None
    p95: float | None


class Sample(msgspec.Struct, frozen=True):
    """All edges between two looks. Numbers go up by one; they start again with the supervisor."""

    number: int
    at: float
    edges: tuple[EdgeSample, ...]


class TrustEdge(msgspec.Struct, frozen=True):
    """Who may call whom: with which scopes, and how the caller proves them."""

    caller: str
    service: str
    scopes: tuple[str, ...]
    proof: str


class Issuer(msgspec.Struct, frozen=True):
    """What a service knows of an issuer's keys; without an `age` it has never had any."""

    service: str
    issuer: str
    keys: int
    age: float | None


class Journal(msgspec.Struct, frozen=True):
    """Changes of orders without an outcome, as the order service counts them."""

    unfinished: int
    stuck: int
    oldest: float


class Status(msgspec.Struct, frozen=True):
    """What one supervisor knows. Figures are as of `sample`, states are of now."""

    pid: int
    started: float
    services: tuple[ServiceStatus, ...]
    sample: Sample | None
    edges: tuple[EdgeStatus, ...]
    bounds: tuple[float, ...]
    certificates: tuple[Certificate, ...]
    trust: tuple[TrustEdge, ...]
    issuers: tuple[Issuer, ...]
    journal: Journal | None


class History(msgspec.Struct, frozen=True):
    """The samples that are kept, oldest first, `interval` seconds apart."""

    interval: float
    samples: tuple[Sample, ...]
