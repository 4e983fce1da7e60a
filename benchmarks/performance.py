"""This suite beside a peer: the same load on the same machine, in turns.

    python -m benchmarks.performance [--quick]

Needs wrk, and the peer's packages in .venv-bench (`make bench` sees to that). An answer that is not expected voids the
run. Every round is written to a log at once: `--resume` goes on where a run was broken off.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table as Screen

from benchmarks import extras
from benchmarks.extras import Figure
from benchmarks.performance_report import COLUMNS, compare, row, write_report
from benchmarks.rounds import SEEDED, WORKS, Cell, Round, Void, run_round
from benchmarks.subjects import Ours, Peer, Subject, running_peer, running_suite

CONNECTIONS = (1, 8, 32, 128)
QUICK = (Cell("create", 1), Cell("create", 32), Cell("create", 128), Cell("update", 32), Cell("get", 32))
FULL = tuple(Cell(work, connections) for work in WORKS for connections in CONNECTIONS)


class Entry(msgspec.Struct, frozen=True):
    """A line of the log: which round it is."""

    number: int
    round: Round


@click.command(context_settings={"show_default": True})
@click.option("--quick", is_flag=True, help="Only the rows that matter most, in about three minutes; writes no page.")
@click.option("--only", multiple=True, metavar="WORK:CONNECTIONS", help="Only these rows; writes no page.")
@click.option("--rounds", default=3, help="Rounds of each row.")
@click.option("--seconds", default=2, help="Length of a round.")
@click.option("--minutes", default=15.0, help="No round begins later than so.")
@click.option("--resume", is_flag=True, help="Go on with the log of a run that was broken off.")
@click.option("--log", type=click.Path(path_type=Path), default=Path("build/bench.jsonl"))
@click.option("--docs", type=click.Path(path_type=Path), default=Path("docs"), help="Folder of the page.")
def main(
    *, quick: bool, only: Sequence[str], rounds: int, seconds: int, minutes: float, resume: bool, log: Path, docs: Path
) -> None:
    """Measure orders beside a peer, print ratios, and write docs/performance.md."""
    load, end = os.getloadavg()[0], time.monotonic() + 60 * minutes
    cells = tuple(map(_cell, only)) or (QUICK if quick else FULL)
    log.parent.mkdir(parents=True, exist_ok=True)
    done = _read(log) if resume else []
    if not resume:
        log.write_bytes(b"")
    whole = not (quick or only)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as name, _both(Path(name)) as subjects:
            for entry in _measure(subjects, cells, rounds, seconds, end, done, Path(name)):
                with log.open("ab") as file:
                    file.write(msgspec.json.encode(entry) + b"\n")
                done.append(entry)
            figures = list(_beside(subjects)) if whole else []
        if whole:
            figures += _alone()
    except Void as error:
        msg = f"the run is void: {error}"
        raise click.ClickException(msg) from error
    table = compare(entry.round for entry in sorted(done, key=lambda entry: entry.number) if entry.round.cell in cells)
    _show([row(*each) for each in table], figures)
    if whole:
        for path in write_report(docs, table, figures, rounds=rounds, seconds=seconds, load=load):
            sys.stderr.write(f"written: {path}\n")


def _cell(text: str) -> Cell:
    work, _, connections = text.partition(":")
    if work not in WORKS or not connections.isdecimal():
        msg = f"{text!r} is not like create:32"
        raise click.BadParameter(msg)
    return Cell(work, int(connections))


def _read(log: Path) -> list[Entry]:
    lines = log.read_bytes().splitlines() if log.exists() else []
    return [msgspec.json.decode(line, type=Entry) for line in lines]


@contextmanager
def _both(folder: Path) -> Iterator[tuple[Ours, Ours, Peer]]:
    """Start both, each with orders to read and to update."""
    for name in ("suite", "peer"):
        (folder / name).mkdir()
    with (
        running_suite(folder / "suite", "--processes") as (direct, gateway),
        running_peer(folder / "peer", direct) as peer,
    ):
        direct.seed("s", SEEDED)
        peer.seed("s", SEEDED)
        yield direct, gateway, peer


def _measure(
    subjects: Sequence[Subject],
    cells: Sequence[Cell],
    rounds: int,
    seconds: float,
    end: float,
    done: Sequence[Entry],
    folder: Path,
) -> Iterator[Entry]:
    """Warm up, then let all take turns, in another order in each round; what is `done` is left out."""
    known = {(entry.number, entry.round.cell, entry.round.subject) for entry in done}
    turns = count(1)
    for subject in subjects:
        run_round(subject, Cell("create", 8), 1, next(turns), folder)
    for number in range(rounds):
        order = [*subjects[number % len(subjects) :], *subjects[: number % len(subjects)]]
        for cell in cells:
            for subject in order:
                if (number, cell, subject.name) in known:
                    continue
                if time.monotonic() > end:
                    sys.stderr.write("time is up: --resume goes on\n")
                    return
                measured = run_round(subject, cell, seconds, next(turns), folder)
                sys.stderr.write(
                    f"round {number + 1} of {rounds}: {cell.work:<6} {cell.connections:>3} {subject.name:<8}"
                    f"{measured.per_second:7.0f}/s {measured.cpu:6.2f} ms CPU\n"
                )
                yield Entry(number, measured)


def _beside(subjects: tuple[Ours, Ours, Peer]) -> Iterator[Figure]:
    """Measure what needs the running ones."""
    direct, _, peer = subjects
    ca_file = direct.suite.folder / "certs" / "ca.pem"
    yield from extras.exchanges(direct)
    yield from extras.handshakes(direct, ca_file)
    yield from extras.handshakes(peer, ca_file)


def _alone() -> list[Figure]:
    """Measure what has the machine to itself."""
    figures: list[Figure] = []
    for measure in (extras.starts, extras.workers, extras.sizes):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            for figure in measure(Path(name)):
                sys.stderr.write(f"{figure[0]}: {figure[1]}\n")
                figures.append(figure)
    return [*figures, *extras.tokens()]


def _show(rows: Sequence[Sequence[str]], figures: Sequence[Figure]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 160)
    for titles, lines in ((COLUMNS, rows), (("figure", "value"), figures)):
        if lines:
            screen = Screen(box=None)
            for title in titles:
                screen.add_column(title, justify="right")
            for each in lines:
                screen.add_row(*each)
            console.print(screen)


if __name__ == "__main__":
    main()
