"""All tokens and sessions at once."""

from __future__ import annotations

from pathlib import Path

import click

from ordermgmt.commands.invocation import call_with, config_option, failing_in_one_line, guide_option, read_config
from ordermgmt.errors import StartError
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
    data = data_folder(config, guide=guide)
    with failing_in_one_line():
        places = {service: locate(config.suite, service, data, guide=guide) for service in ("sts", "gateway")}
        absent = {name: place for name, place in places.items() if isinstance(place, Path) and not place.exists()}
        if absent.keys() == places.keys():
            msg = f"there is neither {absent['sts']} nor {absent['gateway']} here: nothing was revoked"
            raise StartError(msg)
    if "sts" not in absent:
        call_with(open_accounts, "sts", config, guide=guide, verb=Accounts.revoke_all)
        click.echo("sts: all tokens, codes and sessions of until now are over")
    if "gateway" not in absent:
        call_with(open_sessions, "gateway", config, guide=guide, verb=end_all)
        click.echo("gateway: all sessions of browsers of until now are over")
    for name, place in absent.items():
        click.echo(f"there is no {place} here: run this where the {name} service runs, too")
