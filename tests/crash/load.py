"""Clients that change orders until they are told to stop, and keep the ledger of what they were told."""

from __future__ import annotations

import random
import ssl
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal

import httpx
import trio

from tests.crash.deployment import Deployment, Failed
from tests.crash.ledger import Content, Ledger, Outcome
from tests.crash.registration import Secret

__all__ = ["ITEMS", "Door", "Load", "doors"]

CLIENT_TIMEOUT = 1.3
"""Seconds for an answer: longer than the order service and the gateway let a client wait."""
ASKED_AGAIN = 4
"""How often an unknown outcome is asked for again, with the same key and at any door."""
MAX_OWN = 4
"""Orders that a client has at once."""
CONTENDED = 5
"""Orders that all clients change at once."""
SHARED = 0.3
"""Part of the changes that are changes of those."""
ITEMS = (
    ("electronics", "APMBA132021"),
    ("electronics", "SOWH1000XM4"),
    ("books", "978-1617295959"),
    ("books", "978-1484220498"),
)

Kind = Literal["create", "update", "cancel"]


@dataclass(frozen=True, slots=True)
class Door:
    """Where orders may be changed, with a token for there."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Change:
    """What a client wants done with an order: `content` is what it shall be, None after a cancel."""

    kind: Kind
    order_id: str
    content: Content | None
    key: str


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

    async def client(self, name: str, http: httpx.AsyncClient, open_doors: Sequence[Door], stop: trio.Event) -> None:
        """Change orders, one after the other, until `stop` is set."""
        rng = random.Random(self._rng.random())  # noqa: S311 - no secret
        while not stop.is_set():
            if rng.random() < SHARED:
                await self._change_shared(rng, http, rng.choice(open_doors))
            else:
                await self._change_own(name, rng, http, open_doors, stop)

    async def _change_shared(self, rng: random.Random, http: httpx.AsyncClient, door: Door) -> None:
        order_id = f"all-{rng.randrange(CONTENDED)}"
        change = self._change(rng.choice(("create", "update", "cancel")), order_id, rng)
        outcome, _ = await self._send(http, door, change)
        self.ledger.contend(order_id, change.content, outcome)

    async def _change_own(
        self, name: str, rng: random.Random, http: httpx.AsyncClient, open_doors: Sequence[Door], stop: trio.Event
    ) -> None:
        ledger = self.ledger
        mine = [one for one in ledger.certain if one.startswith(f"{name}-") and one not in ledger.unknown]
        live = [one for one in mine if ledger.certain[one] is not None]
        kind: Kind = rng.choice(("update", "cancel", "create")) if live else "create"
        if kind == "create" and len(live) >= MAX_OWN:
            kind = "cancel"
        change = self._change(kind, rng.choice(live) if kind != "create" else f"{name}-{next(self._serial)}", rng)
        door, outcome, asked = await self._insist(rng, http, open_doors, change, stop)
        if kind == "create" and outcome is Outcome.OK and asked > 1:
            # Who has waited for so long has changed their mind.
            cancel = self._change("cancel", change.order_id, rng)
            outcome, _ = await self._send(http, door, cancel)
            ledger.record(cancel.order_id, None, outcome)

    async def _insist(
        self,
        rng: random.Random,
        http: httpx.AsyncClient,
        open_doors: Sequence[Door],
        change: Change,
        stop: trio.Event,
    ) -> tuple[Door, Outcome, int]:
        """Ask until the outcome is known, with the same key, each time at another door; record and return it."""
        door = rng.choice(open_doors)
        outcome, _ = await self._send(http, door, change)
        asked = 1
        while outcome is Outcome.UNKNOWN and asked <= ASKED_AGAIN and not stop.is_set():
            await trio.sleep(0.1)
            door = rng.choice([one for one in open_doors if one is not door])
            again, final = await self._send(http, door, change)
            # A refusal that is not that of the key says nothing of the requests before it.
            outcome = again if again is Outcome.OK or final else Outcome.UNKNOWN
            asked += 1
        self.ledger.record(change.order_id, change.content, outcome)
        return door, outcome, asked

    def _change(self, kind: Kind, order_id: str, rng: random.Random) -> Change:
        serial = next(self._serial)
        content = None
        if kind != "cancel":
            chosen = rng.sample(ITEMS, rng.randint(1, 2))
            content = Content(f"n{serial}", tuple((*item, rng.randint(1, 3)) for item in chosen))
        return Change(kind, order_id, content, f"k{serial}")

    async def _send(self, http: httpx.AsyncClient, door: Door, change: Change) -> tuple[Outcome, bool]:
        """Return what one request came to, and whether that is the outcome of its key for good."""
        creates, content = change.kind == "create", change.content
        path, body = "/order" if creates else f"/order/{change.order_id}", None
        if content is not None:
            items = [{"category": line[0], "code": line[1], "qty": line[2]} for line in content.lines]
            body = {"name": content.name, "items": items} | ({"id": change.order_id} if creates else {})
        method = {"create": "POST", "update": "PUT", "cancel": "DELETE"}[change.kind]
        headers = {"authorization": f"Bearer {door.token}", "idempotency-key": change.key}
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
