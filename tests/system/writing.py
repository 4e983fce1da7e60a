"""Programs that write to a database of their own, for tests that watch or limit a process.

python writing.py one FOLDER LEVEL       one write, between two marks on standard output
python writing.py limited FOLDER         writes until the file may not grow, and again when it may
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

import trio

from ordermgmt.clock import SystemClock
from ordermgmt.errors import OutcomeUnknown, Unavailable
from ordermgmt.storage import Transaction, open_database
from ordermgmt.storage.sqlite import SqliteDatabase
from ordermgmt.threads import WorkerThreads

NOTES = Path(__file__).parents[1] / "unit" / "notes"


def add(transaction: Transaction, text: str) -> str:
    transaction.execute("INSERT INTO note (text) VALUES (?)", (text,))
    return text


async def one(folder: Path, level: str) -> None:
    async with open_database(folder / "db", NOTES, threads=WorkerThreads(), clock=SystemClock()) as database:
        assert isinstance(database, SqliteDatabase)
        database._writer.execute(f"PRAGMA synchronous = {level}")
        os.write(1, b"request\n")
        await database.write(lambda transaction: add(transaction, "a"))
        os.write(1, b"answer\n")


async def limited(folder: Path) -> None:
    """Print what was acknowledged, refused, left unknown, and what is kept."""
    answers: dict[str, list[str]] = {"acknowledged": [], "refused": [], "unknown": []}
    async with open_database(folder / "db", NOTES, threads=WorkerThreads(), clock=SystemClock()) as database:

        async def write(text: str) -> None:
            try:
                await database.write(lambda transaction: add(transaction, text))
            except Unavailable:
                answers["refused"].append(text)
            except OutcomeUnknown:
                answers["unknown"].append(text)
            else:
                answers["acknowledged"].append(text)

        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, resource.RLIM_INFINITY))
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(write, f"{number:02}" + "x" * 5000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await write("after")
    async with open_database(folder / "db", NOTES, threads=WorkerThreads(), clock=SystemClock()) as database:
        rows = await database.read(lambda transaction: transaction.execute("SELECT text FROM note").rows)
    sys.stdout.write(json.dumps(answers | {"kept": [text for (text,) in rows]}))


if __name__ == "__main__":
    mode, *arguments = sys.argv[1:]
    if mode == "one":
        trio.run(one, Path(arguments[0]), arguments[1])
    else:
        trio.run(limited, Path(arguments[0]))
