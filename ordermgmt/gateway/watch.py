"""What the gateway can tell an operator: what the supervisors know, and whether stock and orders agree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import trio

from ordermgmt.errors import Unavailable
from ordermgmt.gateway.contract import Account, Accounts, Seen, SupervisorView
from ordermgmt.inventory.client import InventoryClient
from ordermgmt.inventory.contract import Balance
from ordermgmt.net import Address, format_address
from ordermgmt.net.outbound import HttpClient, Interrupted, Unreachable
from ordermgmt.order.contract import Held

__all__ = ["Watch"]

PATIENCE = 1.0
"""Seconds that a supervisor has for its answer: it has all of it in memory."""
MAX_REPORT = 1024 * 1024
"""Bytes of a supervisor's answer: three minutes of a dozen edges are 100 kB."""
GOODS = 5.0
"""Seconds that inventory has for one page of goods."""

GetHeld = Callable[[], Awaitable[Held]]
"""Asks the order service, for the operator, what orders hold."""


class Watch:
    """Asks the supervisors and inventory. `supervisors` are clients of admin listeners; all stay the caller's."""

    def __init__(self, supervisors: Mapping[Address, HttpClient], inventory: InventoryClient) -> None:
        self._supervisors = supervisors
        self._inventory = inventory

    async def ask(self, path: str) -> Seen:
        """Return what each supervisor answers to `path` of its admin listener, in the order of configuration."""
        answers: dict[Address, msgspec.Raw | None] = dict.fromkeys(self._supervisors)

        async def ask(address: Address, http: HttpClient) -> None:
            with trio.move_on_after(PATIENCE):
                answers[address] = await _read(http, path)

        async with trio.open_nursery() as nursery:
            for address, http in self._supervisors.items():
                nursery.start_soon(ask, address, http)
        return Seen(
            tuple(SupervisorView(format_address(address), report) for address, report in answers.items()),
        )

    async def accounts(self, get_held: GetHeld) -> Accounts:
        """Return where the pieces of each good are.

        Orders are counted before and after stock is read: `settled` says that they did not change in between, so that
        both are of one moment. Raises what `get_held` raises, and Unavailable.
        """
        before = await get_held()
        balances = await self._balances()
        after = await get_held()
        settled = before.settled and after.settled and before.version == after.version
        return Accounts(settled, after.orders, after.unfinished, tuple(_join(balances, after)))

    async def _balances(self) -> list[Balance]:
        found: list[Balance] = []
        place: str | None = None
        while True:
            try:
                with trio.fail_after(GOODS):
                    page = await self._inventory.balance(after=place)
            except trio.TooSlowError as error:
                raise Unavailable("inventory-no-answer", "the inventory service does not answer") from error
            found += page.items
            if page.next is msgspec.UNSET:
                return found
            place = page.next


async def _read(http: HttpClient, path: str) -> msgspec.Raw | None:
    try:
        answer = await http.request("GET", path, repeatable=True, max_answer=MAX_REPORT)
    except (Unreachable, Interrupted):
        return None
    return msgspec.Raw(answer.content) if answer.status == 200 else None


def _join(balances: Sequence[Balance], held: Held) -> list[Account]:
    """Return an account of each good, also of one that only orders know."""
    in_orders = {(one.category, one.code): one.qty for one in held.goods}
    known = {(one.category, one.code): one for one in balances}
    accounts = []
    for category, code in sorted({*in_orders, *known}):
        row = known.get((category, code), Balance(category, code, 0, 0, 0))
        ordered = in_orders.get((category, code), 0)
        accounts.append(Account(category, code, row.adjusted, ordered, row.qty, row.adjusted - ordered - row.qty))
    return accounts
