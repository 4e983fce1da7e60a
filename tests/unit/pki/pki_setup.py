"""The folder that the tests of the PKI begin with."""

from __future__ import annotations

from pathlib import Path

from ordermgmt.pki.files import ensure

NOW = 1_800_000_000.0


DAY = 86400.0


DOMAIN = "ordermgmt.local"


SERVICES = ("gateway", "order")


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def again(directory: Path, now: float = NOW, names: tuple[str, ...] = ("localhost",)) -> list[str]:
    return ensure(directory, SERVICES, names, DOMAIN, now)
