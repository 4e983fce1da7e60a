"""The changes of orders that have no outcome yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from ordermgmt.clock import SystemClock
from ordermgmt.commands.invocation import call_with, config_option, guide_option, read_config
from ordermgmt.config import Config
from ordermgmt.order.main import open_journal
from ordermgmt.order.operations import Journal

__all__ = ["journal"]

T = TypeVar("T")


@click.group()
def journal() -> None:
    """The changes of orders that have no outcome yet, also while the suite is running."""


@journal.command("list")
@config_option
@guide_option
def journal_list(config_file: Path | None, *, guide: bool) -> None:
    """List them, oldest first: those that are stuck wait for a retry."""
    now = SystemClock().now()
    entries = _with_journal(read_config(config_file), guide=guide, verb=Journal.unfinished)
    if not entries:
        click.echo("every change has its outcome", err=True)
    for entry in entries:
        about = f"{entry.state:<8}{entry.kind:<7} order {entry.order_id}  {max(now - entry.created_at, 0):.0f} s old"
        click.echo(f"{entry.id}  {about}, attempt {entry.attempt}  {entry.reason or 'no answer yet'}")


@journal.command("retry")
@config_option
@guide_option
@click.argument("operation")
def journal_retry(config_file: Path | None, operation: str, *, guide: bool) -> None:
    """Have OPERATION taken up at once. One that is over a minute old is closed if it was not done."""
    _with_journal(read_config(config_file), guide=guide, verb=lambda opened: opened.retry(operation))
    click.echo(f"{operation} will be tried again by the running suite, or when it starts")


def _with_journal(config: Config, *, guide: bool, verb: Callable[[Journal], Awaitable[T]]) -> T:
    return call_with(open_journal, "order", config, guide=guide, verb=verb)
