"""Reading a log: the lines of JSON among whatever else a process said."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["lines_of", "select"]


def lines_of(text: str) -> list[dict[str, Any]]:
    """Return what the lines say that are of the log."""
    return [json.loads(line) for line in text.splitlines() if line.startswith('{"timestamp":')]


def select(text: str, event: str, **wanted: object) -> list[dict[str, Any]]:
    """Return the lines of one event, with these values."""
    wanted["event"] = event
    return [line for line in lines_of(text) if all(line.get(name) == value for name, value in wanted.items())]
