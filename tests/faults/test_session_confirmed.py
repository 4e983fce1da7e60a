"""What the gateway itself tells operators: to a session that the provider still vouches for, or cannot be asked of."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ordermgmt.errors import Unavailable
from ordermgmt.gateway.provider import ConnectedProvider
from ordermgmt.sts.main import open_accounts
from ordermgmt.testing.harness import running_system
from tests.contract.shop_setup import surfer
from tests.faults.test_session_refresh import LIFETIME, config


@pytest.mark.usefixtures("deaf_gateway")
@pytest.mark.parametrize("path", ["status", "history"])
async def test_an_operator_who_is_gone_sees_nothing_more(
    tmp_path: Path, path: str, autojump_clock: trio.abc.Clock
) -> None:
    """Although nobody told, and no service behind the gateway is asked."""
    async with running_system(tmp_path, config=config()) as system:
        browser = await surfer(system)
        await browser.sign_in("admin")
        assert (await browser.get(f"/api/operate/{path}")).status == 200
        async with open_accounts(system.location("sts"), system.runtime) as accounts:
            await accounts.disable_user("admin")
        await trio.sleep(61)  # as long as a token that was exchanged before
        assert (await browser.get(f"/api/operate/{path}")).status == 401
        assert await browser.session() == {"signed_in": False}


async def test_operators_see_what_goes_on_without_the_sts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path, config=config()) as system:
        browser = await surfer(system)
        await browser.sign_in("admin")
        await trio.sleep(LIFETIME)

        async def unreachable(*_: object) -> None:
            await trio.sleep(3)
            raise Unavailable("provider-unreachable", retry_after=1)

        monkeypatch.setattr(ConnectedProvider, "_send", unreachable)
        began = trio.current_time()
        assert (await browser.get("/api/operate/status")).status == 200
        assert trio.current_time() - began < 2
