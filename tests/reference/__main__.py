"""Write the pages in docs/reference: `make reference`."""

from __future__ import annotations

from io import StringIO

from ordermgmt.telemetry.logs import configure_logs
from tests.reference.pages import render

configure_logs(StringIO(), pretty=False)
for path, content in render().items():
    path.write_text(content, encoding="utf-8")
