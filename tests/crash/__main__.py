"""Kills the services at random moments under load, and checks that orders and stock agree and nothing is lost."""

from __future__ import annotations

import random
import secrets
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import trio

from ordermgmt.commands.invocation import real_world
from ordermgmt.config import SuiteConfig
from ordermgmt.inventory.main import open_inventory
from ordermgmt.storage import locate
from ordermgmt.telemetry.logs import configure_logs
from tests import postgres_setup
from tests.crash.books import PostgresBooks, SqliteBooks
from tests.crash.deployment import Deployment, Failed, free_ports
from tests.crash.registration import register
from tests.crash.rounds import VICTIMS, Rounds

POSTGRES = "postgres"
USUAL = "suite,order,order,order,inventory,inventory,sts,gateway,replica,pause-order,pause-inventory"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for: see the options."""

    kills: int
    pauses: int
    unfinished: int
    clients: int
    seed: int
    victims: tuple[str, ...]
    inventory_timeout: float
    workers: int


@click.command(context_settings={"show_default": True})
@click.option("--kills", default=50, help="How many kills there shall be.")
@click.option("--pauses", default=0, help="How many pauses there shall be at least.")
@click.option("--unfinished", default=0, help="How many kills have to meet an unfinished entry of the journal.")
@click.option("--clients", default=12, help="Clients that change orders at the same time.")
@click.option("--seed", type=int, help="Seed of what is done when.  [default: another one each time]")
@click.option(
    "--victims",
    help=f"What to choose from: {', '.join(VICTIMS)}, {POSTGRES}.  [default: {USUAL}; twice {POSTGRES}, where it is]",
)
@click.option("--inventory-timeout", default=0.6, help="order.inventory_timeout in seconds; a lease is 1.5 of it.")
@click.option("--workers", default=1, help="Processes of each service of the suite; one of them is killed or paused.")
@click.option("--database", type=click.Choice(["sqlite", POSTGRES]), default="sqlite")
@click.option("--keep", is_flag=True, help="Keep the folder with data and logs.")
def main(*, database: str, keep: bool, victims: str | None, seed: int | None, **numbers: int) -> None:
    """Kill services of the suite under load; after each kill nothing may be lost, and the stock is exact.

    A second order service shares the database with that of the suite, on PostgreSQL a second inventory service, too.
    Prints a line for each round, and one of figures last. Exit code 1 if anything is wrong.
    """
    usual = f"{USUAL},{POSTGRES},{POSTGRES}" if database == POSTGRES else USUAL
    chosen = tuple((victims or usual).split(","))
    possible = {*VICTIMS, *([POSTGRES] if database == POSTGRES else [])}
    if not possible.issuperset(chosen):
        msg = f"--victims: there is no {', '.join(sorted({*chosen} - possible))} here"
        raise click.UsageError(msg)
    plan = Plan(victims=chosen, seed=secrets.randbits(32) if seed is None else seed, **numbers)
    _say(f"seed {plan.seed}, {plan.clients} clients, {database}")
    with _folder(keep=keep) as folder, (folder / "tool.log").open("a") as log, _server(database) as (dsn, restart):
        configure_logs(log, pretty=False)
        ports = free_ports()
        timeout, workers = plan.inventory_timeout, plan.workers
        with Deployment(folder, ports, dsn=dsn, inventory_timeout=timeout, workers=workers) as deployment:
            sys.exit(0 if trio.run(_run, deployment, dsn, restart, plan) else 1)


async def _run(deployment: Deployment, dsn: str | None, restart: Callable[[], None] | None, plan: Plan) -> bool:
    suite, data = SuiteConfig(database=dsn or ""), deployment.folder / "var"
    secret = await register(suite, data, "crash-test")
    began = time.monotonic()
    rng = random.Random(plan.seed)  # noqa: S311 - no secret
    books = SqliteBooks(data) if dsn is None else PostgresBooks(dsn)
    async with open_inventory(locate(suite, "inventory", data, guide=False), real_world()) as stock:
        rounds = Rounds(deployment, books, stock, secret, clients=plan.clients, rng=rng, restart_postgres=restart)
        try:
            await deployment.start()
            await _all_rounds(rounds, plan, rng)
        except Failed as failure:
            _say(f"failed: {failure}")
            return False
        finally:
            _say(_figures(rounds, time.monotonic() - began))
    return True


async def _all_rounds(rounds: Rounds, plan: Plan, rng: random.Random) -> None:
    """Run until all is done that is asked for. Raises Failed at the first round that finds something wrong."""
    figures = rounds.figures
    kills = [victim for victim in plan.victims if not victim.startswith("pause-")]
    pauses = [victim for victim in plan.victims if victim.startswith("pause-")]
    while figures.kills.total() < plan.kills or figures.pauses.total() < plan.pauses:
        victim = rng.choice(plan.victims)
        if figures.kills.total() >= plan.kills and pauses:
            victim = rng.choice(pauses)
        began = time.monotonic()
        wrong = await rounds.run(victim)
        done = figures.kills.total() + figures.pauses.total()
        _say(f"[{done}] {victim}: {'WRONG' if wrong else 'exact'}, {time.monotonic() - began:.1f} s")
        if wrong:
            raise Failed("\n".join(wrong))
        if not kills and not plan.pauses:
            msg = "nothing to kill"
            raise Failed(msg)
    met = figures.unfinished.total()
    if met < plan.unfinished:
        msg = f"only {met} kills met an unfinished entry: more load is needed"
        raise Failed(msg)


def _figures(rounds: Rounds, seconds: float) -> str:
    figures, ledger = rounds.figures, rounds.load.ledger
    kills, met, pauses = figures.kills, figures.unfinished, figures.pauses
    recovery = statistics.median(figures.recovery) if figures.recovery else 0
    parts = (
        f"{kills.total()} kills ({_list(kills)})",
        f"{met.total()} with unfinished entries ({_list(met)}), {figures.entries} of them",
        f"{pauses.total()} pauses ({_list(pauses)})",
        f"changes: {_list(ledger.outcomes)}; of unknown outcome: {_list(ledger.settled)}",
        f"median recovery {recovery:.1f} s, all {seconds:.0f} s",
        ", ".join(f"{figures.findings[kind]} {kind}" for kind in ("lost", "back", "drift", "unsettled", "strange")),
    )
    return "; ".join(parts)


def _list(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items())) or "none"


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    if keep:
        _say(f"data and logs are in {folder}")
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _server(database: str) -> Iterator[tuple[str | None, Callable[[], None] | None]]:
    if database != POSTGRES:
        yield None, None
        return
    with postgres_setup.server() as server, postgres_setup.database(server) as dsn:
        yield dsn, server.restart


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing that it has started is left
    main()
