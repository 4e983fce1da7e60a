"""Spans: which trace they are part of, who decides that they are recorded, and what they say of how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
import trio

from ordermgmt.errors import Conflict, Unavailable
from ordermgmt.net import steps
from ordermgmt.telemetry.trace import MAX_LINKS, Link, Span, Tracer, child, current_span, linked
from ordermgmt.testing.clocks import START, VirtualClock
from ordermgmt.testing.spans import SpanMemory

MANY = 1e6
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def tracer(memory: SpanMemory | None = None, *, rate: float = MANY) -> Tracer:
    exporter = memory.of("test") if memory is not None else None
    return Tracer(Random(1).randbytes, VirtualClock(), exporter, rate=rate)  # noqa: S311 - repeats


def fields(flags: str = "01", state: str = "") -> Sequence[tuple[bytes, bytes]]:
    parent = (b"traceparent", f"00-{TRACE}-{SPAN}-{flags}".encode())
    return [(b"host", b"here"), parent, *([(b"tracestate", state.encode())] if state else [])]


async def test_a_request_has_ids_although_nobody_records_it() -> None:
    assert current_span() is None
    with tracer().serve_public("GET", []) as span:
        assert current_span() is span
        assert (len(span.trace_id), len(span.span_id), span.recorded) == (32, 16, False)
        assert int(span.trace_id, 16)
        assert int(span.span_id, 16)
        assert span.headers == [("traceparent", f"00-{span.trace_id}-{span.span_id}-00")]
        with child("part") as part, steps.step("step"):
            assert part is None
            assert current_span() is span
        with linked("work", [span]) as work:
            assert work is None
    assert current_span() is None


async def test_what_services_say_is_carried_on() -> None:
    span = tracer().serve("GET", fields("01", "foo=1"))
    assert (span.trace_id, span.parent_id, span.sampled, span.recorded) == (TRACE, SPAN, True, False)
    assert span.headers == [("traceparent", f"00-{TRACE}-{span.span_id}-01"), ("tracestate", "foo=1")]


async def test_a_bad_header_begins_a_trace() -> None:
    span = tracer().serve("GET", [(b"traceparent", b"00-rubbish"), (b"tracestate", b"foo=1")])
    assert (span.parent_id, span.state) == (None, "")
    assert span.trace_id != TRACE


@pytest.mark.parametrize(
    ("public", "flags", "rate", "recorded"),
    [
        (False, "01", 0.0, True),
        (False, "00", MANY, False),
        # Whoever is outside does not decide, neither way.
        (True, "01", 0.0, False),
        (True, "00", MANY, True),
    ],
)
async def test_who_decides_whether_it_is_recorded(
    public: bool,  # noqa: FBT001 - columns of the table
    flags: str,
    rate: float,
    recorded: bool,  # noqa: FBT001
) -> None:
    by = tracer(SpanMemory(), rate=rate)
    span = (by.serve_public if public else by.serve)("GET", fields(flags))
    assert (span.trace_id, span.recorded, span.sampled) == (TRACE, recorded, recorded)


@pytest.mark.parametrize(
    ("rate", "at_once", "later"), [(0.0, 0, 0), (0.5, 1, 1), (2.5, 2, 2), (10.0, 10, 10), (MANY, 50, 50)]
)
async def test_so_many_are_recorded_in_a_second(
    rate: float, at_once: int, later: int, autojump_clock: trio.abc.Clock
) -> None:
    by = tracer(SpanMemory(), rate=rate)

    def recorded() -> int:
        return sum(by.serve_public("GET", fields()).recorded for _ in range(50))

    assert recorded() == at_once
    await trio.sleep(0.001)
    assert recorded() == (at_once if rate == MANY else 0)
    await trio.sleep(2)
    assert recorded() == later


async def test_a_tree_with_its_times(autojump_clock: trio.abc.Clock) -> None:
    memory = SpanMemory()
    with tracer(memory).serve("POST", fields()) as top:
        await trio.sleep(1)
        with child("part", "client") as part:
            assert part is not None
            assert current_span() is part
            await trio.sleep(2)
        top.answered(201)
    assert memory.recorded == [("test", part), ("test", top)]
    assert (part.trace_id, part.parent_id, part.kind) == (TRACE, top.span_id, "client")
    assert (part.began_at, part.seconds) == (START + 1, 2.0)
    assert (top.kind, top.outcome, top.error, top.seconds) == ("server", "ok", None, 3.0)
    assert top.attributes == {"http.request.method": "POST", "http.response.status_code": 201}


@pytest.mark.parametrize(
    ("error", "outcome", "said"),
    [
        (Conflict("order-exists", "order 'secret' exists"), "refused", None),
        (Unavailable("storage-busy", "a detail"), "failed", "storage-busy"),
        (KeyError("a detail"), "failed", "KeyError"),
    ],
)
async def test_what_an_error_leaves(error: Exception, outcome: str, said: str | None) -> None:
    memory = SpanMemory()
    with pytest.raises(type(error)), tracer(memory).root("work"):
        raise error
    span = memory.one("test", "work")
    assert (span.outcome, span.error) == (outcome, said)


async def test_a_cancelled_span_is_marked(autojump_clock: trio.abc.Clock) -> None:
    memory = SpanMemory()
    with trio.move_on_after(1):
        with tracer(memory).root("work"), child("part"):
            async with trio.open_nursery() as nursery:  # wraps what it raises into a group
                nursery.start_soon(trio.sleep, 9)
                nursery.start_soon(trio.sleep_forever)
    for name in ("work", "part"):
        span = memory.one("test", name)
        assert (span.outcome, span.error, span.seconds) == ("cancelled", "cancelled", 1.0)


async def test_a_task_that_goes_on_works_for_the_span_in_which_it_was_started() -> None:
    memory, found = SpanMemory(), list[Span | None]()

    async def work() -> None:
        found.append(current_span())

    async with trio.open_nursery() as nursery:
        with tracer(memory).root("work"):
            nursery.start_soon(work)
    assert found == [memory.one("test", "work")]


async def test_links_go_both_ways_and_are_bounded() -> None:
    memory = SpanMemory()
    by = tracer(memory)
    others = [by.root(f"other {number}") for number in range(MAX_LINKS + 2)]
    unrecorded = tracer().root("unrecorded")
    with linked("batch", [unrecorded, None, *others]) as batch:
        assert batch is not None
        assert batch.trace_id not in {other.trace_id for other in others}
        assert batch.parent_id is None
        assert batch.links == [Link(other.trace_id, other.span_id) for other in others[:MAX_LINKS]]
    assert all(other.links == [Link(batch.trace_id, batch.span_id)] for other in others)
