"""Write docs/conformance.md: `make conformance`."""

from __future__ import annotations

from tests.conformance.page import PAGE, render
from tests.conformance.rows import read_standards

PAGE.write_text(render(read_standards()), encoding="utf-8")
