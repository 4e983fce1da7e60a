"""The table of services says who connects to whom: what is not in it does not happen, and what is in it does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from ordermgmt import system as suite_module
from ordermgmt.net import Address, Binding
from ordermgmt.system import SERVICES
from ordermgmt.testing.harness import RunningSystem, running_system
from ordermgmt.testing.memory import MemoryNetwork

ORDER = {"id": "100500", "name": "Sample", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}


class Witness:
    """A network that remembers to where it connected."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network
        self.reached: set[Address] = set()

    async def bind(self, address: Address) -> Binding:
        return await self._network.bind(address)

    async def connect(self, address: Address) -> trio.abc.Stream:
        self.reached.add(address)
        return await self._network.connect(address)

    def is_readable(self, stream: trio.abc.Stream) -> bool:
        return self._network.is_readable(stream)


async def tell_the_story(system: RunningSystem) -> list[int]:
    """Create an order, watch the services, and look at the stock; return the statuses of orders and stock."""
    token = await system.token("counter-app")
    created = await system.request("gateway", "POST", "/order", token=token, json=ORDER)
    await system.request("gateway", "GET", "/operate/status", token=await system.token("admin-app"))
    stock = await system.request("gateway", "GET", "/inventory/books")
    return [created.status, stock.status]


async def test_services_connect_to_what_the_table_says_and_to_all_of_it(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    network = MemoryNetwork()
    witnesses = {service.name: Witness(network) for service in SERVICES}
    async with running_system(tmp_path, network=network, networks=witnesses) as system:
        assert await tell_the_story(system) == [201, 200]
        table = {
            service.name: {
                system.address(callee, listener)
                for callee, listeners in service.calls.items()
                for listener in listeners
            }
            | ({system.address("admin")} if service.watches else set())
            for service in SERVICES
        }
    assert {name: witness.reached for name, witness in witnesses.items()} == table


@pytest.mark.parametrize("missing", ["inventory", "sts"])
async def test_a_service_cannot_call_whom_the_table_does_not_name(
    tmp_path: Path, autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    table = tuple(
        replace(one, calls={name: used for name, used in one.calls.items() if name != missing})
        if one.name == "order"
        else one
        for one in SERVICES
    )
    monkeypatch.setattr(suite_module, "SERVICES", table)
    async with running_system(tmp_path) as system:
        assert await tell_the_story(system) == [503, 200]


def test_who_keeps_no_data_has_no_migrations() -> None:
    packages = Path(suite_module.__file__).parent
    assert {one.name for one in SERVICES if one.keeps_data} == {
        one.name for one in SERVICES if (packages / one.name / "migrations").is_dir()
    }
