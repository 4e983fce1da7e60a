"""What was issued before everything was revoked is over, also where its row is still there, or there again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner, Result

from ordermgmt.__main__ import main
from ordermgmt.clock import SystemClock
from ordermgmt.security.passwords import Passwords
from ordermgmt.security.tokens import parse
from ordermgmt.storage import Location, Transaction
from ordermgmt.sts import revocation_store
from ordermgmt.sts.accounts import Accounts
from ordermgmt.sts.contract import OPERATE_SESSIONS_PATH
from ordermgmt.threads import InlineThreads
from tests.unit.authorization_setup import (
    SECRET,
    Browser,
    introspect,
    is_alive,
    open_authorization,
    redeem,
    refresh,
)
from tests.unit.sts_setup import exchange_of, service

STS_OVER = "sts: all tokens, codes and sessions of until now are over"
GATEWAY_OVER = "gateway: all sessions of browsers of until now are over"
Good = Callable[[Browser, str], Awaitable[bool]]


@pytest.fixture
async def browser(location: Location) -> AsyncIterator[Browser]:
    async with open_authorization(location) as opened:
        opened.sts.clock.time = SystemClock().now()  # that of the database
        yield opened


async def own_token(browser: Browser) -> str:
    return str((await browser.sts.post({"grant_type": "client_credentials"}, headers=SECRET)).body["access_token"])


async def exchanged(browser: Browser, audience: str = "order") -> str:
    form = exchange_of(await own_token(browser), audience=audience)
    return str((await browser.sts.post(form, peer=service("gateway"))).body["access_token"])


async def has_session(browser: Browser, cookie: str) -> bool:
    found = await browser.sts.sessions.find_session(cookie)
    assert (found is not None) == bool(await browser.sts.sessions.open_sessions())
    return found is not None


async def for_the_gateway(browser: Browser) -> str:
    claims = dict(parse(await exchanged(browser)).payload)
    return browser.sts.key.sign({**claims, "aud": "gateway"}, "at+jwt")


async def is_exchanged(browser: Browser, token: str) -> bool:
    return (await browser.sts.post(exchange_of(token), peer=service("gateway"))).status == 200


async def opens_the_operators_api(browser: Browser, token: str) -> bool:
    answer = await browser.sts.app.test_client().get(
        OPERATE_SESSIONS_PATH,
        headers={"authorization": f"Bearer {token}"},
        scope_base={"state": {"peer": service("gateway")}},
    )
    assert answer.status_code in {401, 403}
    return answer.status_code == 403  # it is known, and may do nothing here


async def new_session(browser: Browser) -> str:
    await browser.login()
    return browser.cookie


async def member(browser: Browser, name: str) -> str:
    return str((await browser.tokens())[name])


async def succeeds(sent: Awaitable[object]) -> bool:
    return getattr(await sent, "status", 0) == 200


async def is_active(browser: Browser, token: str, client: str = "web") -> bool:
    if client == "web":
        return bool((await introspect(browser.sts, token))["active"])
    form = {"token": token, "client_id": client}
    answer = await browser.sts.post(form, peer=service(client), path="/oauth2/introspect")
    return bool(answer.body["active"])


KINDS: dict[str, tuple[Callable[[Browser], Awaitable[str]], Good]] = {
    "session": (new_session, has_session),
    "code": (Browser.code, lambda browser, code: succeeds(redeem(browser.sts, code))),
    "refresh token": (
        lambda browser: member(browser, "refresh_token"),
        lambda browser, token: succeeds(refresh(browser.sts, token)),
    ),
    "refresh token, introspected": (
        lambda browser: member(browser, "refresh_token"),
        is_active,
    ),
    "access token": (
        lambda browser: member(browser, "access_token"),
        lambda browser, token: is_alive(browser.sts, token),
    ),
    "a client's own": (own_token, is_exchanged),
    "a client's own, introspected": (own_token, is_active),
    "a JWT, as a subject token": (for_the_gateway, is_exchanged),
    "a JWT at the operator's API": (lambda browser: exchanged(browser, "sts"), opens_the_operators_api),
    "a JWT, introspected": (
        exchanged,
        lambda browser, token: is_active(browser, token, "order"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_it_is_over_although_its_row_is_there(browser: Browser, kind: str) -> None:
    issue, is_good = KINDS[kind]
    token, used = await issue(browser), await issue(browser)
    assert await is_good(browser, used)
    await browser.sts.database.write(revocation_store.revoke_everything)
    assert not await is_good(browser, token)
    browser.sts.clock.time += 2
    browser.cookie = ""
    assert await is_good(browser, await issue(browser))


async def test_a_session_of_before_does_not_go_on_with_the_next_login(browser: Browser) -> None:
    await browser.login()
    before = await browser.sts.sessions.find_session(browser.cookie)
    await browser.sts.database.write(revocation_store.revoke_everything)
    browser.sts.clock.time += 2
    await browser.login()
    after = await browser.sts.sessions.find_session(browser.cookie)
    assert before is not None
    assert after is not None
    assert after.sid != before.sid


def rows_of(transaction: Transaction, table: str) -> Sequence[object]:
    return transaction.execute(f"SELECT * FROM {table}").rows  # noqa: S608 - constants


async def test_revoking_all_leaves_no_row_and_names_another_history(browser: Browser) -> None:
    database, entropy = browser.sts.database, Random(3).randbytes  # noqa: S311 - a test repeats
    await browser.tokens()
    await database.write(lambda transaction: revocation_store.start_epoch(transaction, "before"))
    accounts = Accounts(database, Passwords(InlineThreads(), entropy), entropy, browser.sts.clock)
    await accounts.revoke_all()
    for table in ("access_tokens", "authorization_codes", "refresh_tokens", "token_families", "sessions"):
        assert await database.read(partial(rows_of, table=table)) == []
    log = await database.read(revocation_store.load_log)
    assert log.epoch not in {"", "before"}
    assert log.not_before > SystemClock().now() - 5


def invoke(tmp_path: Path) -> Result:
    return CliRunner().invoke(main, ["tokens", "revoke-all"], env={"ORDERMGMT_SUITE_DATA": str(tmp_path / "var")})


def test_the_command_acts_on_both_where_they_are_in_postgresql(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_dsn: str
) -> None:
    monkeypatch.setenv("ORDERMGMT_SUITE_DATABASE", postgres_dsn)
    done = invoke(tmp_path)
    assert (done.exit_code, done.output.splitlines()) == (0, [STS_OVER, GATEWAY_OVER])


def test_the_command_fails_where_there_is_nothing_to_revoke(tmp_path: Path) -> None:
    failed = invoke(tmp_path)
    sts, gateway = tmp_path / "var" / "sts.sqlite", tmp_path / "var" / "gateway.sqlite"
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr == f"Error: there is neither {sts} nor {gateway} here: nothing was revoked\n"
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize(
    ("here", "over", "elsewhere"), [("sts", STS_OVER, "gateway"), ("gateway", GATEWAY_OVER, "sts")]
)
def test_the_command_says_what_is_over_and_where_else_it_has_to_run(
    tmp_path: Path, here: str, over: str, elsewhere: str
) -> None:
    var = tmp_path / "var"
    var.mkdir(mode=0o700)
    (var / f"{here}.sqlite").touch()
    done = invoke(tmp_path)
    missing = var / f"{elsewhere}.sqlite"
    assert (done.exit_code, done.output.splitlines()) == (
        0,
        [over, f"there is no {missing} here: run this where the {elsewhere} service runs, too"],
    )
    assert not missing.exists()
    missing.touch()
    done = invoke(tmp_path)
    assert (done.exit_code, done.output.splitlines()) == (0, [STS_OVER, GATEWAY_OVER])
