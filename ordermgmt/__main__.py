"""The command line: `ordermgmt`, `python -m ordermgmt`, and through the door `python supervisor.py`.

Exit codes: 0 well, 1 it did not go well, 2 the command line makes no sense, 130 ended by a second signal.
"""

from __future__ import annotations

import click

from ordermgmt.commands.backups import backup, restore
from ordermgmt.commands.certificates import certs
from ordermgmt.commands.clients import clients
from ordermgmt.commands.deploy import deploy
from ordermgmt.commands.invocation import show_version
from ordermgmt.commands.journal import journal
from ordermgmt.commands.keys import keys
from ordermgmt.commands.running import child, run
from ordermgmt.commands.stock import inventory
from ordermgmt.commands.tokens import tokens
from ordermgmt.commands.users import users

__all__ = ["main"]


@click.group()
@show_version
def main() -> None:
    """Secured order management: STS, gateway, order and inventory service under one supervisor."""


for command in (run, child, users, clients, tokens, certs, keys, inventory, journal, backup, restore, deploy):
    main.add_command(command)


if __name__ == "__main__":
    main()
