"""The users who may log in."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from ordermgmt.commands.invocation import call_with, config_option, failing_in_one_line, guide_option, read_config
from ordermgmt.commands.listing import show
from ordermgmt.errors import StartError
from ordermgmt.sts.accounts import Accounts
from ordermgmt.sts.main import open_accounts
from ordermgmt.sts.registration import UserDetails

__all__ = ["users"]

C = TypeVar("C", bound=Callable[..., None])
T = TypeVar("T")

MAX_FILE = 4096
"""Bytes of a password file that are looked at."""


def _password_options(command: C) -> C:
    file = click.option(
        "--password-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Read the password from this file: its first line.",
    )
    generate = click.option("--generate", is_flag=True, help="Make a password, and print it this once.")
    return file(generate(command))


@click.group()
def users() -> None:
    """The users who may log in, also while the suite is running. Passwords are asked for, never arguments."""


@users.command("add")
@config_option
@guide_option
@click.option("--full-name", default="", help="What to call the user before others. [default: NAME]")
@click.option("--role", "roles", multiple=True, help="A role that services get to see. May be repeated.")
@click.option("--scope", "scopes", multiple=True, help="What the user may do, such as add_order. May be repeated.")
@_password_options
@click.argument("name")
def users_add(
    config_file: Path | None,
    name: str,
    full_name: str,
    roles: tuple[str, ...],
    scopes: tuple[str, ...],
    password_file: Path | None,
    *,
    generate: bool,
    guide: bool,
) -> None:
    """Add user NAME."""
    details = UserDetails(full_name or name, roles)

    async def verb(opened: Accounts) -> None:
        await opened.add_user(name, details, frozenset(scopes), password or made(opened))

    password = _read_password(password_file, generate=generate)
    made = _Made()
    _with_accounts(config_file, guide=guide, verb=verb)
    made.say()
    click.echo(f"user {name} added", err=bool(made.password))


@users.command("list")
@config_option
@guide_option
def users_list(config_file: Path | None, *, guide: bool) -> None:
    """List all users."""
    found = _with_accounts(config_file, guide=guide, verb=Accounts.users)
    rows = [
        (
            user.name,
            "disabled" if user.disabled else "enabled",
            user.details.name,
            " ".join(user.details.roles),
            " ".join(sorted(user.scopes)),
        )
        for user in found
    ]
    show(("name", "state", "full name", "roles", "scopes"), rows)


@users.command("disable")
@config_option
@guide_option
@click.argument("name")
def users_disable(config_file: Path | None, name: str, *, guide: bool) -> None:
    """Keep user NAME out, and end its sessions and tokens."""
    _with_accounts(config_file, guide=guide, verb=lambda opened: opened.disable_user(name))
    click.echo(f"user {name} disabled; all sessions and tokens ended")


@users.command("enable")
@config_option
@guide_option
@click.argument("name")
def users_enable(config_file: Path | None, name: str, *, guide: bool) -> None:
    """Let user NAME log in again."""
    _with_accounts(config_file, guide=guide, verb=lambda opened: opened.enable_user(name))
    click.echo(f"user {name} enabled")


@users.command("reset")
@config_option
@guide_option
@_password_options
@click.argument("name")
def users_reset(
    config_file: Path | None, name: str, password_file: Path | None, *, generate: bool, guide: bool
) -> None:
    """Give user NAME another password, and end its sessions and tokens."""

    async def verb(opened: Accounts) -> None:
        await opened.reset_user(name, password or made(opened))

    password = _read_password(password_file, generate=generate)
    made = _Made()
    _with_accounts(config_file, guide=guide, verb=verb)
    made.say()
    click.echo(f"user {name} has another password; all sessions and tokens ended", err=bool(made.password))


class _Made:
    """A password that is made when it is wanted, and printed when it is good."""

    password = ""

    def __call__(self, accounts: Accounts) -> str:
        self.password = accounts.new_password()
        return self.password

    def say(self) -> None:
        """Print it alone, so that it can be piped to where it is kept."""
        if self.password:
            click.echo(self.password)


def _read_password(path: Path | None, *, generate: bool) -> str:
    """Return the password from the file or the terminal, or nothing if one is to be made."""
    if generate and path is not None:
        msg = "--password-file and --generate exclude each other"
        raise click.UsageError(msg)
    if generate:
        return ""
    with failing_in_one_line():
        if path is not None:
            return _first_line(path)
        if not sys.stdin.isatty():
            msg = "there is no terminal to ask for the password at: use --password-file or --generate"
            raise StartError(msg)
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return answer


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            line = file.readline(MAX_FILE).decode()
    except OSError as error:
        msg = f"--password-file: cannot read {path}: {error.strerror}"
        raise StartError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"--password-file: {path} is not UTF-8"
        raise StartError(msg) from error
    password = line.rstrip("\r\n")
    if not password:
        msg = f"--password-file: the first line of {path} is empty"
        raise StartError(msg)
    return password


def _with_accounts(config_file: Path | None, *, guide: bool, verb: Callable[[Accounts], Awaitable[T]]) -> T:
    return call_with(open_accounts, "sts", read_config(config_file), guide=guide, verb=verb)
