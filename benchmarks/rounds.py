"""One round of load: wrk against one subject, what it saw, and what the subject's processes took for it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.subjects import Subject, cpu_seconds

__all__ = ["SEEDED", "WORKS", "Cell", "Round", "Void", "run_round", "run_wrk"]

WORKS = ("create", "get", "update", "cancel", "mixed")
SEEDED = 5000
"""Orders that are there to be read and updated."""
CANCELS_PER_SECOND = 8000
"""More than anybody cancels: each cancel needs an order of its own."""
LOAD = Path(__file__).parent / "load"


class Void(Exception):
    """A round had an answer that was not expected, so it measured something else."""


class Cell(msgspec.Struct, frozen=True):
    """What is asked for, and over how many connections at once."""

    work: str
    connections: int


class Round(msgspec.Struct, frozen=True):
    """What a round came to: requests per second, latencies in ms, and ms of a core per request in all processes."""

    subject: str
    cell: Cell
    per_second: float
    p50: float
    p99: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Told:
    """What the script of wrk is told: see there."""

    work: str
    token: Path
    name: str
    seed: str
    count: int
    turn: int

    def environment(self) -> dict[str, str]:
        """Return it as the script finds it."""
        return {
            "BENCH_WORK": self.work,
            "BENCH_TOKEN": str(self.token),
            "BENCH_NAME": self.name,
            "BENCH_SEED": self.seed,
            "BENCH_COUNT": str(self.count),
            "BENCH_TURN": str(self.turn),
        }


def run_round(subject: Subject, cell: Cell, seconds: float, turn: int, folder: Path, *, seeded: int = SEEDED) -> Round:
    """Run one round. `turn` is a number that no other round has, `seeded` the orders that are there. Raises Void."""
    token = folder / f"token-{turn}"
    token.touch(mode=0o600)
    token.write_text(subject.token())
    seed, count = "s", seeded
    if cell.work == "cancel":
        seed, count = f"c{turn}", int(CANCELS_PER_SECOND * seconds)
        subject.seed(seed, count)
    told = Told(cell.work, token, f"r{turn}", seed, count, turn)
    before = cpu_seconds(subject.roots)
    try:
        seen = run_wrk(subject.url, "orders.lua", cell.connections, seconds, told.environment())
    except Void as error:
        msg = f"{subject.name}, {cell.work} over {cell.connections}: {error}"
        raise Void(msg) from error
    cpu = cpu_seconds(subject.roots) - before
    token.unlink()
    return Round(
        subject=subject.name,
        cell=cell,
        per_second=seen["requests"] / seen["seconds"],
        p50=seen["p50"],
        p99=seen["p99"],
        cpu=cpu / seen["requests"] * 1000,
    )


def run_wrk(url: str, script: str, connections: int, seconds: float, told: Mapping[str, str]) -> dict[str, Any]:
    """Drive `url` with one of the scripts in `load/`; return what it reports. Raises Void for any wrong answer."""
    command = [
        "wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds:g}s",
        "--timeout", "10s", "--script", str(LOAD / script), url,
    ]  # fmt: skip
    done = subprocess.run(
        command,
        env=os.environ | told | {"BENCH_REPORT": str(LOAD / "report.lua")},
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise Void(done.stderr or done.stdout)
    seen: dict[str, Any] = json.loads(lines[-1])
    if seen["errors"] or seen["unexpected"] or not seen["requests"]:
        raise Void(lines[-1])
    return seen
