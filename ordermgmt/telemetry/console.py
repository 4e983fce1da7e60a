"""Tables for a person, and what one sees when the suite is up: its services, and what to try next."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["ServiceRow", "show_startup", "show_table"]

COLUMNS = ("service", "address", "state", "pid", "certificate")


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """A line of the table.

    `pid` is the process that serves it, None if there is none just now. `certificate_days` are the whole days left,
    None for a listener without TLS.
    """

    service: str
    address: str
    state: str
    pid: int | None
    certificate_days: int | None


def show_startup(stream: TextIO, rows: Sequence[ServiceRow], hints: Sequence[str]) -> None:
    """Write the table and then each hint on a line of its own, never wrapped, so that it can be copied.

    With colours and lines if `stream` is a terminal, otherwise plain aligned columns.
    """
    cells = [(row.service, row.address, row.state, _pid(row.pid), _days(row.certificate_days)) for row in rows]
    if stream.isatty():
        _write_table(stream, cells)
    else:
        _write_columns(stream, [COLUMNS, *cells])
    if hints:
        stream.write("\n")
    stream.writelines(f"{hint}\n" for hint in hints)
    stream.flush()


def show_table(
    stream: TextIO, columns: Sequence[str], rows: Sequence[Sequence[str]], *, marked: Collection[int]
) -> None:
    """Write a table; the rows of the places in `marked` are in red.

    With colours and lines if `stream` is a terminal, otherwise plain aligned columns.
    """
    if not stream.isatty():
        _write_columns(stream, [columns, *rows])
        stream.flush()
        return
    table = Table(*columns)
    for place, row in enumerate(rows):
        table.add_row(*map(Text, row), style="red" if place in marked else "")
    Console(file=stream).print(table)


def _write_columns(stream: TextIO, lines: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        stream.write(f"{padded.rstrip()}\n")


def _pid(pid: int | None) -> str:
    return "none" if pid is None else str(pid)


def _days(days: int | None) -> str:
    if days is None:
        return "none"
    return "1 day left" if days == 1 else f"{days} days left"


def _write_table(stream: TextIO, cells: Sequence[tuple[str, str, str, str, str]]) -> None:
    table = Table(*COLUMNS)
    for service, address, state, pid, days in cells:
        colour = "green" if state == "running" else "yellow"
        table.add_row(Text(service, "bold"), Text(address), Text(state, colour), Text(pid), Text(days))
    Console(file=stream).print(table)
