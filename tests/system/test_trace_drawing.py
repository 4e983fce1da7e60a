"""`make trace` draws every hop of a create, of the first and of another one, and the page has such drawings."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.system.processes import PATIENCE, ROOT

ROW = re.compile(r"^ *\d+\.\d +\d+\.\d  [·█]{24}  (\w+) +(.*\S)", re.MULTILINE)
FIRST = [
    ("client", "create an order"),
    ("client", "POST gateway"),
    ("gateway", "POST /order 201"),
    ("gateway", "POST sts"),
    ("sts", "POST /oauth2/token 200"),
    ("gateway", "POST order"),
    ("order", "POST /order 201"),
    ("order", "intent"),
    ("order", "commit"),
    ("order", "inventory"),
    ("order", "batch"),
    ("order", "fetch token"),
    ("order", "POST sts"),
    ("sts", "POST /oauth2/token 200"),
    ("order", "POST inventory"),
    ("inventory", "POST /inventory/operations 200"),
    ("inventory", "commit"),
    ("order", "outcome"),
    ("order", "commit"),
]
SECOND = [hop for hop in FIRST if "sts" not in hop[0] + hop[1] and hop[1] != "fetch token"]


def hops(text: str) -> list[tuple[str, str]]:
    return [(service, span.lstrip("│├└⇢ ")) for service, span in ROW.findall(text)]


def test_the_command_draws_every_hop() -> None:
    command = [sys.executable, "-m", "benchmarks.trace"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert hops(done.stdout) == FIRST + SECOND


def test_the_page_has_what_the_command_draws() -> None:
    assert hops((ROOT / "docs" / "traces.md").read_text()) == FIRST + SECOND
