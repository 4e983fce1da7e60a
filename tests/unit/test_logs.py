from __future__ import annotations

import io
import logging
import re
import shlex
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.telemetry import logs
from ordermgmt.telemetry.console import ServiceRow, show_startup
from ordermgmt.telemetry.logs import Secret, configure_logs, get_logger

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


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_is_time_level_service_event_and_pairs(stream: io.StringIO) -> None:
    get_logger("order").warning("retrying", attempt=2, after=0.5, cause=None)
    assert re.fullmatch(rf"{STAMP} warning order retrying attempt=2 after=0\.5 cause=None\n", stream.getvalue())


def test_bound_values_come_along(stream: io.StringIO) -> None:
    get_logger("order").bind(order="100500").info("created")
    assert stream.getvalue().endswith(" info order created order=100500\n")


def test_a_logger_made_before_the_set_up_writes_where_it_says() -> None:
    logger = get_logger("order")
    for stream in (io.StringIO(), io.StringIO()):
        configure_logs(stream, pretty=False)
        logger.info("up")
        assert stream.getvalue().endswith(" info order up\n")


def test_debug_is_not_written(stream: io.StringIO) -> None:
    get_logger("order").debug("noise")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ("x level=error", '"x level=error"'),
        ('say "hi"', r'"say \"hi\""'),
        ("back\\slash", r'"back\\slash"'),
        ("a\nforged line", r'"a\nforged line"'),
        ("\r\x00\x1b[31m\x7f\x85", r'"\r\x00\x1b[31m\x7f\x85"'),
        ("\u2028\u202e\u00a0", r'"\u2028\u202e\xa0"'),
        ("\ud800", r'"\ud800"'),
        ("Grüße", "Grüße"),
        (b"bytes\n", r'"b\'bytes\\n\'"'.replace(r"\'", "'")),
    ],
)
def test_values_are_quoted_and_escaped(stream: io.StringIO, value: object, written: str) -> None:
    get_logger("order").info("seen", value=value)
    assert stream.getvalue().endswith(f" seen value={written}\n")


@given(st.text(), st.text(), st.text(min_size=1))
def test_no_text_can_forge_a_line_or_a_pair(service: str, event: str, value: str) -> None:
    stream = io.StringIO()
    configure_logs(stream, pretty=False)
    get_logger(service).info(event, value=value, last=1)
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    parts = shlex.split(line)
    assert len(parts) == 6
    assert parts[5] == "last=1"


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
    assert r'exception="Traceback (most recent call last):\n' in line
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
    assert first.endswith(r' warning hypercorn.error "bad request from a\nb"')
    assert second.endswith(" error quart.app 100%")


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
    configure_logs(io.TextIOWrapper(raw, encoding="ascii"), pretty=False)
    get_logger("order").info("Grüße")
    assert raw.getvalue().endswith(rb" info order Gr\xfc\xdfe" + b"\n")


def test_start_up_table_is_aligned_under_a_pipe() -> None:
    stream = io.StringIO()
    rows = [
        ServiceRow("sts", "https://localhost:9445", "running", 4711, 30),
        ServiceRow("admin", "http://127.0.0.1:9400", "running", None, None),
    ]
    show_startup(stream, rows, ["curl https://localhost:8443/order"])
    assert stream.getvalue().splitlines() == [
        "service  address                 state    pid   certificate",
        "sts      https://localhost:9445  running  4711  30 days left",
        "admin    http://127.0.0.1:9400   running  none  none",
        "",
        "curl https://localhost:8443/order",
    ]


def test_start_up_table_on_a_terminal_takes_values_literally_and_never_wraps_hints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    hint = "curl " + "x" * 200
    show_startup(stream, [ServiceRow("sts", "[red]:9445", "running", None, 1)], [hint])
    assert "[red]:9445" in stream.getvalue()
    assert "1 day left" in stream.getvalue()
    assert hint in stream.getvalue().splitlines()


@pytest.mark.parametrize("letter", ["x", "ü", "\x00"])
def test_lines_of_several_processes_fit_into_one_write_and_keep_both_ends(letter: str) -> None:
    raw = io.BytesIO()
    configure_logs(io.TextIOWrapper(raw, encoding="utf-8"), pretty=False, shared=True)
    for length in range(900, 4200, 11):
        get_logger("order").error("crashed", reason=letter * length, cause="gone")
    lines = raw.getvalue().splitlines(keepends=True)
    assert len(lines) == 300
    assert max(map(len, lines)) == 4096
    assert min(map(len, lines)) < 4096
    for line in lines:
        assert b" error order crashed reason=" in line
        assert line.endswith(b" cause=gone\n")
    assert b" ... " in lines[-1]


def test_a_line_of_a_library_names_the_service_whose_process_it_is(stream: io.StringIO) -> None:
    configure_logs(stream, pretty=False, process="order")
    get_logger("order").info("started")
    get_logger("security").info("keys-changed")
    own, foreign = stream.getvalue().splitlines()
    assert own.endswith(" info order started")
    assert foreign.endswith(" info security keys-changed process=order")
