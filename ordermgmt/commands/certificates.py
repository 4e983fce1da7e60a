"""Looking at the certificates of the suite, and issuing them."""

from __future__ import annotations

from pathlib import Path

import click

from ordermgmt.clock import SystemClock
from ordermgmt.commands.invocation import config_option, failing_in_one_line, read_config
from ordermgmt.pki import files as pki

__all__ = ["certs"]


@click.group()
def certs() -> None:
    """The certificates of the suite."""


@certs.command("show")
@config_option
def certs_show(config_file: Path | None) -> None:
    """Show every certificate: whose it is, for which names, and how long it is still good."""
    config = read_config(config_file)
    with failing_in_one_line():
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
    suite = read_config(config_file).suite
    with failing_in_one_line():
        click.echo(pki.issue(Path(suite.certs), name, suite.names, suite.trust_domain, SystemClock().now()))


@certs.command("rotate")
@config_option
@click.option("--ca", "authority", is_flag=True, help="Replace the certificate authority.")
def certs_rotate(config_file: Path | None, *, authority: bool) -> None:
    """Issue every certificate again with a new key; a running suite takes them in within a second.

    With --ca a new authority is made first. A running suite trusts both, issues its certificates from the new one after
    a minute or two, and drops the old one an hour after nothing of it is left. Certificates that other machines use are
    for you to issue again ('ordermgmt certs issue NAME') and to copy, with ca.pem.
    """
    suite = read_config(config_file).suite
    directory, now = Path(suite.certs), SystemClock().now()
    with failing_in_one_line():
        if authority:
            click.echo(pki.replace_authority(directory, suite.names, suite.trust_domain, now))
        else:
            for line in pki.rotate(directory, suite.names, suite.trust_domain, now):
                click.echo(line)
