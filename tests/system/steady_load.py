"""Clients that create orders without a pause, over several addresses in turn, and count what became of each."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx
import trio

__all__ = ["Attempt", "SteadyLoad"]

WORKERS = 6
KEEP_ALIVE = 0.5
"""Seconds that an idle connection is kept: less than the drain delay, as docs/deploy.md says."""
AVOID_FOR = 5.0
"""Seconds that an address which could not be reached is tried last, as the services' own clients do it."""
ITEM = ("books", "978-1617295959")
TIMEOUT = 30.0


@dataclass(frozen=True)
class Attempt:
    """One request that was not answered 201: when it began and ended, by Trio's clock, and what came instead."""

    began: float
    ended: float
    what: str
    first: bool


@dataclass
class SteadyLoad:
    """Make it inside a Trio loop. `created` holds the ids of orders that were answered 201."""

    urls: Sequence[str]
    token: str
    ca_file: Path
    created: list[str] = field(default_factory=list)
    failed: list[Attempt] = field(default_factory=list)
    by_address: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    """Connections that could not be had, after which the next address was taken: no request was sent."""

    def __post_init__(self) -> None:
        self._serial = count(1)
        self._turn = count(1)
        self._avoid_until = dict.fromkeys(self.urls, 0.0)

    async def run(self, stop: trio.Event) -> None:
        """Create orders until `stop` is set; each is sent again, with its key, until it is created."""
        tls = ssl.create_default_context(cafile=self.ca_file)
        limits = httpx.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE)
        async with (
            httpx.AsyncClient(verify=tls, timeout=TIMEOUT, limits=limits, trust_env=False) as http,
            trio.open_nursery() as nursery,
        ):
            for _ in range(WORKERS):
                nursery.start_soon(self._work, http, stop)

    async def _work(self, http: httpx.AsyncClient, stop: trio.Event) -> None:
        while not stop.is_set():
            name = f"r{next(self._serial)}"
            first = True
            while not await self._create(http, name, first=first):
                first = False
                await trio.sleep(0.1)

    async def _create(self, http: httpx.AsyncClient, name: str, *, first: bool) -> bool:
        began = trio.current_time()
        try:
            what = await self._send(http, name)
        except httpx.TransportError as error:
            what = type(error).__name__
        if what == "201":
            self.created.append(name)
        else:
            self.failed.append(Attempt(began, trio.current_time(), what, first))
        return what == "201"

    async def _send(self, http: httpx.AsyncClient, name: str) -> str:
        category, code = ITEM
        order = {"id": name, "name": name, "items": [{"category": category, "code": code, "qty": 1}]}
        headers = {"authorization": f"Bearer {self.token}", "idempotency-key": name}
        for url in self._rotation():
            try:
                answer = await http.post(
                    f"{url}/order", json=order, headers=headers, extensions={"sni_hostname": "localhost"}
                )
            except (httpx.ConnectError, httpx.ConnectTimeout):
                self.skipped += 1
                self._avoid_until[url] = trio.current_time() + AVOID_FOR
                continue
            self.by_address[url] += 1
            return str(answer.status_code) if answer.status_code == 201 else f"{answer.status_code} {answer.text}"
        return "no address"

    def _rotation(self) -> list[str]:
        turn, now = next(self._turn) % len(self.urls), trio.current_time()
        return sorted([*self.urls[turn:], *self.urls[:turn]], key=lambda url: self._avoid_until[url] > now)
