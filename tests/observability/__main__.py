"""Write the table of docs/metrics.md: `make metrics`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import trio
from trio.testing import MockClock

from tests.observability.page import PAGE, render
from tests.observability.scrape import scrape

with tempfile.TemporaryDirectory() as folder:
    found = trio.run(scrape, Path(folder), clock=MockClock(autojump_threshold=0))
PAGE.write_text(render(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
