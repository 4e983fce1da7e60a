"""Digests of passwords and how many of them may be computed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

import pytest
import trio
from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type
from trio.testing import MockClock

from ordermgmt.errors import InvalidRequest, TooManyRequests, Unavailable
from ordermgmt.security import passwords
from ordermgmt.security.passwords import Passwords
from ordermgmt.threads import InlineThreads

T = TypeVar("T")


def seeded(size: int) -> bytes:
    return bytes(range(size))


class SlowThreads:
    """Takes a second of virtual time for each call, and notes who is inside and what was called."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.limiter: trio.CapacityLimiter | None = None

    async def run(self, fn: Callable[[], T], *, limiter: trio.CapacityLimiter | None = None) -> T:
        assert limiter is not None
        async with limiter:
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                await trio.sleep(1)
            finally:
                self.inside -= 1
            return fn()


async def test_only_the_password_itself_matches() -> None:
    subject = Passwords(InlineThreads(), seeded)
    digest = await subject.digest("correct horse é")
    assert digest.startswith("$argon2id$")
    assert await subject.verify(digest, "correct horse é")
    for wrong in ("correct horse e", "Correct horse é", "", "correct horse é ", "\ud800", "x" * 5000):
        assert not await subject.verify(digest, wrong)


async def test_a_password_longer_than_the_limit_never_matches_its_beginning() -> None:
    subject = Passwords(InlineThreads(), seeded)
    digest = await subject.digest("x" * passwords.MAX_BYTES)
    assert await subject.verify(digest, "x" * passwords.MAX_BYTES)
    assert not await subject.verify(digest, "x" * (passwords.MAX_BYTES + 1))


async def test_salts_come_from_the_given_entropy() -> None:
    salts = iter([b"a" * 16, b"b" * 16, b"a" * 16])
    subject = Passwords(InlineThreads(), lambda _: next(salts))
    first, second, third = [await subject.digest("x") for _ in range(3)]
    assert first == third != second


async def test_an_unknown_user_costs_the_same_work_and_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    original = passwords._matches

    def watch(digest: str, password: bytes) -> bool:
        checked.append(digest)
        return original(digest, password)

    monkeypatch.setattr(passwords, "_matches", watch)
    subject = Passwords(InlineThreads(), seeded)
    digest = await subject.digest("x")
    assert not await subject.verify(None, "x")
    assert not await subject.verify(digest, "x" * 5000)
    assert checked == [passwords._NOBODY] * 2
    assert extract_parameters(passwords._NOBODY) == extract_parameters(digest)
    assert extract_parameters(digest).type is Type.ID


@pytest.mark.parametrize("unusable", ["", "x" * 1025, "é" * 513])
async def test_an_unusable_password_gets_no_digest(unusable: str) -> None:
    with pytest.raises(InvalidRequest):
        await Passwords(InlineThreads(), seeded).digest(unusable)


@pytest.mark.parametrize("broken", ["", "rubbish", "$argon2id$rubbish"])
async def test_a_broken_digest_is_a_fault_not_a_wrong_password(broken: str) -> None:
    with pytest.raises((InvalidHashError, VerificationError)):
        await Passwords(InlineThreads(), seeded).verify(broken, "x")


async def test_two_at_once_a_bounded_queue_and_no_more(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    threads = SlowThreads()
    subject = Passwords(threads, seeded)
    answers: list[bool] = []

    async def login() -> None:
        answers.append(await subject.verify(None, "x"))

    allowed = passwords.AT_ONCE + passwords.QUEUE
    for _ in range(allowed):
        nursery.start_soon(login)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(Unavailable) as caught:
        await subject.verify(None, "x")
    assert caught.value.retry_after == 1
    await trio.sleep(allowed)
    assert answers == [False] * allowed
    assert threads.most == passwords.AT_ONCE
    assert not await subject.verify(None, "x")


async def test_a_caller_that_gives_up_leaves_the_queue(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    subject = Passwords(SlowThreads(), seeded)
    with trio.move_on_after(0.5):
        async with trio.open_nursery() as logins:
            for _ in range(passwords.AT_ONCE + passwords.QUEUE):
                logins.start_soon(subject.verify, None, "x")
    assert not await subject.verify(None, "x")


async def test_one_owner_cannot_fill_the_queue() -> None:
    subject = Passwords(InlineThreads(), seeded)
    with ExitStack() as stack:
        for _ in range(passwords.EACH):
            stack.enter_context(subject.turn("192.0.2.1"))
        with pytest.raises(TooManyRequests) as caught, subject.turn("192.0.2.1"):
            pass
        assert caught.value.retry_after == 1
        with subject.turn("192.0.2.2") as turn:
            assert not await turn.verify(None, "x")
    with subject.turn("192.0.2.1"):
        assert subject._owners == {"192.0.2.1": 1}
    assert not subject._owners


async def test_no_thread_is_started_but_through_the_seam() -> None:
    before = threading.active_count()
    await Passwords(InlineThreads(), seeded).verify(None, "x")
    assert threading.active_count() == before
