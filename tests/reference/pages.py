"""All pages of the reference, by where they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ordermgmt.__main__ import main
from tests.reference import command_line, errors, http_api
from tests.reference.routes import all_routes

__all__ = ["render"]

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


def render() -> Mapping[Path, str]:
    """Return the pages. Starts the suite in memory, to ask it for its routes."""
    return {
        FOLDER / "command-line.md": command_line.render(main),
        FOLDER / "http-api.md": http_api.render(all_routes()),
        FOLDER / "errors.md": errors.render(),
    }
