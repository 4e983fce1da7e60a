"""The programs that may ask for tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from ordermgmt.commands.invocation import call_with, config_option, guide_option, read_config
from ordermgmt.commands.listing import show
from ordermgmt.sts.accounts import Accounts
from ordermgmt.sts.contract import AUTHORIZATION_CODE, REFRESH_TOKEN
from ordermgmt.sts.main import open_accounts
from ordermgmt.sts.registration import Client

__all__ = ["clients"]

T = TypeVar("T")


@click.group()
def clients() -> None:
    """The programs that may ask for tokens, also while the suite is running. Secrets are made, and printed once."""


@clients.command("add")
@config_option
@guide_option
@click.option("--name", default="", help="What users get to see of it. [default: ID]")
@click.option("--public", is_flag=True, help="It runs where it cannot keep a secret: a browser, a phone, a desktop.")
@click.option(
    "--grant",
    "grants",
    multiple=True,
    default=(AUTHORIZATION_CODE, REFRESH_TOKEN),
    show_default=True,
    help="authorization_code, refresh_token or client_credentials. May be repeated.",
)
@click.option("--redirect-uri", "redirect_uris", multiple=True, help="Where users come back to. May be repeated.")
@click.option("--post-logout-redirect-uri", "logout_uris", multiple=True, help="And after logging out.")
@click.option("--scope", "scopes", multiple=True, help="The most that it may ask for. May be repeated.")
@click.option("--audience", default="gateway", show_default=True, help="Who takes its opaque tokens; '' for nobody.")
@click.option("--target", "targets", multiple=True, help="A service that it may have JWTs for: order. May be repeated.")
@click.argument("client_id", metavar="ID")
def clients_add(
    config_file: Path | None,
    client_id: str,
    *,
    name: str,
    public: bool,
    audience: str,
    guide: bool,
    **several: tuple[str, ...],
) -> None:
    """Add client ID. The secret of one that is not public is printed, and kept nowhere."""
    client = Client(
        id=client_id,
        grants=frozenset(several["grants"]),
        scopes=frozenset(several["scopes"]),
        targets=frozenset(several["targets"]),
        default_audience=audience,
        public=public,
        name=name,
        redirect_uris=frozenset(several["redirect_uris"]),
        post_logout_redirect_uris=frozenset(several["logout_uris"]),
    )
    secret = _with_accounts(config_file, guide=guide, verb=lambda opened: opened.add_client(client))
    _say(secret, f"client {client_id} added")


@clients.command("list")
@config_option
@guide_option
def clients_list(config_file: Path | None, *, guide: bool) -> None:
    """List all clients but the suite's own services."""
    found = _with_accounts(config_file, guide=guide, verb=Accounts.clients)
    rows = [
        (
            listed.client.id,
            "disabled" if listed.disabled else "enabled",
            "public" if listed.client.public else "secret",
            listed.client.name,
            " ".join(sorted(listed.client.grants)),
            " ".join(sorted(listed.client.scopes)),
            " ".join(sorted({listed.client.default_audience} | listed.client.targets)).strip(),
            " ".join(sorted(listed.client.redirect_uris)),
        )
        for listed in found
    ]
    show(("id", "state", "kind", "name", "grants", "scopes", "for", "redirect URIs"), rows)


@clients.command("disable")
@config_option
@guide_option
@click.argument("client_id", metavar="ID")
def clients_disable(config_file: Path | None, client_id: str, *, guide: bool) -> None:
    """Keep client ID out, and end its tokens."""
    _with_accounts(config_file, guide=guide, verb=lambda opened: opened.disable_client(client_id))
    click.echo(f"client {client_id} disabled; all tokens ended")


@clients.command("enable")
@config_option
@guide_option
@click.argument("client_id", metavar="ID")
def clients_enable(config_file: Path | None, client_id: str, *, guide: bool) -> None:
    """Let client ID in again."""
    _with_accounts(config_file, guide=guide, verb=lambda opened: opened.enable_client(client_id))
    click.echo(f"client {client_id} enabled")


@clients.command("reset")
@config_option
@guide_option
@click.argument("client_id", metavar="ID")
def clients_reset(config_file: Path | None, client_id: str, *, guide: bool) -> None:
    """Give client ID another secret, which is printed, and end its tokens."""
    secret = _with_accounts(config_file, guide=guide, verb=lambda opened: opened.reset_client(client_id))
    _say(secret, f"client {client_id} has another secret; all tokens ended")


def _say(secret: str, done: str) -> None:
    """Print the secret alone to standard output, so that it can be piped to where it is kept."""
    if secret:
        click.echo(secret)
    click.echo(done, err=bool(secret))


def _with_accounts(config_file: Path | None, *, guide: bool, verb: Callable[[Accounts], Awaitable[T]]) -> T:
    return call_with(open_accounts, "sts", read_config(config_file), guide=guide, verb=verb)
