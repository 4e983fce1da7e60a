"""All tokens and sessions at once."""

from __future__ import annotations

from pathlib import Path

import click

from ordermgmt.commands.invocation import call_with, config_option, guide_option, read_config
from ordermgmt.gateway.browser_sessions import end_all
from ordermgmt.gateway.main import open_sessions
from ordermgmt.placement import data_folder
from ordermgmt.storage import locate
from ordermgmt.sts.accounts import Accounts
from ordermgmt.sts.main import open_accounts

__all__ = ["tokens"]


@click.group()
def tokens() -> None:
    """All tokens and sessions at once, also while the suite is running."""


@tokens.command("revoke-all")
@config_option
@guide_option
def tokens_revoke_all(config_file: Path | None, *, guide: bool) -> None:
    """End every token, code and session that was issued until now: after pg_restore, or when somebody may have them.

    Users log in again, and programs ask for new tokens. Passwords, secrets and keys stay.
    """
    config = read_config(config_file)
    call_with(open_accounts, "sts", config, guide=guide, verb=Accounts.revoke_all)
    sessions = locate(config.suite, "gateway", data_folder(config, guide=guide), guide=guide)
    if isinstance(sessions, Path) and not sessions.exists():
        click.echo("all tokens and sessions of until now are over")
        click.echo(f"there is no {sessions} here: run this where the gateway runs, too")
        return
    call_with(open_sessions, "gateway", config, guide=guide, verb=end_all)
    click.echo("all tokens and sessions of until now are over, those of browsers at the gateway, too")
