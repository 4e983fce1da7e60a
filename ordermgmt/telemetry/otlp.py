"""Spans in the terms of OpenTelemetry, to a collector by OTLP over HTTP. Needs the extra `otel`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ordermgmt.errors import StartError
from ordermgmt.telemetry.trace import Span

__all__ = ["Collector", "readable"]

TIMEOUT = 5.0
"""Seconds for one request to the collector, its repetitions included."""

_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SCOPE = InstrumentationScope("ordermgmt")


class Collector:
    """The collector at one URL. It is used by one thread; `close` may be called by another, and ends its wait."""

    def __init__(self, service: str, endpoint: str, ca_file: str = "") -> None:
        """Raises StartError for an endpoint that is no http or https URL, or that holds a password."""
        _check(endpoint)
        logging.getLogger("opentelemetry").disabled = True  # what fails is told once, by who sends
        logging.getLogger(OTLPSpanExporter.__module__).disabled = True
        self._resource = Resource({"service.name": service, "service.namespace": "ordermgmt"})
        self._exporter = OTLPSpanExporter(
            endpoint, certificate_file=ca_file or None, timeout=TIMEOUT, session=_Direct()
        )

    def send(self, spans: Sequence[Span]) -> str | None:
        """Send spans; return None, or why they did not arrive."""
        try:
            result = self._exporter.export([readable(span, self._resource) for span in spans])
        except Exception as error:  # noqa: BLE001 - spans are lost, and nothing else
            return type(error).__name__
        return None if result is SpanExportResult.SUCCESS else "the collector did not take them"

    def close(self) -> None:
        """End what is under way."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _Direct(requests.Session):
    """Goes to the configured URL and nowhere else: to no proxy of the environment, and where no answer points."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send one request."""
        answer = super().request(*arguments, **{**options, "allow_redirects": False})
        if answer.is_redirect:
            msg = "the collector is elsewhere"
            raise requests.TooManyRedirects(msg)
        return answer


def readable(span: Span, resource: Resource) -> ReadableSpan:
    """Say a span of ours in the terms of OpenTelemetry's SDK.

    What is in its tracestate belongs to others, and is not told.
    """
    parent = None if span.parent_id is None else _context(span.trace_id, span.parent_id, remote=span.kind == "server")
    begun = round(span.began_at * 1e9)
    attributes = dict(span.attributes)
    if span.outcome is not None:
        attributes["ordermgmt.outcome"] = span.outcome
    if span.error is not None:
        attributes["error.type"] = span.error
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.span_id),
        parent=parent,
        resource=resource,
        attributes=attributes,
        links=[Link(_context(*link)) for link in list(span.links)],
        kind=_KINDS[span.kind],
        status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
        start_time=begun,
        end_time=begun + round(span.seconds * 1e9),
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: str, span_id: str, *, remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=remote, trace_flags=_SAMPLED)


def _check(endpoint: str) -> None:
    msg = "telemetry.otlp_endpoint: not a URL such as http://127.0.0.1:4318/v1/traces"
    try:
        parts = urlsplit(endpoint)
        named = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        raise StartError(msg) from None  # it may quote what it could not read
    if not named or parts.username is not None or parts.query or parts.fragment:
        raise StartError(msg)
