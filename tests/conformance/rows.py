"""What a row of the conformance table is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """A requirement of a standard that is ours to keep, and the test that fails when it is not kept."""

    rfc: str
    """`RFC 6749`, `OIDC Core`."""
    section: str
    requirement: str
    """In our words, as a sentence about this system."""
    test: str
    """Path below `tests/`, `::`, and the name of a function, as pytest has it but without parameters."""
