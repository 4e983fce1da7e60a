"""The running suite, two foreign issuers, and one request after the other over a bare TLS connection."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from joserfc import jwk

from ordermgmt.config import Config, OrderConfig
from ordermgmt.net import Address
from ordermgmt.net.server import serve
from ordermgmt.pki import files as pki
from ordermgmt.security.tls import load_credential, server_context
from ordermgmt.testing.clocks import VirtualClock
from ordermgmt.testing.harness import RunningSystem, running_system
from ordermgmt.testing.memory import MemoryBinding, MemoryNetwork
from ordermgmt.testing.memory_stream import MemoryStream
from tests.contract.unforgeable import issuers
from tests.contract.unforgeable.forging import Row, Sent, Token, unb64
from tests.log_lines import select

__all__ = ["Attempt", "Bench", "check_accepted", "check_refused", "open_bench", "refusals", "taken_apart"]

ITEM = {"category": "electronics", "code": "SOWH1000XM4", "qty": 1}
CHALLENGE = 'Bearer realm="order"'
NOTHING_PRESENTED = ("no-token", "other-scheme")


class RecordingNetwork(MemoryNetwork):
    """A memory network that knows who was called that is none of those who listen on it."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[Address] = set()
        self.strangers: set[Address] = set()

    async def bind(self, address: Address) -> MemoryBinding:
        binding = await super().bind(address)
        self.known |= {binding.address, binding.address._replace(host="localhost")}
        return binding

    async def connect(self, address: Address) -> MemoryStream:
        self.strangers |= {address} - self.known
        return await super().connect(address)


@dataclass(frozen=True)
class Attempt:
    """What came of one request to create an order."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    found: int
    """Status of GET for the order that was asked for."""
    taken: int
    """Pieces that the stock lost."""
    codes: tuple[str, ...]
    """With which the log says that it was refused."""
    log: str
    strangers: frozenset[Address]
    """Who was called so far and is not one of us."""


class Wire:
    """One connection to a service, opened again when the other end has closed it."""

    def __init__(self, system: RunningSystem, service: str) -> None:
        self._system = system
        self._service = service
        self._stream: trio.SSLStream[trio.abc.Stream] | None = None

    async def request(
        self, line: str, fields: tuple[bytes, ...] = (), body: bytes = b""
    ) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        """Send a request as it is and return status, header fields and body of its answer."""
        if self._stream is None:
            self._stream = await self._system.open_stream(self._service)
        own = (f"{line} HTTP/1.1".encode(), b"host: localhost", f"content-length: {len(body)}".encode())
        await self._stream.send_all(b"\r\n".join((*own, *fields, b"", b"")) + body)
        received = b""
        while b"\r\n\r\n" not in received:
            received += await self._more()
        head, _, content = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        named = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
        while len(content) < int(dict(named)["content-length"]):
            content += await self._more()
        if dict(named).get("connection") == "close":
            await self.aclose()
        return int(status.split(" ")[1]), named, content

    async def aclose(self) -> None:
        if self._stream is not None:
            await trio.aclose_forcefully(self._stream)
            self._stream = None

    async def _more(self) -> bytes:
        assert self._stream is not None
        received = bytes(await self._stream.receive_some())
        assert received, "the connection ended before the answer did"
        return received


class Bench:
    """A running suite, a good token of each issuer, and what happens when one is sent. Made by `open_bench`."""

    def __init__(
        self,
        system: RunningSystem,
        network: RecordingNetwork,
        log: pytest.CaptureFixture[str],
        own: Token,
        documents: dict[str, dict[str, Any]],
    ) -> None:
        self.system = system
        self.tokens = {"sts": own, **issuers.foreign_tokens(system.runtime.clock.now())}
        self.accepted: list[str] = []
        self._network = network
        self._log = log
        self._order = Wire(system, "order")
        self._gateway = Wire(system, "gateway")
        self._number = 0
        self._proven: set[str] = set()
        self.documents = documents
        """What the issuers publish, by path: may be changed."""

    async def attempt(self, sent: str | Sent) -> Attempt:
        """Ask for an order of one piece with a token, or in another way."""
        if isinstance(sent, str):
            sent = Sent((b"authorization: Bearer " + sent.encode("utf-8", "surrogatepass"),))
        self._number += 1
        order_id = f"{self._number}"
        body = json.dumps({"id": order_id, "name": "One", "items": [ITEM], **sent.members}).encode()
        stock = await self.stock()
        self._log.readouterr()
        status, fields, content = await self._order.request(
            f"POST /order{sent.query}", (b"content-type: application/json", *sent.fields), body
        )
        found, _, _ = await self._order.request(f"GET /order/{order_id}")
        if status == 201:
            self.accepted.append(order_id)
        log = self._log.readouterr().err
        taken = stock - await self.stock()
        codes = refusals(log)
        return Attempt(status, fields, content, found, taken, codes, log, frozenset(self._network.strangers))

    async def prove(self, base: str) -> Token:
        """Return the good token of `base`, after it was accepted in this run."""
        token = self.tokens[base]
        if base not in self._proven:
            check_accepted(await self.attempt(token.text()))
            self._proven.add(base)
        return token

    async def stock(self) -> int:
        status, _, content = await self._gateway.request(f"GET /inventory/{ITEM['category']}/{ITEM['code']}")
        assert status == 200
        return int(json.loads(content)["qty"])

    async def stored(self) -> list[str]:
        """Return the ids of all orders that there are, oldest first."""
        admin = await self.system.order_token("admin-app")
        answer = await self.system.request("order", "GET", "/order?limit=200", token=admin)
        return [str(order["id"]) for order in reversed(json.loads(answer.content)["orders"])]

    async def aclose(self) -> None:
        await self._order.aclose()
        await self._gateway.aclose()


def refusals(log: str) -> tuple[str, ...]:
    """Return why requests were refused, as the log says it."""
    return tuple(line["code"] for line in select(log, "refused", level="warning"))


def check_accepted(attempt: Attempt) -> None:
    assert (attempt.status, attempt.found, attempt.taken, attempt.codes) == (201, 200, 1, ())
    assert not attempt.strangers


def check_refused(attempt: Attempt, row: Row, sent: str | Sent) -> None:
    """Check that nothing was done, and that only the log says why: with one code, and without the token."""
    assert (attempt.status, attempt.codes) == (row.status, (row.code,) if row.code else ())
    assert (attempt.found, attempt.taken) == (404, 0)
    assert not attempt.strangers
    assert '"level":"error"' not in attempt.log
    if not row.code:
        return
    assert attempt.body == b""
    fields = dict(attempt.fields)
    assert len(fields) == len(attempt.fields)
    assert fields["content-length"] == "0"
    assert fields["www-authenticate"] == _challenge(row)
    whole = sent if isinstance(sent, str) else "".join(field.decode("latin-1") for field in sent.fields)
    secret = whole.rpartition(".")[2]
    assert len(secret) < 16 or secret not in attempt.log


def _challenge(row: Row) -> str:
    if row.status == 403:
        return f'{CHALLENGE}, error="insufficient_scope", scope="add_order"'
    return CHALLENGE if row.code in NOTHING_PRESENTED else f'{CHALLENGE}, error="invalid_token"'


@asynccontextmanager
async def open_bench(folder: Path, log: pytest.CaptureFixture[str]) -> AsyncIterator[Bench]:
    """Run the suite, with the two issuers that it is told to trust."""
    network = RecordingNetwork()
    certs = folder / "foreign"
    certs.mkdir()
    pki.ensure(certs, ["id"], [issuers.HOST], "ordermgmt.local", VirtualClock().now())
    config = Config(order=OrderConfig(issuers=issuers.issuers(str(certs / "ca.pem"))))
    documents = issuers.documents()
    async with trio.open_nursery() as nursery:
        await nursery.start(_serve_keys, network, certs, documents)
        async with running_system(folder, config=config, network=network) as system:
            bench = Bench(
                system, network, log, await taken_apart(system, await system.order_token("alice-app")), documents
            )
            yield bench
            await bench.aclose()
        nursery.cancel_scope.cancel()


async def taken_apart(system: RunningSystem, token: str) -> Token:
    """Return what a token of the STS is made of, its key included."""
    head, body, _ = token.split(".")
    return Token(
        json.loads(unb64(head)),
        json.loads(unb64(body)),
        jwk.ECKey.import_key((await system.signing_key()).to_pem()),
        "ES256",
    )


async def _serve_keys(
    network: MemoryNetwork,
    certs: Path,
    documents: dict[str, dict[str, Any]],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    credential = load_credential(certs, "id", "ordermgmt.local")
    tls = server_context(credential, client_certificates=False, clock=VirtualClock())
    binding = await network.bind(Address(issuers.HOST, issuers.PORT))

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        body = json.dumps(documents[scope["path"]]).encode()
        fields = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    await serve(app, binding.open_listener(), drain=trio.Event(), tls=lambda: tls, task_status=task_status)
