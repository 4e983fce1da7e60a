"""Where the time of a service goes under load, as a flame graph (an SVG that a browser opens).

python -m benchmarks.profile create --connections=32 --service=order
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.rounds import SEEDED, WORKS, Cell, run_round
from benchmarks.subjects import PEER_PYTHON, running_suite

RATE = 250
"""Samples a second."""


@click.command(context_settings={"show_default": True})
@click.argument("work", type=click.Choice(WORKS), default="create")
@click.option("--connections", default=32)
@click.option("--service", type=click.Choice(["order", "inventory", "gateway", "sts"]), default="order")
@click.option("--way", type=click.Choice(["order", "gateway"]), default="order", help="The service that is asked.")
@click.option("--seconds", default=8)
@click.option("--output", type=click.Path(path_type=Path), default=Path("build/profile.svg"))
def main(*, work: str, connections: int, service: str, way: str, seconds: int, output: Path) -> None:
    """Drive the suite and draw what the process of SERVICE does meanwhile."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        (folder / "suite").mkdir()
        with running_suite(folder / "suite", "--processes") as (direct, gateway):
            direct.seed("s", SEEDED)
            subject = direct if way == "order" else gateway
            run_round(subject, Cell(work, connections), 1, 1, folder)
            pid = direct.suite.pids[service]
            command = [
                str(PEER_PYTHON.with_name("py-spy")), "record", "--pid", str(pid), "--duration", str(seconds), "--rate",
                str(RATE), "--nonblocking", "--output", str(output),
            ]  # fmt: skip
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as recording:
                measured = run_round(subject, Cell(work, connections), seconds, 2, folder)
                if recording.wait(30):
                    msg = "py-spy could not look at the process; it may have to be allowed to (ptrace)"
                    raise click.ClickException(msg)
    sys.stdout.write(f"{measured.per_second:.0f} requests/s, {measured.cpu:.2f} ms CPU each; written: {output}\n")


if __name__ == "__main__":
    main()
