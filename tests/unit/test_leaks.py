"""The watch over all logs finds a secret that is logged, and knows of secrets of each kind."""

from __future__ import annotations

import base64
import logging
from collections import Counter
from pathlib import Path

import pytest
import trio

from ordermgmt.telemetry.logs import get_logger, write_line
from tests.contract.shop_setup import open_shop, surfer
from tests.leaks.points import KINDS
from tests.leaks.watch import WATCH, Leaks, apart, check_child

SECRET = "pL4nt3d-and_never-to-be-seen-in-any-log-01"
PEM_LINE = base64.b64encode(bytes(range(200, 248))).decode()


def wrong(text: str) -> ValueError:
    return ValueError(text)


@pytest.fixture
def known() -> Leaks:
    leaks = Leaks()
    leaks.tell("cookie", SECRET)
    leaks.tell("private key", PEM_LINE)
    leaks.tell("password", "short but correct-horse-battery staple")
    return leaks


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f'{{"event":"seen","value":"{SECRET}"}}', "cookie"),
        (f"cookie={SECRET}; path=/", "cookie"),
        (f"x-{SECRET}", "cookie"),
        (f"{SECRET}_and-more", "cookie"),
        (f"a traceback\\n{SECRET}\\u000aof one line", "cookie"),
        (f"https://user:{SECRET}@host/?q={SECRET}", "cookie"),
        (PEM_LINE, "private key"),
        ("correct-horse-battery", "password"),
        ("eyJhbGciOiJFUzI1NiIsImtpZCI.eyJpc3MiOiJodHRwczovL3N0cyJ9.c2lnbmF0dXJlLW9mLXRoaXM", "looks like a secret"),
        (f"omr_{SECRET}x", "looks like a secret"),
        ("-----BEGIN EC PRIVATE KEY-----", "looks like a secret"),
    ],
)
def test_a_secret_is_found_wherever_it_stands(known: Leaks, line: str, kind: str) -> None:
    known.look(line, "here")
    found = known.take()
    assert kind in found[0]
    assert not any(SECRET in one or PEM_LINE in one for one in found)


def test_what_a_test_made_is_forgotten_and_nothing_else(known: Leaks) -> None:
    with known.forgetting():
        known.tell("cookie", SECRET[::-1])
        known.look(SECRET[::-1], "here")
        assert len(known.take()) == 1
    known.look(SECRET[::-1], "here")
    assert known.take() == []
    known.look(SECRET, "here")
    assert len(known.take()) == 1


@pytest.mark.parametrize("line", ["", SECRET[:-1], SECRET.lower(), "an-id-of-22-characters-ok", "correct horse"])
def test_what_is_none_is_not(known: Leaks, line: str) -> None:
    known.look(line, "here")
    assert known.take() == []


def test_a_planted_leak_is_found_in_every_log_of_this_process() -> None:
    WATCH.tell("cookie", SECRET)
    with apart() as found:
        get_logger("order").info("planted", value=SECRET)
        get_logger("order").error("planted", exc_info=wrong(SECRET))
        write_line("order", "info", "planted", {"value": SECRET})
        logging.getLogger("some.library").warning("planted %s", SECRET)
        assert len(found) >= 4
        assert all(SECRET not in one for one in found)


def test_a_planted_leak_is_found_in_the_log_of_a_child() -> None:
    WATCH.tell("cookie", SECRET)
    check_child("nothing", "a child")
    with pytest.raises(AssertionError, match="cookie in"):
        check_child(f"planted {SECRET}", "a child")


async def test_secrets_of_every_kind_are_known(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    before = Counter(WATCH.counts)
    async with open_shop(tmp_path) as system:
        alice = await surfer(system)
        await alice.sign_in()
        token = await system.token("counter-app")
        assert (await system.request("gateway", "GET", "/order", token=token)).status == 200
        await trio.sleep(600)
        assert (await alice.get("/api/order")).status == 200
        with apart() as found:
            for planted in (token, alice.cookies["__Host-gateway-session"], alice.password("alice")):
                get_logger("order").info("planted", value=planted)
        assert len(found) >= 3
    assert [kind for kind in KINDS if WATCH.counts[kind] == before[kind]] == []
