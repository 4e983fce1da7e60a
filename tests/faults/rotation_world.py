"""A running suite whose keys, certificates and authority change, and requests that trickle in meanwhile.

The services that verify tokens reach the token service for one minute in nine only, so that what they do not know
ahead they do not learn on demand; clocks are 20 s apart; services crash and come back.
"""

from __future__ import annotations

import itertools
import json
import math
from base64 import urlsafe_b64decode
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from ordermgmt import renewal
from ordermgmt.config import Config, StsConfig
from ordermgmt.gateway import provider
from ordermgmt.net import Address, Binding, Network
from ordermgmt.operate import recorder
from ordermgmt.order import settlement
from ordermgmt.pki import files as pki
from ordermgmt.security import revocation_stream
from ordermgmt.security import revocations as known_revocations
from ordermgmt.security.jwks import REFRESH, STALE, JwksClient
from ordermgmt.security.pem import read_certificates
from ordermgmt.sts import revocations, signing_key
from ordermgmt.sts.key_rotation import PUBLISH_AHEAD
from ordermgmt.supervision.health import State
from ordermgmt.testing.harness import RunningSystem, running_system
from ordermgmt.testing.memory import MemoryNetwork
from tests.faults.bomb import Bomb, arm

HOUR, DAY = 3600.0, 86400.0
SKEWS = {"sts": -10.0, "order": 10.0, "inventory": 10.0}
EVERY, OPEN = 540.0, 60.0
"""Seconds from one minute in which verifiers reach the token service to the next, and how long that is: one that just
missed it has fetched REFRESH + EVERY ago when the next one comes, which is less than it trusts what it knows."""
ROUND = 600.0
"""Seconds between two rounds of requests."""
ITEM = "/inventory/books/978-1617295959"
BEFORE, AFTER = PUBLISH_AHEAD + ROUND, 1.5 * HOUR
"""Seconds round a change of keys in which requests are as frequent as they get."""
LINES = [{"category": "books", "code": "978-1617295959", "qty": 1}]


@dataclass
class Rarely:
    """A network on which the token service's open listener is refused most of the time."""

    network: Network
    gated: Address | None = None
    opened_until: float = 0.0
    refused: int = 0

    async def bind(self, address: Address) -> Binding:
        return await self.network.bind(address)

    async def connect(self, address: Address) -> trio.abc.Stream:
        now = trio.current_time()
        if (
            self.gated is not None
            and address.port == self.gated.port
            and now % EVERY > OPEN
            and now > self.opened_until
        ):
            self.refused += 1
            raise ConnectionRefusedError(111, "Connection refused")
        return await self.network.connect(address)

    def is_readable(self, stream: trio.abc.Stream) -> bool:
        return self.network.is_readable(stream)


@dataclass
class Seen:
    """What happened."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    kids: list[str] = field(default_factory=list)
    certificates: int = 0
    restarts: int = 0
    late: int = 0
    """Tokens that were presented after their key was gone, and refused."""
    accepted: int = 0
    """And those that were not refused."""


class Trickle:
    """One round of requests after the other."""

    def __init__(self, system: RunningSystem, seen: Seen) -> None:
        self.system = system
        self.seen = seen
        self.numbers = itertools.count()
        self.keepsakes: dict[str, str] = {}
        """By kid, a token that outlives its key."""
        self.gone: dict[str, float] = {}

    async def round(self) -> None:
        system = self.system
        jwt, opaque = await system.order_token("admin-app"), await system.token("admin-app")
        kid = part(jwt, 0)["kid"]
        if kid not in self.keepsakes:
            self.seen.kids.append(kid)
            claims = part(jwt, 1)
            self.keepsakes[kid] = (await system.signing_key()).sign(
                claims | {"exp": claims["exp"] + 90 * DAY}, "at+jwt"
            )
        order = {"id": f"n{next(self.numbers)}", "name": "one of many", "items": LINES}
        await self.expect(201, "gateway", "POST", "/order", opaque, order)
        await self.expect(200, "order", "GET", "/order", jwt)
        await self.expect(200, "gateway", "GET", ITEM, None)
        await self.expect(200, "order", "DELETE", f"/order/{order['id']}", jwt)
        await self.check_keepsakes()

    async def expect(
        self, status: int, service: str, method: str, target: str, token: str | None, body: object = None
    ) -> None:
        answer = await self.system.request(service, method, target, token=token, json=body)
        self.seen.statuses[answer.status] += 1
        if answer.status != status:
            said = f"{service} {method} {target}: {answer.status} {answer.content!r}"
            self.seen.wrong.append(f"{trio.current_time():.0f} {said}")

    async def check_keepsakes(self) -> None:
        """Present every token whose key is published, or surely forgotten."""
        answer = await self.system.request("sts", "GET", "/oauth2/jwks")
        published = {key["kid"] for key in json.loads(answer.content)["keys"]}
        now = trio.current_time()
        for kid, token in list(self.keepsakes.items()):
            if kid in published:
                await self.expect(200, "order", "GET", "/order", token)
            elif now > self.gone.setdefault(kid, now) + REFRESH + STALE:
                answer = await self.system.request("order", "GET", "/order", token=token)
                if answer.status == 401:
                    self.seen.late += 1
                    del self.keepsakes[kid]
                else:
                    self.seen.accepted += answer.status == 200
                    self.seen.wrong.append(f"{now:.0f} a token of {kid} was answered {answer.status}")


def part(token: str, number: int) -> dict[str, Any]:
    text = token.split(".")[number]
    return dict(json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4))))


async def restart(system: RunningSystem, bomb: Bomb, gate: Rarely) -> None:
    """Crash a service; one that verifies tokens finds the token service when it comes back."""
    gate.opened_until = trio.current_time() + OPEN
    name = bomb.service.name
    before = system.suite.board.snapshot()[name].restarts
    bomb.goes_off.set()
    seen = system.suite.board.snapshot()
    while seen[name].restarts == before or seen[name].state is not State.RUNNING:
        seen = await system.suite.board.newer(seen)
    await trio.sleep(OPEN / 2)


@dataclass(frozen=True)
class Pace:
    """How long, and how often: all in seconds."""

    length: float
    key_period: float
    certificates: float
    crash: float
    quiet: float = ROUND
    """Between two rounds of requests at times at which nothing changes."""
    look: float = 10.0
    """Between two looks for a command, of which there are few here: every second or so would be most of the work."""
    bound_token_lifetime: int = 600
    """A service renews its own at half of it, over a connection of its own."""

    def pause(self, elapsed: float, since_change: float) -> float:
        """Return how long to wait for the next round: `ROUND` in the hours of a change of keys, or just after another.

        A key changes each `key_period`, a little later every time; before that the next one is published, and after it
        the last one is kept for as long as tokens live, and trusted for REFRESH + STALE more.
        """
        into = elapsed % self.key_period
        until = self.key_period - BEFORE - into
        if until <= 0 or into < AFTER or since_change < HOUR:
            return ROUND
        return min(self.quiet, until)


class Unfetched(JwksClient):
    """The keys that the gateway needs when somebody signs in, which nobody does here."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()


def look_rarely_at_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let services look rarely at what this is not about: figures, what is left of orders, revocations, sign-ins.

    Every second or two, as they do, that would be nine tenths of the work of a month.
    """
    monkeypatch.setattr(recorder, "INTERVAL", ROUND)
    monkeypatch.setattr(provider, "REFRESH", 24 * ROUND)
    monkeypatch.setattr(provider, "JwksClient", Unfetched)
    monkeypatch.setattr(settlement, "PASS", ROUND)
    monkeypatch.setattr(revocations, "POLL", ROUND)
    monkeypatch.setattr(revocations, "HEARTBEAT", ROUND)
    monkeypatch.setattr(revocation_stream, "SILENCE", 3 * ROUND)
    monkeypatch.setattr(known_revocations, "CLOSED_AFTER", 4 * ROUND)


async def live(folder: Path, pace: Pace, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Run a suite for as long as `pace` says, and return what was seen."""
    monkeypatch.setattr(signing_key, "POLL", pace.look)
    monkeypatch.setattr(renewal, "LOOK", pace.look)
    look_rarely_at_the_rest(monkeypatch)
    bombs = [arm(name, monkeypatch) for name in ("sts", "inventory", "order", "gateway")]
    network, seen, chance = MemoryNetwork(), Seen(), Random(4)  # noqa: S311 - a test repeats
    gate = Rarely(network)
    sts = StsConfig(key_rotation_days=pace.key_period / DAY, bound_token_lifetime=pace.bound_token_lifetime)
    config = Config(sts=sts)
    networks = {"order": gate, "inventory": gate}
    async with running_system(folder, config=config, network=network, skews=SKEWS, networks=networks) as system:
        began = trio.current_time()
        await trio.sleep(OPEN / 2)
        gate.gated = system.address("sts")
        trickle = Trickle(system, seen)
        authority = read_certificates(system.certs / "ca.pem")[0]
        replace_at, rotate_at, crash_at, changed_at = pace.length / 2, pace.certificates, pace.crash, 0.0
        while (elapsed := trio.current_time() - began) < pace.length:
            pause = pace.pause(elapsed, elapsed - changed_at)
            if pause > ROUND:
                gate.opened_until = trio.current_time() + pause / 2
            await trio.sleep(pause * (0.5 + chance.random()))
            await trickle.round()
            now = system.runtime.clock.now()
            if elapsed > replace_at:
                pki.replace_authority(system.certs, ("localhost",), "ordermgmt.local", now)
                replace_at, changed_at = math.inf, elapsed
            elif elapsed > rotate_at and abs(elapsed - pace.length / 2) > 2 * ROUND:
                seen.certificates += len(pki.rotate(system.certs, ("localhost",), "ordermgmt.local", now))
                rotate_at, changed_at = rotate_at + pace.certificates, elapsed
            if elapsed > crash_at:
                await restart(system, chance.choice(bombs), gate)
                seen.restarts += 1
                crash_at, changed_at = crash_at + pace.crash, elapsed
            system.forget_clients()
        now_trusted = read_certificates(system.certs / "ca.pem")
        if len(now_trusted) != 1 or now_trusted[0] == authority:
            seen.wrong.append("the authority was not replaced")
    assert gate.refused > 0
    return seen
