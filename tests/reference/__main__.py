"""Write the pages in docs/reference: `make reference`."""

from __future__ import annotations

from tests.reference.pages import render

for path, content in render().items():
    path.write_text(content, encoding="utf-8")
