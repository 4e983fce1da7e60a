"""What the inventory client makes of the answers that it gets, and of those that it does not."""

from __future__ import annotations

from contextlib import nullcontext

import msgspec
import pytest
import trio
import trio.testing

from ordermgmt import errors
from ordermgmt.errors import OutcomeUnknown, Unavailable
from ordermgmt.inventory.client import InventoryClient
from ordermgmt.inventory.contract import Batch, Line, Operation
from ordermgmt.net import Address
from ordermgmt.net.outbound import HttpClient, Interrupted, Response, open_client
from ordermgmt.testing.memory import MemoryNetwork
from ordermgmt.testing.memory_stream import MemoryStream

HERE = Address("127.0.0.1", 9091)
TOKEN = "made-up"
NOW = 1_700_000_000.25


class FixedToken:
    def __init__(self) -> None:
        self.discarded: list[str] = []

    async def get(self) -> str:
        return TOKEN

    def discard(self, token: str) -> None:
        self.discarded.append(token)


class FixedClock:
    def now(self) -> float:
        return NOW


class Scripted(HttpClient):
    """Answers without a network."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[bytes] = []

    async def request(self, *_: object, content: bytes = b"", **__: object) -> Response:
        self.sent.append(content)
        await trio.lowlevel.checkpoint()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(status: int, body: bytes = b"", content_type: str = "application/problem+json") -> Response:
    return Response(status, {"content-type": content_type}, body)


def client_of(http: HttpClient, token: FixedToken | None = None) -> InventoryClient:
    return InventoryClient(lambda: nullcontext((http, token or FixedToken())), FixedClock())


MOVE = Operation("a", (Line("b", "c", 1),))
APPLIED = b'{"results": [{"id": "a", "status": "applied"}]}'
REFUSED = b'{"results": [{"id": "a", "status": "refused"%s}]}'


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (answer(503, b'{"type": "urn:ordermgmt:problem:storage-unavailable"}'), Unavailable),
        (answer(429, b"{}"), Unavailable),
        (answer(401), Unavailable),
        (answer(403), Unavailable),
        (answer(409, b'{"type": "urn:ordermgmt:problem:stale-batch"}'), Unavailable),
        (answer(400, b"{}"), errors.Internal),
        (answer(422, b'{"type": "urn:ordermgmt:problem:too-many-lines"}'), errors.Internal),
        (answer(413, b"{}"), errors.Internal),
        # What does not come from inventory itself, or is a fault of it, does not say what was done.
        (answer(503, b"<html>", "text/html"), OutcomeUnknown),
        (answer(503, b"broken"), OutcomeUnknown),
        (answer(500, b"{}"), OutcomeUnknown),
        (answer(504, b"{}"), OutcomeUnknown),
        (answer(302), OutcomeUnknown),
        (answer(409, b"{}"), OutcomeUnknown),
        (answer(200, b"broken"), OutcomeUnknown),
        (answer(200, b'{"results": []}'), OutcomeUnknown),
        (answer(200, b'{"results": [{"id": "b", "status": "applied"}]}'), OutcomeUnknown),
        (answer(200, REFUSED % b""), OutcomeUnknown),
        (answer(200, REFUSED % b', "error": 1'), OutcomeUnknown),
        (answer(200, REFUSED % b', "error": {"status": 503, "type": "x"}'), OutcomeUnknown),
    ],
)
async def test_the_client_knows_what_was_surely_not_done(given: Response, kind: type[errors.Error]) -> None:
    token = FixedToken()
    with pytest.raises(kind):
        await client_of(Scripted(given), token).apply_all([MOVE])
    assert token.discarded == ([TOKEN] if given.status == 401 else [])


async def test_a_lost_answer_is_not_asked_for_again() -> None:
    http = Scripted(Interrupted(), answer(200, APPLIED))
    with pytest.raises(OutcomeUnknown, match="inventory-no-answer"):
        await client_of(http).apply_all([MOVE])
    assert len(http.answers) == 1
    (outcome,) = await client_of(http).apply_all([MOVE])
    assert outcome.refusal is None


async def test_a_batch_says_when_it_was_sent_and_what_is_acknowledged() -> None:
    http = Scripted(answer(200, APPLIED), answer(200, b'{"results": []}'))
    client = client_of(http)
    await client.apply_all([MOVE], ["b", "c"])
    await client.apply_all([], sent_at=1.5)
    first, second = (msgspec.json.decode(content, type=Batch) for content in http.sent)
    assert first == Batch(NOW, (MOVE,), ("b", "c"))
    assert second == Batch(1.5)


@pytest.mark.parametrize("given", [answer(503, b"{}"), answer(401), answer(403), answer(500), answer(200, b"broken")])
async def test_a_read_that_fails_can_be_sent_again(given: Response) -> None:
    with pytest.raises(Unavailable):
        await client_of(Scripted(given)).items()


async def test_a_service_that_is_not_there_has_done_nothing() -> None:
    async with open_client(MemoryNetwork(), [HERE], tls=None) as http:
        client = client_of(http)
        with pytest.raises(Unavailable, match="inventory-unreachable"):
            await client.apply_all([MOVE])
        with pytest.raises(Unavailable, match="inventory-unreachable"):
            await client.items()


async def test_a_lost_answer_leaves_the_outcome_unknown() -> None:
    asked: list[str] = []
    network = MemoryNetwork()
    listener = (await network.bind(HERE)).open_listener()

    async def hang_up(stream: MemoryStream) -> None:
        asked.append((await stream.receive_some()).decode().partition(" ")[0])
        await trio.testing.wait_all_tasks_blocked()
        while stream.readable:
            await stream.receive_some()
            await trio.testing.wait_all_tasks_blocked()
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, hang_up, [listener])
        async with open_client(network, [HERE], tls=None) as http:
            client = client_of(http)
            with pytest.raises(OutcomeUnknown, match="inventory-no-answer"):
                await client.apply_all([MOVE])
            with pytest.raises(Unavailable, match="inventory-no-answer"):
                await client.items()
        nursery.cancel_scope.cancel()
    # Only the caller knows whether a change may be sent again.
    assert asked == ["POST", "GET", "GET"]
