"""What a person is told when the suite is up."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ordermgmt.config import Config, GatewayConfig
from ordermgmt.startup import show_when_ready
from ordermgmt.testing.harness import running_system


@pytest.mark.parametrize(
    ("listen", "guide", "shown"),
    [
        ("127.0.0.1:8443", False, {"scripts/demo.sh"}),
        ("0.0.0.0:8443", False, set()),
        ("127.0.0.1:8443", True, {"scripts/guide.sh"}),
    ],
)
async def test_the_demo_is_offered_only_where_its_users_may_exist(
    tmp_path: Path,
    autojump_clock: trio.abc.Clock,
    capsys: pytest.CaptureFixture[str],
    *,
    listen: str,
    guide: bool,
    shown: set[str],
) -> None:
    config = Config(gateway=GatewayConfig(listen=listen))
    async with running_system(tmp_path, config=config, guide=guide) as system:
        assert system.suite.demo == (listen != "0.0.0.0:8443")
        await show_when_ready(system.suite)
    lines = capsys.readouterr().out.splitlines()
    assert {line.strip() for line in lines if "scripts/" in line} == shown
    assert lines[-1] == "stop:  Ctrl-C"
