"""The routes of all services with their policies, as the running services guard them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import trio
from quart_trio import QuartTrio
from trio.testing import MockClock

from ordermgmt.security.guard import Guard, Policy, Public, Require, RequireCaller, RequireSession
from ordermgmt.testing.harness import running_system

__all__ = ["Route", "all_routes"]


class Route(NamedTuple):
    """One method of one path, and who may use it."""

    path: str
    method: str
    who: str


def all_routes() -> Mapping[str, list[Route]]:
    """Return the routes by service. Starts the suite in memory."""

    async def start() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with running_system(Path(folder)):
                pass

    with _recorded() as found:
        trio.run(start, clock=MockClock(autojump_threshold=0))
    return {service: _routes(policies) for service, policies in found.items()}


@contextmanager
def _recorded() -> Iterator[dict[str, Mapping[tuple[str, str], Policy]]]:
    """Collect the policies of every guard that protects an application inside the block."""
    found: dict[str, Mapping[tuple[str, str], Policy]] = {}
    protect = Guard.protect

    def record(guard: Guard, app: QuartTrio) -> None:
        protect(guard, app)
        found[guard._realm] = dict(guard._policies)

    Guard.protect = record  # type: ignore[assignment, method-assign]
    try:
        yield found
    finally:
        Guard.protect = protect  # type: ignore[method-assign]


def _routes(policies: Mapping[tuple[str, str], Policy]) -> list[Route]:
    return sorted(
        Route(path.replace("<", "{").replace(">", "}"), method, _who(policy))
        for (path, method), policy in policies.items()
        if method != "HEAD"
    )


def _who(policy: Policy) -> str:
    match policy:
        case Public():
            return "everybody"
        case RequireCaller(scope):
            return f"a certificate that may `{scope}`"
        case Require(scopes):
            return f"a token with {_listed(scopes)}" if scopes else "any valid token"
        case RequireSession(scopes):
            return f"a session with {_listed(scopes)}" if scopes else "any session"


def _listed(scopes: frozenset[str]) -> str:
    return " ".join(f"`{scope}`" for scope in sorted(scopes))
