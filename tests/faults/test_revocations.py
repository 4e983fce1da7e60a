"""From the answer of /oauth2/revoke to the last use of anything that came of the token, while the network misbehaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ordermgmt.testing.harness import running_system
from tests.faults.revocation_setup import exchange, last_uses, revoke

T_STREAM, T_CUT = 2.0, 60.0


async def test_with_the_stream_a_revoked_token_is_refused_within_two_seconds(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_system(tmp_path) as system:
        token = await system.token("alice-app")
        jwt = await exchange(system, token)
        found = await last_uses(system, token, jwt, lambda: revoke(system, "alice-app", token), 5)
    with capsys.disabled():
        print(f"\n{found}")
    assert max(found.values()) <= T_STREAM
