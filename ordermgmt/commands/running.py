"""Running the suite: in this process, or with one process or several for each service."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import click
import trio

from ordermgmt.clock import SystemClock
from ordermgmt.commands.invocation import config_option, failing_in_one_line, read_config, real_world, show_version
from ordermgmt.config import Config
from ordermgmt.net.open_files import fit_open_files
from ordermgmt.pki import files as pki
from ordermgmt.processes import in_own_process, work_with
from ordermgmt.startup import show_when_ready
from ordermgmt.suite import Suite
from ordermgmt.supervision.signals import watch
from ordermgmt.supervision.worker import work
from ordermgmt.system import select
from ordermgmt.telemetry.logs import configure_logs

__all__ = ["child", "run", "run_only"]

ENDED_BY_SIGNAL = 130
MOST_WORKERS = 64
"""Of a service: with four services, 256 processes of 80 MB. More are more likely a slip than a wish."""


@click.command()
@config_option
@click.option("--guide", is_flag=True, help="Trust the guide's published tokens, on loopback, over var/guide/.")
@click.option("--processes", is_flag=True, help="Run each service as a process of its own.")
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    metavar="N",
    help="Run each service as so many processes, which share its address and its data.",
)
@click.argument("services", nargs=-1)
def run(
    config_file: Path | None, services: tuple[str, ...], *, guide: bool, processes: bool, workers: int | None
) -> None:
    """Run SERVICES, all of them if none is named, until a signal ends them.

    The first SIGTERM or Ctrl-C finishes what is in flight, the second ends at once. SIGHUP makes new certificates and
    the next signing key.
    """
    config = read_config(config_file)
    processes = processes or workers is not None
    configure_logs(sys.stderr, pretty=sys.stderr.isatty(), shared=processes)
    with failing_in_one_line():
        chosen = select(services)
        _make_certificates(config, [service.name for service in chosen])
        suite = partial(Suite, fit_open_files(config), real_world(), chosen, guide=guide)
        _spare_collector()
        ended_well = trio.run(_run, partial(suite, place=in_own_process, workers=workers or 1) if processes else suite)
    if not ended_well:
        raise SystemExit(ENDED_BY_SIGNAL)


def run_only(service: str) -> click.Command:
    """Return `run` for this one service, as a command of its own: what an archive of one service is."""
    options = [option for option in run.params if option.name not in {"services", "processes"}]
    command = click.Command(
        service,
        params=options,
        callback=partial(cast("Callable[..., None]", run.callback), services=(service,), processes=False),
        help=f"Run the {service} service until a signal ends it.\n\n{(run.help or '').partition(chr(10) * 2)[2]}",
    )
    return show_version(command)


@click.command(hidden=True)
@click.argument("service")
@click.argument("name")
@click.argument("control", type=int)
def child(service: str, name: str, control: int) -> None:
    """Run SERVICE, as its worker NAME, as `run --processes` says over the socket CONTROL that it left open."""
    configure_logs(sys.stderr, pretty=sys.stderr.isatty(), shared=True, process=name)
    with failing_in_one_line():
        _spare_collector()
        ended_well = trio.run(work, service, control, work_with(real_world()))
    if not ended_well:
        raise SystemExit(1)


def _spare_collector() -> None:
    """Keep the garbage collector from what lives as long as the process, and from looking after every few requests.

    Modules and classes are some hundred thousand objects. 10,000 new ones, after which it looks now, are a few MB.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


async def _run(make_suite: Callable[[], Suite]) -> bool:
    """Run until a signal; False if a second one ended it."""
    stop = trio.Event()
    ended = trio.CancelScope()
    async with make_suite() as suite, trio.open_nursery() as nursery:
        await nursery.start(watch, stop, ended, suite.rotate)
        with ended:
            nursery.start_soon(show_when_ready, suite)
            await suite.run(stop)
        nursery.cancel_scope.cancel()
    return not ended.cancelled_caught


def _make_certificates(config: Config, services: Sequence[str]) -> None:
    suite = config.suite
    directory = Path(suite.certs)
    directory.mkdir(parents=True, exist_ok=True)
    for line in pki.ensure(directory, services, suite.names, suite.trust_domain, SystemClock().now()):
        click.echo(line)
