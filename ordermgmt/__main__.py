"""The command line: `ordermgmt`, `python -m ordermgmt`, and through the door `python supervisor.py`.

Exit codes: 0 well, 1 it did not go well, 2 the command line makes no sense, 130 ended by a second signal.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import click
import msgspec
import trio

from ordermgmt.clock import SystemClock
from ordermgmt.config import Config, load_config
from ordermgmt.errors import Error, StartError
from ordermgmt.ids import new_id
from ordermgmt.inventory.contract import Goods, Item, is_name
from ordermgmt.inventory.domain import Key
from ordermgmt.inventory.main import open_inventory
from ordermgmt.inventory.operations import Inventory
from ordermgmt.net import TcpNetwork
from ordermgmt.net.open_files import fit_open_files
from ordermgmt.order.main import open_journal
from ordermgmt.order.operations import Journal
from ordermgmt.pki import files as pki
from ordermgmt.placement import data_folder
from ordermgmt.processes import in_own_process, work_with
from ordermgmt.runtime import Runtime
from ordermgmt.startup import show_when_ready
from ordermgmt.storage import Location, locate
from ordermgmt.supervision.child import ServiceFailed, one_line
from ordermgmt.supervision.signals import watch
from ordermgmt.supervision.worker import work
from ordermgmt.system import Suite, select
from ordermgmt.telemetry.logs import configure_logs, get_logger
from ordermgmt.threads import WorkerThreads

__all__ = ["main"]

S = TypeVar("S")
T = TypeVar("T")

ENDED_BY_SIGNAL = 130


class _Line(click.ClickException):
    """A failure that a person can do something about: one line, and a non-zero exit."""


config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="ORDERMGMT_CONFIG",
    help="TOML file with settings; see docs/config.md.",
)


@click.group()
def main() -> None:
    """Secured order management: STS, gateway, order and inventory service under one supervisor."""


@main.command()
@config_option
@click.option("--guide", is_flag=True, help="Trust the guide's published tokens, on loopback, over var/guide/.")
@click.option("--processes", is_flag=True, help="Run each service as a process of its own.")
@click.argument("services", nargs=-1)
def run(config_file: Path | None, services: tuple[str, ...], *, guide: bool, processes: bool) -> None:
    """Run SERVICES, all of them if none is named, until a signal ends them.

    The first SIGTERM or Ctrl-C finishes what is in flight, the second ends at once.
    """
    config = _config(config_file)
    configure_logs(sys.stderr, pretty=sys.stderr.isatty(), shared=processes)
    with _one_line():
        chosen = select(services)
        _make_certificates(config, [service.name for service in chosen])
        suite = partial(Suite, fit_open_files(config), _runtime(), chosen, guide=guide)
        ended_well = trio.run(_run, partial(suite, place=in_own_process) if processes else suite)
    if not ended_well:
        raise SystemExit(ENDED_BY_SIGNAL)


@main.command(hidden=True)
@click.argument("service")
@click.argument("control", type=int)
def child(service: str, control: int) -> None:
    """Run SERVICE as `run --processes` says over the socket CONTROL that it left open."""
    configure_logs(sys.stderr, pretty=sys.stderr.isatty(), shared=True, process=service)
    with _one_line():
        ended_well = trio.run(work, service, control, work_with(_runtime()))
    if not ended_well:
        raise SystemExit(1)


@main.group()
def certs() -> None:
    """The certificates of the suite."""


@certs.command("show")
@config_option
def certs_show(config_file: Path | None) -> None:
    """Show every certificate: whose it is, for which names, and how long it is still good."""
    config = _config(config_file)
    with _one_line():
        rows = pki.describe(Path(config.suite.certs), SystemClock().now())
    for row in rows:
        click.echo(f"{row.name:<12}{row.role:<11}{row.days_left:>5} days  {row.uri or '-'}")
        click.echo(f"{'':<12}{', '.join(row.names) or '-'}")
        click.echo(f"{'':<12}{row.not_before:%Y-%m-%d} to {row.not_after:%Y-%m-%d}  x5t#S256 {row.thumbprint}")


@certs.command("issue")
@config_option
@click.argument("name")
def certs_issue(config_file: Path | None, name: str) -> None:
    """Issue a certificate and key for NAME, in place of those that there may be."""
    suite = _config(config_file).suite
    with _one_line():
        click.echo(pki.issue(Path(suite.certs), name, suite.names, suite.trust_domain, SystemClock().now()))


@main.group()
def inventory() -> None:
    """The goods in stock, also while the suite is running."""


@inventory.command("list")
@config_option
@click.option("--guide", is_flag=True, help="The stock of the replay profile.")
def inventory_list(config_file: Path | None, *, guide: bool) -> None:
    """List all goods."""
    for item in _with_inventory(_config(config_file), guide=guide, verb=_all_items):
        click.echo(f"{item.category:<16}{item.code:<20}{item.qty:>14}  ${item.price:>12}  {item.name}")


@inventory.command("add")
@config_option
@click.option("--guide", is_flag=True, help="The stock of the replay profile.")
@click.option("--name", required=True, help="What people call it.")
@click.option("--price", required=True, help="In dollars with two decimals: 1249.00")
@click.option("--qty", default=0, show_default=True, help="Pieces in stock at first.")
@click.argument("category")
@click.argument("code")
def inventory_add(
    config_file: Path | None, category: str, code: str, name: str, price: str, qty: int, *, guide: bool
) -> None:
    """Add goods CODE to CATEGORY."""
    _stock_up(_config(config_file), category, code, {"name": name, "price": price, "add": qty}, guide=guide)


@inventory.command("restock")
@config_option
@click.option("--guide", is_flag=True, help="The stock of the replay profile.")
@click.argument("category")
@click.argument("code")
@click.argument("qty", type=int)
def inventory_restock(config_file: Path | None, category: str, code: str, qty: int, *, guide: bool) -> None:
    """Add QTY pieces of goods CODE of CATEGORY."""
    _stock_up(_config(config_file), category, code, {"add": qty}, guide=guide)


@main.group()
def journal() -> None:
    """The changes of orders that have no outcome yet, also while the suite is running."""


@journal.command("list")
@config_option
@click.option("--guide", is_flag=True, help="The journal of the replay profile.")
def journal_list(config_file: Path | None, *, guide: bool) -> None:
    """List them, oldest first: those that are stuck wait for a retry."""
    now = SystemClock().now()
    for entry in _with_journal(_config(config_file), guide=guide, verb=Journal.unfinished):
        about = f"{entry.state:<8}{entry.kind:<7} order {entry.order_id}  {max(now - entry.created_at, 0):.0f} s old"
        click.echo(f"{entry.id}  {about}, attempt {entry.attempt}  {entry.reason or 'no answer yet'}")


@journal.command("retry")
@config_option
@click.option("--guide", is_flag=True, help="The journal of the replay profile.")
@click.argument("operation")
def journal_retry(config_file: Path | None, operation: str, *, guide: bool) -> None:
    """Have OPERATION taken up at once. One that is over a minute old is closed if it was not done."""
    _with_journal(_config(config_file), guide=guide, verb=lambda opened: opened.retry(operation))
    click.echo(f"{operation} will be tried again by the running suite, or when it starts")


async def _run(make_suite: Callable[[], Suite]) -> bool:
    """Run until a signal; False if a second one ended it."""
    stop = trio.Event()
    ended = trio.CancelScope()
    async with make_suite() as suite, trio.open_nursery() as nursery:
        await nursery.start(watch, stop, ended, partial(get_logger("supervisor").info, "reload-ignored"))
        with ended:
            nursery.start_soon(show_when_ready, suite)
            await suite.run(stop)
        nursery.cancel_scope.cancel()
    return not ended.cancelled_caught


def _config(path: Path | None) -> Config:
    with _one_line():
        return load_config(path, os.environ)


def _runtime() -> Runtime:
    return Runtime(SystemClock(), TcpNetwork(), WorkerThreads(), secrets.token_bytes)


def _make_certificates(config: Config, services: Sequence[str]) -> None:
    suite = config.suite
    directory = Path(suite.certs)
    directory.mkdir(parents=True, exist_ok=True)
    for line in pki.ensure(directory, services, suite.names, suite.trust_domain, SystemClock().now()):
        click.echo(line)


def _with_inventory(config: Config, *, guide: bool, verb: Callable[[Inventory], Awaitable[T]]) -> T:
    return _with(open_inventory, "inventory", config, guide=guide, verb=verb)


def _with_journal(config: Config, *, guide: bool, verb: Callable[[Journal], Awaitable[T]]) -> T:
    return _with(open_journal, "order", config, guide=guide, verb=verb)


def _with(
    opener: Callable[[Location, Runtime], AbstractAsyncContextManager[S]],
    service: str,
    config: Config,
    *,
    guide: bool,
    verb: Callable[[S], Awaitable[T]],
) -> T:
    async def call() -> T:
        location = locate(config.suite, service, data_folder(config, guide=guide), guide=guide)
        async with opener(location, _runtime()) as opened:
            return await verb(opened)

    with _one_line():
        return trio.run(call)


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


@contextmanager
def _one_line() -> Iterator[None]:
    """Turn what a person can do something about into one line and exit code 1."""
    try:
        yield
    except* (StartError, ServiceFailed, Error) as group:
        raise _Line(one_line(group)) from None


if __name__ == "__main__":
    main()
