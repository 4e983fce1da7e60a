"""W3C Trace Context: what is read, what is not, and what is sent on. Sections are those of the Recommendation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.telemetry.trace_context import MAX_STATE, TraceContext, parse, render

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (GOOD, True),
        (f"00-{TRACE}-{SPAN}-00", False),
        # 3.2.2.5: other bits mean nothing here.
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-fe", False),
        # 4: a later version is read as far as 00 goes.
        (f"01-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
        (f"cc-{TRACE}-{SPAN}-01-", True),
        (f"fe-{TRACE}-{SPAN}-00-x", False),
    ],
)
def test_a_good_parent_is_read(text: str, sampled: bool) -> None:  # noqa: FBT001 - a column of the table
    assert parse([text.encode()]) == TraceContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([], id="none"),
        pytest.param([""], id="empty"),
        pytest.param([GOOD, GOOD], id="twice"),
        pytest.param([f"00-{'0' * 32}-{SPAN}-01"], id="3.2.2.3-no-trace"),
        pytest.param([f"00-{TRACE}-{'0' * 16}-01"], id="3.2.2.4-no-parent"),
        pytest.param([f"ff-{TRACE}-{SPAN}-01"], id="3.2.2.1-version-ff"),
        pytest.param([f"0-{TRACE}-{SPAN}-01"], id="short-version"),
        pytest.param([f"0g-{TRACE}-{SPAN}-01"], id="version-no-hex"),
        pytest.param([GOOD.upper()], id="upper-case"),
        pytest.param([f"00-{TRACE[:-1]}-{SPAN}-01"], id="short-trace"),
        pytest.param([f"00-{TRACE}0-{SPAN}-01"], id="long-trace"),
        pytest.param([f"00-{TRACE[:-1]}.-{SPAN}-01"], id="trace-no-hex"),
        pytest.param([f"00-{TRACE}-{SPAN[:-1]}-01"], id="short-parent"),
        pytest.param([f"00-{TRACE}-{SPAN}0-01"], id="long-parent"),
        pytest.param([f"00-{TRACE}-{SPAN}-1"], id="short-flags"),
        pytest.param([f"00-{TRACE}-{SPAN}-.0"], id="flags-no-hex"),
        pytest.param([f"00-{TRACE}-{SPAN}"], id="no-flags"),
        pytest.param([f"{GOOD}-"], id="4-00-with-a-dash"),
        pytest.param([f"{GOOD}-more"], id="4-00-with-more"),
        pytest.param([f"{GOOD}.more"], id="00-with-rubbish"),
        pytest.param([f"cc-{TRACE}-{SPAN}-01.what"], id="4-later-without-a-dash"),
        pytest.param([f"cc-{TRACE}-{SPAN}-012"], id="4-later-with-long-flags"),
        pytest.param([f" {GOOD}"], id="space"),
        pytest.param([f"{GOOD}\n"], id="line"),
        pytest.param([f"00_{TRACE}_{SPAN}_01"], id="underscores"),
        pytest.param([f"00-{TRACE}-{SPAN}-0\u0661"], id="no-ascii"),
    ],
)
def test_what_is_no_parent_is_nothing(texts: list[str]) -> None:
    assert parse([text.encode() for text in texts], [b"a=1"]) is None


@given(st.lists(st.binary(max_size=80), max_size=3), st.lists(st.binary(max_size=80), max_size=3))
def test_whatever_comes_is_read_or_nothing(parents: list[bytes], states: list[bytes]) -> None:
    read = parse(parents, states)
    if read is not None:
        sent = dict(render(read.trace_id, read.span_id, read.state, sampled=read.sampled))
        assert parse([sent["traceparent"].encode()], [sent.get("tracestate", "").encode()]) == read
    assert parse([GOOD.encode()], states) is not None


LONG_KEY, LONG_VALUE = "k" * 256, "v" * 256


@pytest.mark.parametrize(
    ("texts", "state"),
    [
        ([], ""),
        ([""], ""),
        (["foo=1"], "foo=1"),
        (["foo=1,bar=2"], "foo=1,bar=2"),
        # 3.3.1: several fields are one list; members may be empty, and have white space around them.
        (["foo=1", "bar=2"], "foo=1,bar=2"),
        (["foo=1 \t,\t bar=2, ,"], "foo=1,bar=2"),
        (["foo=1,foo=2"], "foo=1,foo=2"),
        # 3.3.1.3.1 keys
        (["a@b=1"], "a@b=1"),
        (["0a-_*/@b-_*/0=1"], "0a-_*/@b-_*/0=1"),
        ([f"{LONG_KEY}=1"], f"{LONG_KEY}=1"),
        ([f"{LONG_KEY}k=1"], ""),
        ([f"{'t' * 241}@{'v' * 14}=1"], f"{'t' * 241}@{'v' * 14}=1"),
        ([f"{'t' * 242}@v=1"], ""),
        ([f"t@{'v' * 15}=1"], ""),
        (["0a=1"], ""),
        (["FOO=1"], ""),
        (["a@b@c=1"], ""),
        (["@b=1"], ""),
        (["a@=1"], ""),
        (["foo.bar=1"], ""),
        (["=1"], ""),
        (["foo =1"], ""),
        # 3.3.1.3.2 values
        ([f"a={LONG_VALUE}"], f"a={LONG_VALUE}"),
        ([f"a={LONG_VALUE}v"], ""),
        (["a= b~!"], "a= b~!"),
        (["a=b=c"], ""),
        (["a="], ""),
        (["foo"], ""),
        (["a=\x7f"], ""),
        (["a=\u00e9"], ""),
        (["foo=1,rubbish"], ""),
        # 3.3.1.1: at most 32 members
        ([",".join(f"k{number}=1" for number in range(32))], ",".join(f"k{number}=1" for number in range(32))),
        ([",".join(f"k{number}=1" for number in range(33))], ""),
        # 3.3.1.5: at least 512 characters
        ([f"a={'v' * 253},b={'v' * 254}"], f"a={'v' * 253},b={'v' * 254}"),
        ([f"a={'v' * 254},b={'v' * 254}"], ""),
    ],
)
def test_a_state_is_passed_on_whole_or_not_at_all(texts: list[str], state: str) -> None:
    read = parse([GOOD.encode()], [text.encode() for text in texts])
    assert read == TraceContext(TRACE, SPAN, True, state)  # a bad one takes no good parent along
    assert len(state) <= MAX_STATE


def test_what_is_sent_is_version_00() -> None:
    assert render(TRACE, SPAN, "", sampled=True) == [("traceparent", GOOD)]
    both = [("traceparent", f"00-{TRACE}-{SPAN}-00"), ("tracestate", "foo=1,bar=2")]
    assert render(TRACE, SPAN, "foo=1,bar=2", sampled=False) == both
