"""Traces over real sockets: to a collector by OTLP over HTTP, to nowhere else, and none of them holds anybody up."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from random import Random

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from ordermgmt.clock import SystemClock
from ordermgmt.telemetry.otlp import Collector
from ordermgmt.telemetry.trace import Span, Tracer
from ordermgmt.testing.spans import SpanMemory
from tests.system.processes import PATIENCE, SuiteProcess, suite, wait_until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOODS = '"items": [{"category": "books", "code": "978-1617295959", "qty": 1}]'


class Receiver(HTTPServer):
    """A collector on a port of loopback, which answers everything with `status` and `headers`."""

    def __init__(self, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.headers = headers
        self.requests: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"

    def spans(self) -> list[tuple[str, trace_pb2.Span]]:
        """Return the spans that came, each with its service."""
        return [
            (resource.resource.attributes[0].value.string_value, span)
            for _, body in list(self.requests)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append((self.path, body))
        self.send_response(self.server.status)
        for name, value in (*self.server.headers, ("content-length", "0")):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def receiving(status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Iterator[Receiver]:
    with Receiver(status, headers) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join(PATIENCE)


def create(running: SuiteProcess, order_id: str) -> int:
    """Create an order through the gateway and return the status."""
    (secret,) = re.findall(r"client admin-app (\S+)", (running.folder / "var" / "demo-credentials").read_text())
    asked = ("--user", f"admin-app:{secret}", "--data", "grant_type=client_credentials")
    _, issued = running.curl(*asked, running.url("sts", "/oauth2/token"))
    status, _ = running.curl(
        *("--header", f"Authorization: Bearer {json.loads(issued)['access_token']}"),
        *("--header", f"traceparent: 00-{TRACE}-{PARENT}-00"),
        *("--json", f'{{"id": "{order_id}", "name": "One", {GOODS}}}'),
        running.url("gateway", "/order"),
    )
    return status


def figure(running: SuiteProcess, name: str) -> float:
    """Return the sum of a figure over all services."""
    status, body = running.curl(f"http://127.0.0.1:{running.ports['admin']}/metrics")
    assert status == 200
    return sum(float(line.rpartition(" ")[2]) for line in body.splitlines() if line.startswith(name))


def test_a_create_arrives_at_the_collector_as_one_trace(tmp_path: Path) -> None:
    with receiving() as receiver:
        with suite(tmp_path, changes={"ORDERMGMT_TELEMETRY_OTLP_ENDPOINT": receiver.url}) as running:
            assert create(running, "o1") == 201
            wait_until(lambda: figure(running, "ordermgmt_spans_exported_total") > 10, "spans at the collector")
            assert figure(running, "ordermgmt_spans_dropped_total") == 0
            assert running.stop() == 0
        assert {path for path, _ in receiver.requests} == {"/v1/traces"}
        spans = receiver.spans()
    traced = {span.span_id.hex(): (where, span) for where, span in spans if span.trace_id.hex() == TRACE}
    chain = []
    (span_id,) = [found for found, (where, span) in traced.items() if (where, span.name) == ("order", "inventory")]
    while span_id in traced:
        where, span = traced[span_id]
        chain.append((where, span.name, span.kind))
        span_id = span.parent_span_id.hex()
    assert span_id == PARENT
    internal, server, client = (
        trace_pb2.Span.SPAN_KIND_INTERNAL,
        trace_pb2.Span.SPAN_KIND_SERVER,
        trace_pb2.Span.SPAN_KIND_CLIENT,
    )
    assert chain == [
        ("order", "inventory", internal),
        ("order", "POST /order", server),
        ("gateway", "POST order", client),
        ("gateway", "POST /order", server),
    ]
    assert ("sts", "POST /oauth2/token") in {(where, span.name) for where, span in traced.values()}
    (batch,) = [span for where, span in spans if (where, span.name) == ("order", "batch")]
    assert batch.trace_id.hex() != TRACE
    assert TRACE in {link.trace_id.hex() for link in batch.links}
    assert all(0 < span.end_time_unix_nano - span.start_time_unix_nano < PATIENCE * 1e9 for _, span in spans)


@pytest.mark.slow  # each service waits a second for it in its end
def test_a_collector_that_never_answers_holds_nobody_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        with suite(tmp_path, changes={"ORDERMGMT_TELEMETRY_OTLP_ENDPOINT": url}) as running:
            assert [create(running, f"o{number}") for number in range(3)] == [201, 201, 201]
            assert running.stop(signal.SIGTERM) == 0


def span(error: str | None = None) -> Span:
    made = Tracer(Random(1).randbytes, SystemClock(), SpanMemory().of("test")).linked_to([], "work")  # noqa: S311
    made.attributes = {"http.response.status_code": 503, "http.route": "/order"}
    if error is not None:
        made.conclude("cancelled", error)
    return made


async def test_what_a_span_is_in_the_terms_of_opentelemetry() -> None:
    with receiving() as receiver:
        collector = Collector("order", receiver.url)
        good, cancelled = span(), span("cancelled")
        assert collector.send([good, cancelled]) is None
        collector.close()
    (_, first), (_, second) = receiver.spans()
    assert first.trace_id.hex() == good.trace_id
    assert first.status.code == trace_pb2.Status.STATUS_CODE_UNSET
    assert (second.status.code, second.status.message) == (trace_pb2.Status.STATUS_CODE_ERROR, "cancelled")
    said = {one.key: one.value.string_value or one.value.int_value for one in second.attributes}
    assert said == {
        "http.response.status_code": 503,
        "http.route": "/order",
        "ordermgmt.outcome": "cancelled",
        "error.type": "cancelled",
    }


async def test_no_answer_and_no_proxy_leads_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as elsewhere, receiving(307, (("location", elsewhere.url),)) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{elsewhere.server_port}")
        collector = Collector("order", receiver.url)
        assert collector.send([span()]) is not None
        collector.close()
        assert len(receiver.requests) == 1
        assert elsewhere.requests == []
