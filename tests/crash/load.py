"""Clients that change orders until they are told to stop, and keep the ledger of what they were told."""

from __future__ import annotations

import random
import ssl
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal

import httpx
import trio

from tests.crash.deployment import Deployment, Failed
from tests.crash.ledger import Content, Ledger, Outcome

__all__ = ["ITEMS", "Door", "Load", "Secret", "doors"]

CLIENT_TIMEOUT = 1.5
"""Seconds for an answer: longer than the order service and the gateway let a client wait."""
ASKED_AGAIN = 4
"""How often an unknown outcome is asked for again, with the same key and at any door."""
MAX_OWN = 4
"""Orders that a client has at once."""
CONTENDED = 5
"""Orders that all clients change at once."""
ITEMS = (
    ("electronics", "APMBA132021"),
    ("electronics", "SOWH1000XM4"),
    ("books", "978-1617295959"),
    ("books", "978-1484220498"),
)

Kind = Literal["create", "update", "cancel"]


@dataclass(frozen=True, slots=True)
class Secret:
    """How the clients prove themselves to the STS."""

    client_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Door:
    """Where orders may be changed, with a token for there."""

    url: str
    token: str = field(repr=False)


async def doors(deployment: Deployment, secret: Secret, http: httpx.AsyncClient) -> list[Door]:
    """Fetch tokens: the gateway takes opaque ones, the order services JWTs. Raises Failed."""

    async def token(**form: str) -> str:
        answer = await http.post(
            deployment.url("sts") + "/oauth2/token",
            data={"grant_type": "client_credentials", **form},
            auth=(secret.client_id, secret.secret),
            timeout=5,
        )
        if answer.status_code != 200:
            msg = f"no token: {answer.status_code} {answer.text}"
            raise Failed(msg)
        return str(answer.json()["access_token"])

    jwt = await token(resource=deployment.url("order"))
    return [
        Door(deployment.url("gateway"), await token()),
        Door(deployment.url("order"), jwt),
        Door(deployment.url("order_2"), jwt),
    ]


class Load:
    """What all clients share. `strange` counts answers that nobody should get; the ledger outlives every fault."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.ledger = Ledger()
        self.strange: Counter[str] = Counter()
        self._rng = rng
        self._ca_file = folder / "certs" / "ca.pem"
        self._serial = count(1)

    def open_http(self) -> httpx.AsyncClient:
        """Open a client; its connections are new."""
        tls = ssl.create_default_context(cafile=self._ca_file)
        limits = httpx.Limits(max_connections=None)
        return httpx.AsyncClient(verify=tls, timeout=CLIENT_TIMEOUT, limits=limits, trust_env=False)

    async def client(self, name: str, http: httpx.AsyncClient, open_doors: list[Door], stop: trio.Event) -> None:
        """Change orders, one after the other, until `stop` is set."""
        rng = random.Random(self._rng.random())  # noqa: S311 - no secret
        while not stop.is_set():
            serial = next(self._serial)
            if rng.random() < 0.3:
                order_id = f"all-{rng.randrange(CONTENDED)}"
                kind: Kind = rng.choice(("create", "update", "cancel"))
                content = self._content(kind, serial, rng)
                outcome, _ = await self._send(rng, http, open_doors, kind, order_id, content, f"k{serial}")
                self.ledger.contend(order_id, content, outcome)
            else:
                await self._change_own(name, serial, rng, http, open_doors, stop)

    async def _change_own(
        self,
        name: str,
        serial: int,
        rng: random.Random,
        http: httpx.AsyncClient,
        open_doors: list[Door],
        stop: trio.Event,
    ) -> None:
        ledger = self.ledger
        mine = [order_id for order_id in ledger.certain if order_id.startswith(f"{name}-")]
        live = [one for one in mine if ledger.certain[one] is not None and one not in ledger.unknown]
        kind: Kind = rng.choice(("update", "cancel", "create")) if live else "create"
        if kind == "create" and len(live) >= MAX_OWN:
            kind = "cancel"
        order_id = f"{name}-{serial}" if kind == "create" else rng.choice(live)
        content = self._content(kind, serial, rng)
        outcome = Outcome.UNKNOWN
        for attempt in range(1 + ASKED_AGAIN):
            outcome, final = await self._send(rng, http, open_doors, kind, order_id, content, f"k{serial}")
            if attempt and outcome is Outcome.REFUSED and not final:
                outcome = Outcome.UNKNOWN  # this request did nothing, but that says nothing of those before it
            if outcome is not Outcome.UNKNOWN or stop.is_set():
                break
            await trio.sleep(0.1)
        ledger.record(order_id, content, outcome)

    def _content(self, kind: Kind, serial: int, rng: random.Random) -> Content | None:
        if kind == "cancel":
            return None
        chosen = rng.sample(ITEMS, rng.randint(1, 2))
        return Content(f"n{serial}", tuple((*item, rng.randint(1, 3)) for item in chosen))

    async def _send(
        self,
        rng: random.Random,
        http: httpx.AsyncClient,
        open_doors: list[Door],
        kind: Kind,
        order_id: str,
        content: Content | None,
        key: str,
    ) -> tuple[Outcome, bool]:
        """Return what one request came to, and whether that is the outcome of its key for good."""
        door = rng.choice(open_doors)
        path, body = "/order" if kind == "create" else f"/order/{order_id}", None
        if content is not None:
            items = [{"category": line[0], "code": line[1], "qty": line[2]} for line in content.lines]
            body = {"name": content.name, "items": items} | ({"id": order_id} if kind == "create" else {})
        method = {"create": "POST", "update": "PUT", "cancel": "DELETE"}[kind]
        headers = {"authorization": f"Bearer {door.token}", "idempotency-key": key}
        try:
            answer = await http.request(method, door.url + path, json=body, headers=headers)
        except httpx.ConnectError:
            await trio.sleep(0.02)
            return Outcome.REFUSED, False
        except httpx.TransportError:
            return Outcome.UNKNOWN, False
        return self._judge(answer)

    def _judge(self, answer: httpx.Response) -> tuple[Outcome, bool]:
        status = answer.status_code
        if status in {200, 201}:
            return Outcome.OK, True
        if status == 504:
            return Outcome.UNKNOWN, False
        if status == 503:
            return Outcome.REFUSED, False
        if status in {404, 409}:
            code = answer.json().get("type", "").rpartition("/")[2].rpartition(":")[2]
            return Outcome.REFUSED, code != "operation-in-progress"
        self.strange[f"{status} {answer.text[:200]}"] += 1
        return Outcome.UNKNOWN, False
