"""The goods in stock."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from ordermgmt.commands.invocation import call_with, config_option, guide_option, read_config
from ordermgmt.config import Config
from ordermgmt.errors import StartError
from ordermgmt.ids import new_id
from ordermgmt.inventory.contract import Goods, Item, is_name
from ordermgmt.inventory.domain import Key
from ordermgmt.inventory.main import open_inventory
from ordermgmt.inventory.operations import Inventory

__all__ = ["inventory"]

T = TypeVar("T")


@click.group()
def inventory() -> None:
    """The goods in stock, also while the suite is running."""


@inventory.command("list")
@config_option
@guide_option
def inventory_list(config_file: Path | None, *, guide: bool) -> None:
    """List all goods."""
    for item in _with_inventory(read_config(config_file), guide=guide, verb=_all_items):
        click.echo(f"{item.category:<16}{item.code:<20}{item.qty:>14}  ${item.price:>12}  {item.name}")


@inventory.command("add")
@config_option
@guide_option
@click.option("--name", required=True, help="What people call it.")
@click.option("--price", required=True, help="In dollars with two decimals: 1249.00")
@click.option("--qty", default=0, show_default=True, help="Pieces in stock at first.")
@click.argument("category")
@click.argument("code")
def inventory_add(
    config_file: Path | None, category: str, code: str, name: str, price: str, qty: int, *, guide: bool
) -> None:
    """Add goods CODE to CATEGORY."""
    _stock_up(read_config(config_file), category, code, {"name": name, "price": price, "add": qty}, guide=guide)


@inventory.command("restock")
@config_option
@guide_option
@click.argument("category")
@click.argument("code")
@click.argument("qty", type=int)
def inventory_restock(config_file: Path | None, category: str, code: str, qty: int, *, guide: bool) -> None:
    """Add QTY pieces of goods CODE of CATEGORY."""
    _stock_up(read_config(config_file), category, code, {"add": qty}, guide=guide)


def _with_inventory(config: Config, *, guide: bool, verb: Callable[[Inventory], Awaitable[T]]) -> T:
    return call_with(open_inventory, "inventory", config, guide=guide, verb=verb)


async def _all_items(opened: Inventory) -> list[Item]:
    page = await opened.items()
    found = list(page.items)
    while page.next is not msgspec.UNSET:
        page = await opened.items(after=Key(*page.next.split("/")))
        found += page.items
    return found


def _stock_up(config: Config, category: str, code: str, goods: dict[str, object], *, guide: bool) -> None:
    async def verb(opened: Inventory) -> Item:
        try:
            wanted = msgspec.convert({"operation": new_id(secrets.token_bytes), **goods}, Goods)
        except msgspec.ValidationError as error:
            raise StartError(str(error)) from error
        if not (is_name(category) and is_name(code)):
            msg = "category and code are letters, digits, '.', '_' and '-', at most 64 of them"
            raise StartError(msg)
        outcome = await opened.stock_up(Key(category, code), wanted)
        if outcome.refusal is not None:
            raise outcome.refusal
        return await opened.item(Key(category, code))

    item = _with_inventory(config, guide=guide, verb=verb)
    click.echo(f"{item.category}/{item.code}: {item.qty} in stock")
