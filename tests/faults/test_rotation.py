"""Keys, certificates and the authority change under a trickle of requests, and no good token gets a 401."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from ordermgmt.sts.key_rotation import MARGIN, Schedule
from tests.faults.rotation_world import DAY, HOUR, ROUND, Pace, Seen, live


def say(seen: Seen, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(  # noqa: T201 - the proof's own words
            f"\n{len(seen.kids) - 1} key rotations, {seen.certificates} certificates and one authority replaced,"
            f" {seen.restarts} restarts, {sum(seen.statuses.values())} requests, {seen.statuses[401]} of them 401;"
            f" {seen.late} tokens refused and {seen.accepted} accepted after their key was gone"
        )


WEEKS, SERVICES = 4, 4
HOURS = Pace(length=12.5 * HOUR, key_period=1320, certificates=11 * ROUND, crash=7 * ROUND)
MONTH = Pace(
    length=31.2 * DAY,
    key_period=DAY,
    certificates=7 * DAY,
    crash=DAY + 5 * ROUND,
    quiet=4 * HOUR,
    look=MARGIN / 2,
    bound_token_lifetime=3600,
)


@pytest.mark.slow
async def test_keys_and_certificates_change_without_one_401(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    autojump_clock: trio.abc.Clock,
) -> None:
    seen = await live(tmp_path, HOURS, monkeypatch)
    say(seen, capsys)
    assert seen.wrong == []
    assert len(seen.kids) > 30
    assert seen.late >= 20


@pytest.mark.slow
async def test_keys_that_are_not_published_ahead_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    of = Schedule.of
    monkeypatch.setattr(Schedule, "of", lambda *given: replace(of(*given), publish_ahead=0.0))
    seen = await live(tmp_path, replace(HOURS, length=3 * HOUR, crash=math.inf), monkeypatch)
    assert seen.statuses[401] >= 3


@pytest.mark.month
async def test_a_month_of_daily_keys_and_weekly_certificates(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    autojump_clock: trio.abc.Clock,
) -> None:
    seen = await live(tmp_path, MONTH, monkeypatch)
    say(seen, capsys)
    assert seen.wrong == []
    assert len(seen.kids) > 30
    assert seen.certificates >= WEEKS * SERVICES
    assert seen.late >= 29
