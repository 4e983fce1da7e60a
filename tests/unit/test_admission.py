"""Who gets a connection when they are scarce."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.net.admission import Admission, Crowd, Verdict, address_key, decide
from ordermgmt.net.connection import Limits
from tests.unit.server_setup import get, read_answer, read_to_end, sample_app, serving


@pytest.mark.parametrize(
    ("crowds", "verdict"),
    [
        ({}, Verdict(admitted=True)),
        ({"b": Crowd(9, 1.0)}, Verdict(admitted=True)),
        ({"a": Crowd(5, 1.0)}, Verdict(admitted=True, ends_at="a")),
        ({"a": Crowd(5, None)}, Verdict(admitted=False)),
        ({"a": Crowd(5, None), "b": Crowd(5, 1.0)}, Verdict(admitted=False)),
        ({"b": Crowd(10, 1.0)}, Verdict(admitted=True, ends_at="b")),
        ({"b": Crowd(10, None)}, Verdict(admitted=False)),
        ({"a": Crowd(1, 1.0), "b": Crowd(6, 9.0), "c": Crowd(3, 0.0)}, Verdict(admitted=True, ends_at="b")),
        ({"a": Crowd(4, None), "b": Crowd(3, 1.0), "c": Crowd(3, 0.0)}, Verdict(admitted=False)),
        ({"b": Crowd(6, None), "c": Crowd(4, 2.0)}, Verdict(admitted=True, ends_at="c")),
        ({"b": Crowd(5, 2.0), "c": Crowd(5, 1.0)}, Verdict(admitted=True, ends_at="c")),
    ],
)
def test_an_address_with_many_makes_room_first(crowds: dict[str, Crowd], verdict: Verdict) -> None:
    assert decide("a", crowds, total=10, per_address=5) == verdict


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["come", "busy", "idle"]), st.integers(0, 9))))
def test_the_limits_hold_and_a_small_crowd_is_never_driven_out(steps: list[tuple[str, str, int]]) -> None:
    admission = Admission[int](total=6, per_address=4)
    live: dict[int, str] = {}
    for now, (address, verb, which) in enumerate(steps):
        members = [member for member, at in live.items() if at == address]
        if verb == "come":
            admitted, goes = admission.admit(address)
            if goes is not None:
                assert admitted
                gone = live.pop(goes)
                assert list(live.values()).count(gone) + 1 >= len(members)
                admission.leave(goes)
            if admitted:
                admission.enter(now, address, now)
                live[now] = address
        elif members and verb == "busy":
            admission.busy(members[which % len(members)])
        elif members:
            admission.idle(members[which % len(members)], now)
        assert len(live) <= 6
        assert all(list(live.values()).count(at) <= 4 for at in "abc")


def test_a_busy_connection_is_never_the_one_that_goes() -> None:
    admission = Admission[str](total=2, per_address=2)
    admission.enter("first", "a", 0)
    admission.enter("second", "a", 1)
    admission.busy("first")
    assert admission.admit("b") == (True, "second")
    assert admission.spare() == "second"
    admission.busy("second")
    assert admission.admit("b") == (False, None)
    assert admission.spare() is None
    admission.idle("first", 3)
    assert admission.admit("b") == (True, "first")
    admission.leave("first")
    admission.leave("first")
    assert admission.admit("b") == (True, None)


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
    ],
)
def test_an_address_is_what_one_client_owns(host: str, key: str) -> None:
    assert address_key(host) == key


async def test_a_full_listener_ends_the_connection_that_is_idle_longest(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app(), limits=Limits(connections=3)) as server:
        busy, quiet, talker = [await server.connect() for _ in range(3)]
        await busy.send_all(get("/slow"))
        for stream in (quiet, talker):
            await trio.sleep(1)
            await stream.send_all(get("/hello"))
            await read_answer(stream)
        newcomer = await server.connect()
        await newcomer.send_all(get("/hello", "Connection: close"))
        assert (await read_to_end(newcomer)).endswith(b"hello")
        with pytest.raises(trio.BrokenResourceError):
            await quiet.send_all(get("/hello"))
        await talker.send_all(get("/hello"))
        assert (await read_answer(talker)).endswith(b"hello")
        assert (await read_answer(busy)).endswith(b"slow")


async def test_a_listener_that_is_full_of_work_refuses_at_once(autojump_clock: trio.abc.Clock) -> None:
    async with serving(sample_app(), limits=Limits(connections=2)) as server:
        workers = [await server.connect() for _ in range(2)]
        for stream in workers:
            await stream.send_all(get("/slow"))
        await trio.sleep(1)
        start = trio.current_time()
        assert await read_to_end(await server.connect()) == b""
        assert trio.current_time() - start < 0.1
        for stream in workers:
            assert (await read_answer(stream)).endswith(b"slow")
        assert (await server.exchange(get("/hello", "Connection: close"))).endswith(b"hello")
