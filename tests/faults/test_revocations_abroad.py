"""The stream of an issuer that somebody else runs, seen by the real order service: its tokens live for hours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import trio

from ordermgmt.security.revocation_stream import FIRST_RETRY, LAST_RETRY, SILENCE
from ordermgmt.security.revocations import CLOSED_AFTER, MAX_LINE, YOUNG, RevocationLine
from tests.faults.key_server_setup import Shop, Tls, be_away, publish, shop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\r\n"
Tell = Callable[[Tls, str], Awaitable[None]]


class Stream:
    """Tells of revocations once a second, unless it misbehaves."""

    def __init__(self) -> None:
        self.revoked: list[str] = []
        self.asked: list[tuple[float, str]] = []
        self.fault: Tell | None = None

    async def tell(self, stream: Tls, target: str) -> None:
        self.asked.append((trio.current_time(), target))
        if self.fault is not None:
            await self.fault(stream, target)
            return
        await stream.send_all(HEAD)
        told = int(target.rpartition("after=")[2])
        while self.fault is None:
            line = RevocationLine("e", len(self.revoked), 20_000, revoked=tuple(self.revoked[told:]))
            told = len(self.revoked)
            await stream.send_all(msgspec.json.encode(line) + b"\n")
            await trio.sleep(1)
        raise trio.BrokenResourceError


async def say(stream: Tls, body: bytes) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


async def say_nothing(stream: Tls, target: str) -> None:
    await stream.send_all(HEAD)
    await trio.sleep_forever()


async def end_at_once(stream: Tls, target: str) -> None:
    await say(stream, b"")


async def say_one_line(stream: Tls, target: str) -> None:
    await say(stream, msgspec.json.encode(RevocationLine("e", 0, 20_000)) + b"\n")


async def say_html(stream: Tls, target: str) -> None:
    await say(stream, b"<html>\n")


async def say_another_shape(stream: Tls, target: str) -> None:
    await say(stream, b'{"epoch":1,"sequence":"x","keep":0}\n')


async def forbid(stream: Tls, target: str) -> None:
    await stream.send_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")


async def pour(stream: Tls, target: str) -> None:
    await stream.send_all(HEAD)
    for _ in range(MAX_LINE // 1000):
        await stream.send_all(b"x" * 2000)
    await trio.sleep_forever()


FAULTS: list[Tell] = [say_nothing, end_at_once, say_html, say_another_shape, forbid, pour]


async def old_token(running: Shop, sid: str = "s") -> str:
    return running.token(iat=running.system.runtime.clock.now() - 3000, sid=sid)


async def test_its_tokens_end_as_it_says_and_a_restart_of_its_line_loses_nothing(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    source = Stream()
    async with shop(tmp_path, tell=source.tell) as running:
        tokens = {sid: await old_token(running, sid) for sid in ("a", "b", "c")}
        for token in tokens.values():
            assert await running.status(token) == 200
        source.revoked.append("a")
        await trio.sleep(1.1)
        assert [await running.status(token) for token in tokens.values()] == [401, 200, 200]
        source.fault = forbid
        await trio.sleep(5)
        source.revoked.append("b")
        source.fault = None
        await trio.sleep(LAST_RETRY + 0.1)
        assert [await running.status(token) for token in tokens.values()] == [401, 401, 200]
        assert source.asked[0][1] == "/revocations?v=1&epoch=&after=0"
        assert source.asked[-1][1] == "/revocations?v=1&epoch=e&after=1"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_without_news_for_fifty_seconds_it_is_closed_to_all_but_young_tokens(
    fault: Tell, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    source = Stream()
    async with shop(tmp_path, tell=source.tell) as running:
        token = await old_token(running)
        assert await running.status(token) == 200
        source.fault = fault
        since = trio.current_time()
        asked = len(source.asked)
        await trio.sleep_until(since + CLOSED_AFTER - 1)
        assert await running.status(token) == 200
        await trio.sleep_until(since + CLOSED_AFTER + 1.5)
        answer = await running.list_orders(token)
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert b"revocations-unknown" in answer.content
        young = running.token()
        assert await running.status(young) == 200
        await trio.sleep(YOUNG + 1)
        assert await running.status(young) == 503
        assert (await running.system.request("order", "GET", "/order/1")).status == 404
        attempts = [at for at, _ in source.asked[asked:]]
        gaps = [after - before for before, after in pairwise(attempts)]
        assert FIRST_RETRY <= min(gaps) <= max(gaps) <= LAST_RETRY + SILENCE + 0.1
        source.fault = None
        await trio.sleep(LAST_RETRY + SILENCE + 0.1)
        assert await running.status(token) == 200


@pytest.mark.parametrize("fault", [end_at_once, say_one_line], ids=lambda fault: fault.__name__)
async def test_a_stream_that_ends_at_once_is_said_to_do_so_and_asked_for_ever_less_often(
    fault: Tell, tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Stream()
    async with shop(tmp_path, tell=source.tell) as running:
        assert await running.status(running.token()) == 200
        capsys.readouterr()
        source.fault = fault
        await trio.sleep(20)
        gaps = [after - before for (before, _), (after, _) in pairwise(source.asked[1:])]
        assert FIRST_RETRY <= gaps[0] < gaps[1] < gaps[-1] == pytest.approx(LAST_RETRY, abs=0.1)
    said = [line for line in capsys.readouterr().err.splitlines() if "revocations-not-followed" in line]
    assert "the stream ended at once" in said[-1]


async def test_being_closed_comes_before_keys_that_are_still_used(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """Both are away: keys would do for ten minutes, but nobody knows what was revoked."""
    source = Stream()
    async with shop(tmp_path, tell=source.tell) as running:
        token = await old_token(running)
        running.server.answer = be_away
        source.fault = forbid
        await trio.sleep(CLOSED_AFTER + 2)
        assert await running.status(token) == 503
        assert await running.status(running.token()) == 200
        running.server.answer = publish


async def test_before_the_first_news_it_is_closed_too_and_no_start_waits(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    source = Stream()
    source.fault = say_nothing
    start = trio.current_time()
    async with shop(tmp_path, tell=source.tell) as running:
        assert trio.current_time() - start <= 1.1
        assert await running.status(await old_token(running)) == 503
        assert await running.status(running.token()) == 200


async def test_an_issuer_without_a_stream_is_as_it_was(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as running:
        token = await old_token(running)
        await trio.sleep(CLOSED_AFTER * 2)
        assert await running.status(token) == 200
