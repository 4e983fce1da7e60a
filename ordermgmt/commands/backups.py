"""Backing up all that the suite keeps, and restoring it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
import trio

from ordermgmt.backups.backup import back_up
from ordermgmt.backups.balance import Account
from ordermgmt.backups.restore import UnbalancedError
from ordermgmt.backups.restore import restore as put_back
from ordermgmt.commands.invocation import config_option, failing_in_one_line, guide_option, read_config, real_world
from ordermgmt.config import Config
from ordermgmt.errors import StartError
from ordermgmt.placement import data_folder
from ordermgmt.telemetry.console import show_table
from ordermgmt.telemetry.progress import show_progress

__all__ = ["backup", "restore"]

SHOWN = 40
"""Rows of a balance that are shown: those that do not agree come first."""
_COLUMNS = ("good", "added", "stock", "in orders", "under way", "missing")


@click.command()
@config_option
@guide_option
@click.argument("folder", type=click.Path(path_type=Path))
def backup(config_file: Path | None, folder: Path, *, guide: bool) -> None:
    """Back up all databases to FOLDER, a new one, also while the suite is running.

    They are copied as of one moment, at which stock and orders agree. Orders wait for some milliseconds meanwhile.
    """
    config = read_config(config_file)
    with failing_in_one_line(), show_progress(sys.stdout) as show:
        _refuse_postgres(config, "pg_dump")
        done = trio.run(back_up, data_folder(config, guide=guide), folder, real_world(), show)
    manifest = done.manifest
    click.echo(f"changes of orders were held for {manifest.pause * 1000:.1f} ms")
    if not manifest.balanced:
        _show(done.accounts)
        with failing_in_one_line():
            msg = f"{folder} is complete, but stock and orders do not agree: restoring it takes --unbalanced"
            raise StartError(msg)
    click.echo(f"stock and orders agree: {len(done.accounts)} goods")
    click.echo(f"{folder} is complete; it does not hold {config.suite.certs}: keep a copy of that folder apart")


@click.command()
@config_option
@guide_option
@click.option("--force", is_flag=True, help="Move what is in the data folder aside, to a folder inside it.")
@click.option("--unbalanced", is_flag=True, help="Restore it although stock and orders do not agree.")
@click.argument("folder", type=click.Path(path_type=Path))
def restore(config_file: Path | None, folder: Path, *, guide: bool, force: bool, unbalanced: bool) -> None:
    """Put the backup in FOLDER in place of the databases, while the suite does not run.

    It is checked from end to end first. All sessions and tokens of the time of the backup are over.
    """
    config = read_config(config_file)
    data = data_folder(config, guide=guide)
    with failing_in_one_line():
        _refuse_postgres(config, "pg_restore, and then ordermgmt tokens revoke-all")
        try:
            with show_progress(sys.stdout) as show:
                choices = {"force": force, "unbalanced": unbalanced}
                done = trio.run(partial(put_back, folder, data, real_world(), show, **choices))
        except UnbalancedError as error:
            _show(error.accounts)
            raise
    _show(done.accounts)
    click.echo(f"{data} is as it was at {done.manifest.created}; all sessions and tokens of then are over")
    if done.kept is not None:
        click.echo(f"what was there is in {done.kept}")


def _show(accounts: Sequence[Account]) -> None:
    shown = sorted(accounts, key=lambda account: account.agrees)[:SHOWN]
    rows = [
        (f"{one.category}/{one.code}", *map(str, (one.adjusted, one.stock, one.held, one.under_way, one.missing)))
        for one in shown
    ]
    show_table(sys.stdout, _COLUMNS, rows, marked={place for place, one in enumerate(shown) if not one.agrees})
    if len(accounts) > len(shown):
        click.echo(f"and {len(accounts) - len(shown)} more")


def _refuse_postgres(config: Config, tool: str) -> None:
    if config.suite.database:
        msg = f"suite.database: this command is for SQLite files; PostgreSQL is backed up by pg_dump: use {tool}"
        raise StartError(msg)
