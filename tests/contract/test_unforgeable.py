"""No token is accepted but those that an issuer made for us, and every refusal says in the log which rule it broke.

A row is a token that was accepted a moment ago, changed in one way and sent to the running order service.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.contract.unforgeable import claims, encoding, good, issuers, requests, signatures
from tests.contract.unforgeable.bench import check_accepted, check_refused, open_bench
from tests.contract.unforgeable.forging import Row, Token
from tests.log_lines import select

TABLES = [requests.rows, claims.rows, encoding.rows, signatures.rows]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__module__.rpartition(".")[2])
async def test_a_token_changed_in_one_way_is_refused(
    table: Callable[[], list[Row]],
    tmp_path: Path,
    autojump_clock: trio.abc.Clock,
    capsys: pytest.CaptureFixture[str],
    subtests: pytest.Subtests,
) -> None:
    async with open_bench(tmp_path, capsys) as bench:
        for row in table():
            sent = row.forge(await bench.prove(row.base))
            attempt = await bench.attempt(sent)
            with subtests.test(row.name):
                check_refused(attempt, row, sent)
        assert await bench.stored() == bench.accepted


async def test_what_the_rules_allow_is_accepted(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    async with open_bench(tmp_path, capsys) as bench:
        for name, base, forge in good.rows():
            attempt = await bench.attempt(forge(bench.tokens[base]))
            with subtests.test(name):
                check_accepted(attempt)
        assert await bench.stored() == bench.accepted


async def test_the_log_says_why_a_published_key_is_not_used(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_bench(tmp_path, capsys):
        pass
    log = capsys.readouterr().err
    for skipped in issuers.skipped_keys():
        assert select(log, "key-skipped", reason=skipped.reason, kid=f"'{skipped.kid}'")
    assert len(select(log, "key-skipped")) == len(issuers.skipped_keys()) + 1  # and the second of two with one kid
    assert select(log, "key-skipped", reason="duplicate-kid", kid="'twice'")


@pytest.mark.parametrize(("kid", "seconds", "code"), [("es", 601, "expired"), ("rs", 301, "unknown-key")])
async def test_what_was_accepted_once_is_not_accepted_for_ever(
    kid: str,
    seconds: int,
    code: str,
    tmp_path: Path,
    autojump_clock: trio.abc.Clock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The very same token is sent again: after its end, or after its key was withdrawn and keys were fetched again."""
    async with open_bench(tmp_path, capsys) as bench:
        sent = bench.tokens["es"].text()
        check_accepted(await bench.attempt(sent))
        bench.documents["/id"]["keys"] = [issuers.public(kid)]
        await bench.aclose()  # an idle connection would not last
        await trio.sleep(seconds)
        check_refused(await bench.attempt(sent), Row(code, Token.text, code, "es"), sent)


def test_no_row_is_told_from_another_by_nothing() -> None:
    names = [row.name for table in TABLES for row in table()]
    assert len(set(names)) == len(names)
