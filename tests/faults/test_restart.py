"""A service that crashes is started again, alone, and its address stays taken meanwhile."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio

from ordermgmt.supervision.child import ServiceFailed
from ordermgmt.supervision.health import State
from ordermgmt.system import service_names
from ordermgmt.testing.harness import RunningSystem, running_system
from tests.faults.bomb import arm


async def ready(system: RunningSystem) -> tuple[int, dict[str, str]]:
    client = await system.admin_client()
    answer = await client.request("GET", "/readyz")
    services = msgspec.json.decode(answer.content)["services"]
    return answer.status, {name: service["state"] for name, service in services.items()}


@pytest.mark.parametrize("name", service_names())
async def test_a_crashed_service_is_started_again_and_its_clients_wait(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    bomb = arm(name, monkeypatch)
    async with running_system(tmp_path) as system:
        assert await ready(system) == (200, dict.fromkeys(service_names(), "running"))
        bomb.goes_off.set()
        await trio.testing.wait_all_tasks_blocked()
        status, states = await ready(system)
        assert (status, states[name]) == (503, "backing_off")
        assert [state for other, state in states.items() if other != name] == ["running"] * (len(states) - 1)
        with trio.fail_after(5):
            # A client that comes now waits in the queue of the address, and is served by the next life.
            stream = await system.runtime.network.connect(system.address(name))
            seen = system.suite.board.snapshot()
            while seen[name].state is not State.RUNNING:
                seen = await system.suite.board.newer(seen)
            await stream.aclose()
        assert (bomb.starts, seen[name].restarts) == (2, 1)
        token = await system.token("alice-app")
        assert (await system.request("gateway", "GET", "/order", token=token)).status == 200


async def test_a_service_that_keeps_crashing_stops_the_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    bomb = arm("order", monkeypatch)
    with pytest.RaisesGroup(ServiceFailed, flatten_subgroups=True):
        async with running_system(tmp_path):
            with trio.fail_after(120):
                while True:
                    bomb.goes_off.set()
                    await trio.sleep(0.01)
    assert bomb.starts == 6
