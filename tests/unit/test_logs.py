from __future__ import annotations

import io
import json
import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.telemetry import logs
from ordermgmt.telemetry.logs import configure_logs, get_logger, write_line
from ordermgmt.telemetry.requests import RequestContext, begin_request, end_request, note_principal
from ordermgmt.telemetry.secrets import Secret

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logs._OUTPUT.__init__()  # type: ignore[misc]


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure_logs(stream, pretty=False)
    return stream


def raised(text: str, **_variables: str) -> ValueError:
    try:
        raise ValueError(text)  # noqa: TRY301 - an error with a traceback is what is wanted
    except ValueError as error:
        return error


def read(stream: io.StringIO) -> Any:
    (line,) = stream.getvalue().splitlines()
    return json.loads(line)


@dataclass
class Held:
    name: str
    secret: Secret[str]


def test_a_line_is_an_object_of_time_level_service_event_and_more(stream: io.StringIO) -> None:
    get_logger("order").warning("retrying", attempt=2, after=0.5, cause=None)
    pairs = list(json.loads(stream.getvalue()).items())
    assert re.fullmatch(STAMP, pairs[0][1])
    assert pairs[0][0] == "timestamp"
    assert pairs[1:] == [
        ("level", "warning"),
        ("service", "order"),
        ("event", "retrying"),
        ("attempt", 2),
        ("after", 0.5),
        ("cause", None),
    ]


def test_bound_values_come_along(stream: io.StringIO) -> None:
    get_logger("order").bind(order="100500").info("created")
    assert read(stream)["order"] == "100500"


def test_a_line_that_every_request_has_looks_like_the_others(stream: io.StringIO) -> None:
    get_logger("order").info("answered", status=200, seconds=0.5)
    write_line("order", "info", "answered", {"status": 200, "seconds": 0.5})
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("timestamp") <= second.pop("timestamp")
    assert list(first.items()) == list(second.items())


def test_a_line_within_a_request_says_which_and_whose(stream: io.StringIO) -> None:
    request = RequestContext.of("POST", None, lambda: "an-id")
    begun = begin_request(request)
    request.route, request.caller = "/order/<order_id>", "gateway"
    note_principal("https://sts", "alice", act="client:gateway", jti="a-jti")
    get_logger("order").info("stored")
    get_logger("order").info("stored", route="its own")
    end_request(begun)
    get_logger("order").info("stored")
    inside, own, outside = map(json.loads, stream.getvalue().splitlines())
    assert (
        inside.items()
        >= {
            "request_id": "an-id",
            "method": "POST",
            "route": "/order/<order_id>",
            "caller": "gateway",
            "iss": "https://sts",
            "sub": "alice",
            "act": "client:gateway",
            "jti": "a-jti",
        }.items()
    )
    assert own["route"] == "its own"
    assert not {"request_id", "route", "sub", "iss", "act", "jti", "caller"} & outside.keys()


@pytest.mark.parametrize("sent", [None, b"", b"short", b"x" * 23, b"x" * 21 + b" ", b"x" * 21 + b"\n", b"\xff" * 22])
def test_an_id_that_is_none_of_ours_is_not_taken(sent: bytes | None) -> None:
    assert RequestContext.of("GET", sent, lambda: "own").id == "own"
    assert RequestContext.of("GET", b"Abc-_0123456789Abc-_01", lambda: "own").id == "Abc-_0123456789Abc-_01"


def test_a_logger_made_before_the_set_up_writes_where_it_says() -> None:
    logger = get_logger("order")
    for stream in (io.StringIO(), io.StringIO()):
        configure_logs(stream, pretty=False)
        logger.info("up")
        assert read(stream)["event"] == "up"


def test_debug_is_not_written(stream: io.StringIO) -> None:
    get_logger("order").debug("noise")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("plain", "plain"),
        ('say "hi" \\ \n\r\x00\x1b[31m\x7f\x85', 'say "hi" \\ \n\r\x00\x1b[31m\x7f\x85'),
        ("\u2028\u202e\u00a0", "\u2028\u202e\u00a0"),
        ("\ud800", "\ud800"),
        ("Grüße", "Grüße"),
        (b"bytes\n", "b'bytes\\n'"),
        (2**70, 2**70),
        (math.inf, None),
        (("a", 1, [None]), ["a", 1, [None]]),
        (Held("name", Secret("hunter2")), "Held(name='name', secret=[redacted])"),
    ],
)
def test_values_keep_their_kind_or_say_what_they_are(stream: io.StringIO, value: object, told: object) -> None:
    get_logger("order").info("seen", value=value)
    assert read(stream)["value"] == told


@given(st.text(), st.text(), st.text(min_size=1))
def test_no_text_can_forge_a_line_or_a_pair(service: str, event: str, value: str) -> None:
    stream = io.StringIO()
    configure_logs(stream, pretty=False)
    get_logger(service).info(event, value=value, last=1)
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert line.isascii()
    found = json.loads(line)
    assert list(found) == ["timestamp", "level", "service", "event", "value", "last"]
    assert (found["service"], found["event"], found["value"], found["last"]) == (service, event, value, 1)


@given(st.text(), st.text())
def test_no_text_reaches_the_terminal_raw(event: str, value: str) -> None:
    stream = io.StringIO()
    configure_logs(stream, pretty=True)
    get_logger("order").info(event, value=value)
    (line,) = stream.getvalue().splitlines()
    assert re.sub(r"\x1b\[[\d;]+m", "", line).isprintable()


def test_pretty_lines_have_colours_and_the_traceback_below() -> None:
    stream = io.StringIO()
    configure_logs(stream, pretty=True)
    get_logger("order").error("crashed", attempt=1, exc_info=raised("odd\x1b[2J"))
    first, *below = stream.getvalue().splitlines()
    assert "\x1b[31merror" in first
    assert "crashed" in first
    assert below[0] == "    Traceback (most recent call last):"
    assert below[-1] == r"    ValueError: odd\x1b[2J"


def test_plain_traceback_stays_in_its_line_and_shows_no_variables(stream: io.StringIO) -> None:
    get_logger("order").error("crashed", exc_info=raised("odd", password="hunter2"))
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["exception"].startswith("Traceback (most recent call last):\n")
    assert "hunter2" not in line


def test_secrets_are_redacted_wherever_they_stand(stream: io.StringIO) -> None:
    secret = Secret("hunter2")
    get_logger("sts").info("made", secret=secret, inside=[secret], text=f"{secret} {secret!r}", event2=str(secret))
    assert "hunter2" not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") == 5
    assert secret.reveal() == "hunter2"


def test_the_standard_library_writes_through_it_from_warning_up(stream: io.StringIO) -> None:
    logging.getLogger("hypercorn.error").warning("bad request from %s", "a\nb")
    logging.getLogger("httpx").info("HTTP Request: GET https://localhost/?code=1")
    logging.getLogger("quart.app").error("100%")
    first, second = stream.getvalue().splitlines()
    assert (
        json.loads(first).items()
        >= {
            "level": "warning",
            "service": "hypercorn.error",
            "event": "bad request from a\nb",
        }.items()
    )
    assert json.loads(second).items() >= {"level": "error", "service": "quart.app", "event": "100%"}.items()


def test_the_standard_library_writes_once_however_often_it_is_set_up(stream: io.StringIO) -> None:
    configure_logs(stream, pretty=False)
    logging.getLogger("quart.app").error("once")
    assert stream.getvalue().count("once") == 1


def test_a_broken_stream_does_not_break_the_service(stream: io.StringIO) -> None:
    tried: list[str] = []

    class Broken(io.StringIO):
        def write(self, text: str, /) -> int:
            tried.append(text)
            raise BrokenPipeError

    configure_logs(Broken(), pretty=False)
    get_logger("order").info("unheard")
    assert len(tried) == 1
    configure_logs(stream, pretty=False)
    stream.close()
    get_logger("order").info("unheard")


def test_what_the_stream_cannot_encode_is_escaped() -> None:
    raw = io.BytesIO()
    configure_logs(io.TextIOWrapper(raw, encoding="ascii"), pretty=True)
    get_logger("order").info("Grüße")
    assert rb"Gr\xfc\xdfe" in raw.getvalue()


@pytest.mark.parametrize("letter", ["x", "ü", "\x00", '"'])
def test_lines_of_several_processes_fit_into_one_write_and_keep_both_ends(letter: str) -> None:
    raw = io.BytesIO()
    configure_logs(io.TextIOWrapper(raw, encoding="utf-8"), pretty=False, shared=True)
    for length in range(500, 9200, 290):
        get_logger("order").error("crashed", reason=f"first{letter * length}last", also=letter * 700, cause="gone")
    lines = raw.getvalue().splitlines(keepends=True)
    assert len(lines) == 30
    assert all(len(line) <= 4096 for line in lines)
    for line in lines:
        found = json.loads(line)
        assert (found["event"], found["cause"]) == ("crashed", "gone")
        assert found["reason"].startswith("first")
        assert found["reason"].endswith("last")
    assert " ... " in json.loads(lines[-1])["reason"]
    assert sum(map(len, lines)) > 15 * 2048  # no more is left out than has to be


def test_a_line_of_a_library_names_the_service_whose_process_it_is(stream: io.StringIO) -> None:
    configure_logs(stream, pretty=False, process="order")
    get_logger("order").info("started")
    get_logger("security").info("keys-changed")
    own, foreign = map(json.loads, stream.getvalue().splitlines())
    assert "process" not in own
    assert (foreign["service"], foreign["process"]) == ("security", "order")
