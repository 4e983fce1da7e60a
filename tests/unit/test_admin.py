from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from ordermgmt.admin import AdminApp, create_admin_app
from ordermgmt.figures import Figures
from ordermgmt.supervision.health import Board, Check, Probes, State
from ordermgmt.telemetry.metrics import Figure, Meter


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def drive(app: AdminApp, scope: Mapping[str, Any], *events: Mapping[str, Any]) -> list[Any]:
    waiting = list(events)
    sent: list[Any] = []

    async def receive() -> Any:
        await trio.lowlevel.checkpoint()
        return waiting.pop(0)

    async def send(event: Any) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(event)

    await app(scope, receive, send)  # type: ignore[arg-type]
    assert not waiting
    return sent


async def ask(app: AdminApp, path: str, method: str = "GET") -> Answer:
    head, body = await drive(app, {"type": "http", "method": method, "path": path})
    headers = {name.decode(): value.decode() for name, value in head["headers"]}
    assert not body["more_body"]
    return Answer(head["status"], headers, body["body"])


async def passes() -> None:
    await trio.lowlevel.checkpoint()


def make(
    states: Mapping[str, State], checks: Mapping[str, Check] | None = None, meters: Mapping[str, Meter] | None = None
) -> AdminApp:
    board = Board(states)
    for name, state in states.items():
        board.record(name, state)
    return admin_app(board, Probes(dict(checks or {}), dict(meters or {})))


def admin_app(board: Board, probes: Probes | None = None) -> AdminApp:
    probes = probes or Probes()
    return create_admin_app(board, probes, Figures(board, probes.meters))


async def test_alive_even_if_nothing_is_ready() -> None:
    answer = await ask(make({"sts": State.FAILED}), "/healthz")
    assert (answer.status, answer.json) == (200, {"status": "alive"})


async def test_ready_when_every_service_is_and_says_so_for_each() -> None:
    app = make({"sts": State.RUNNING, "order": State.RUNNING}, {"sts": passes})
    answer = await ask(app, "/readyz")
    assert answer.status == 200
    fine = {"state": "running", "pid": None, "restarts": 0, "reason": None}
    assert answer.json == {"ready": True, "services": {"sts": fine, "order": fine}}
    assert answer.headers == {
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
        "cache-control": "no-store",
    }


async def test_one_service_that_is_not_ready_makes_the_process_not_ready() -> None:
    board = Board(["sts", "order"], pid=4711)
    board.record_process("order", 4712)
    board.record("sts", State.RUNNING)
    board.record("order", State.BACKING_OFF, error="OSError: gone", restarted=True)
    app = admin_app(board)
    answer = await ask(app, "/readyz")
    assert (answer.status, answer.json["ready"]) == (503, False)
    order = {"state": "backing_off", "pid": 4712, "restarts": 1, "reason": "backing_off: OSError: gone"}
    assert answer.json["services"]["order"] == order
    one = await ask(app, "/readyz/order")
    assert (one.status, one.json) == (503, order)
    assert (await ask(app, "/readyz/sts")).json == {"state": "running", "pid": 4711, "restarts": 0, "reason": None}


async def test_a_check_tells_why_not() -> None:
    async def no_keys() -> str:
        await trio.lowlevel.checkpoint()
        return "no keys yet"

    answer = await ask(make({"order": State.RUNNING}, {"order": no_keys}), "/readyz/order")
    assert (answer.status, answer.json["reason"]) == (503, "no keys yet")


async def test_a_check_that_raises_is_a_reason_not_a_failure_of_the_listener() -> None:
    async def broken() -> str | None:
        await trio.lowlevel.checkpoint()
        msg = "gone"
        raise OSError(msg)

    app = make({"order": State.RUNNING, "sts": State.RUNNING}, {"order": broken, "sts": passes})
    answer = await ask(app, "/readyz")
    assert answer.status == 503
    assert answer.json["services"]["order"]["reason"] == "its readiness check failed: OSError: gone"
    assert answer.json["services"]["sts"]["reason"] is None


async def test_checks_run_at_once_and_have_one_second_each(autojump_clock: MockClock) -> None:
    async def stuck() -> str | None:
        await trio.sleep(100)
        return None

    async def slow() -> str | None:
        await trio.sleep(0.9)
        return None

    names = ["a", "b", "c"]
    app = make(dict.fromkeys(names, State.RUNNING), {"a": stuck, "b": stuck, "c": slow})
    start = autojump_clock.current_time()
    answer = await ask(app, "/readyz")
    assert autojump_clock.current_time() - start == pytest.approx(1)
    late = "its readiness check took longer than 1 s"
    assert [answer.json["services"][name]["reason"] for name in names] == [late, late, None]


async def test_figures_of_all_services_in_the_format_of_prometheus() -> None:
    async def of_order() -> list[Figure]:
        await trio.lowlevel.checkpoint()
        return [
            Figure("a_commits_total", "counter", "Commits.", 7),
            Figure("a_backlog", "gauge", "What waits.", 0.5),
        ]

    async def of_sts() -> list[Figure]:
        await trio.lowlevel.checkpoint()
        return [Figure("a_commits_total", "counter", "Commits.", 2)]

    states = {"sts": State.RUNNING, "order": State.RUNNING, "gateway": State.BACKING_OFF}
    answer = await ask(make(states, meters={"order": of_order, "sts": of_sts, "gateway": of_sts}), "/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    lines = answer.body.decode().splitlines()
    assert lines.count("# TYPE a_commits_total counter") == 1
    figures = [line for line in lines if not line.startswith("#")]
    assert figures == [
        'ordermgmt_service_up{service="sts"} 1.0',
        'ordermgmt_service_up{service="order"} 1.0',
        'ordermgmt_service_up{service="gateway"} 0.0',
        'ordermgmt_service_restarts_total{service="sts"} 0.0',
        'ordermgmt_service_restarts_total{service="order"} 0.0',
        'ordermgmt_service_restarts_total{service="gateway"} 0.0',
        'a_commits_total{service="sts"} 2.0',
        'a_commits_total{service="order"} 7.0',
        'a_backlog{service="order"} 0.5',
    ]


async def test_a_service_that_cannot_tell_its_figures_takes_nobody_elses(autojump_clock: MockClock) -> None:
    async def stuck() -> list[Figure]:
        await trio.sleep_forever()

    async def broken() -> list[Figure]:
        await trio.lowlevel.checkpoint()
        msg = "gone"
        raise OSError(msg)

    states = dict.fromkeys(("a", "b", "c"), State.RUNNING)
    answer = await ask(make(states, meters={"a": stuck, "b": broken}), "/metrics")
    ups = [line for line in answer.body.decode().splitlines() if line.startswith("ordermgmt_service_up")]
    assert [line[-3:] for line in ups] == ["0.0", "0.0", "1.0"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/readyz/sts", "/metrics"])
async def test_head_answers_as_get_without_the_body(path: str) -> None:
    # RFC 9110 section 9.3.2
    app = make({"sts": State.RUNNING})
    get, head = await ask(app, path), await ask(app, path, "HEAD")
    assert (head.status, head.headers) == (get.status, get.headers)
    assert head.body == b""


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/readyz/sts", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "DELETE"])
async def test_other_methods_are_refused_with_those_that_are_not(path: str, method: str) -> None:
    # RFC 9110 section 15.5.6
    answer = await ask(make({"sts": State.RUNNING}), path, method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.json == {"type": "about:blank", "title": "Method Not Allowed", "status": 405}


@pytest.mark.parametrize("path", ["", "/", "/healthz/", "/healthz/sts", "/readyz/", "/readyz/nobody", "/sts", "sts"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_anything_else_is_not_found(path: str, method: str) -> None:
    answer = await ask(make({"sts": State.RUNNING}), path, method)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.json["status"] == 404


async def test_lifespan_is_answered_to_its_end() -> None:
    scope = {"type": "lifespan"}
    sent = await drive(make({}), scope, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert [event["type"] for event in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_websockets_are_refused() -> None:
    sent = await drive(make({}), {"type": "websocket", "path": "/healthz"})
    assert [event["type"] for event in sent] == ["websocket.close"]
