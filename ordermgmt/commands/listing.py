"""Lists for a person at a terminal, or for a program behind a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["show"]


def show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to a terminal. To anything else write a line for each row, its cells between tabs, `-` if empty."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(cell or "-" for cell in row))
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=sys.stdout).print(table)
