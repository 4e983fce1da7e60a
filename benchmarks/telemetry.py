"""What telemetry costs: the CPU of a create with it and without, in rounds that take turns.

    make bench-telemetry

Two suites run in one loop, over the memory network: one as it is, whose log goes to a file, and one without lines and
contexts of requests, histograms, counts of caches, and the instrument of the loop. Clients create orders at the gateway
over connections that stay open. What is measured is CPU time of the process, so that other work of the machine matters
little; the clients' own part, which is small, is in both. Neighbouring rounds are compared, first one of each kind and
then the other way round.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import trio

from benchmarks.calls import Request, connect, converse, requests_of, stock_up
from ordermgmt import runtime, suite
from ordermgmt.net.tls_stream import TlsStream
from ordermgmt.telemetry.caches import Lookups
from ordermgmt.telemetry.edges import Edges
from ordermgmt.telemetry.logs import configure_logs
from ordermgmt.telemetry.process import LoopWatch
from ordermgmt.testing.harness import running_system

CLIENTS, CREATES = 8, 10
"""Creates of each client in a round."""
WARM_UP = 2
"""Pairs of rounds that are not counted."""
LIMIT = 5.0
"""Percent of a create."""


class Side(NamedTuple):
    """A suite, and connections to it."""

    made: Request
    streams: list[TlsStream]


@contextmanager
def replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    """Have `owner` do something else while the block runs."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Have suites that start in the block tell nothing of their requests."""

    def plain(app: object, *_: object, **__: object) -> object:
        return app

    def deaf(*_: object) -> Callable[..., None]:
        return lambda *_: None

    with replaced(runtime, "measured", plain), replaced(Edges, "_observe", deaf):
        yield


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Side]:
    """Run a suite with goods enough, and connect to it."""
    folder.mkdir()  # noqa: ASYNC240 - nothing else runs yet
    async with running_system(folder) as running:
        await stock_up(running)
        made = await requests_of(running, "gateway", "create", CLIENTS)
        streams = [await connect(running, "gateway") for _ in range(CLIENTS)]
        yield Side(made, streams)
        for stream in streams:
            await trio.aclose_forcefully(stream.transport_stream)


class Quiet(LoopWatch):
    """One that does not watch: there is one loop here, and each round says whether it is watched."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def nothing(*_: object, **__: object) -> None:
    """Do nothing."""


async def measure(side: Side) -> float:
    """Return the milliseconds of CPU that a create takes."""
    gc.collect()
    before = time.process_time()
    async with trio.open_nursery() as nursery:
        for stream in side.streams:
            nursery.start_soon(converse, stream, side.made, CREATES)
    return 1000 * (time.process_time() - before) / (CLIENTS * CREATES)


async def compare(folder: Path, pairs: int) -> list[tuple[float, float]]:
    """Return the milliseconds of a create with telemetry and without, of so many pairs of rounds."""
    with replaced(suite, "LoopWatch", Quiet):
        async with AsyncExitStack() as stack:
            told = await stack.enter_async_context(opened(folder / "with"))
            with without_telemetry():
                untold = await stack.enter_async_context(opened(folder / "without"))
            found = []
            for pair in range(-WARM_UP, pairs):
                taken = {}
                for side in (told, untold) if pair % 2 else (untold, told):
                    switched = LoopWatch() if side is told else replaced(Lookups, "count", nothing)
                    with switched:
                        taken[side is told] = await measure(side)
                if pair >= 0:
                    found.append((taken[True], taken[False]))
    return found


def main() -> None:
    """Print what a create costs with telemetry and without, and by how much they differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=60, help="pairs of rounds (default: %(default)s)")
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as name, (Path(name) / "log").open("w", encoding="utf-8") as log:
        configure_logs(log, pretty=False)
        found = trio.run(compare, Path(name), pairs)
    percent = [100 * (told / untold - 1) for told, untold in found]
    low, middle, high = statistics.quantiles(percent, n=4)
    tenth = max(1, pairs // 10)
    told, untold = (statistics.mean(sorted(side)[:tenth]) for side in zip(*found, strict=True))
    more = 100 * (told / untold - 1)
    sys.stdout.write(
        f"a create takes {told:.3f} ms of CPU with telemetry, {untold:.3f} ms without: {more:.1f} % "
        f"(the quietest tenth of {pairs} rounds of each)\n"
        f"neighbouring rounds differ by {middle:.1f} % (middle half: {low:.1f} to {high:.1f} %); "
        f"the limit is {LIMIT:g} %\n"
    )


if __name__ == "__main__":
    main()
