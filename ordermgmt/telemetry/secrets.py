"""Values that must not be shown: by their type no log line, error or traceback can hold them."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["REDACTED", "Secret", "Unshown"]

T = TypeVar("T")

REDACTED = "[redacted]"


class Secret(Generic[T]):
    """One secret: everything but `reveal` prints `[redacted]`. Two are equal if what they hold is."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """Return the value itself. Never pass it to a log call or an error's text."""
        return self._value

    def __repr__(self) -> str:
        return REDACTED

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


class Unshown:
    """Base of what holds secrets beside other things, such as a message: it prints the name of its type alone.

    A dataclass has to say `repr=False`, so that it does not make another one.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({REDACTED})"
