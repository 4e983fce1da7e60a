"""One request and its answer: what comes of it, and what failures of it mean to callers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from ordermgmt.net.network import Address
from ordermgmt.telemetry.secrets import REDACTED, Unshown

__all__ = ["KEEP_ALIVE", "Busy", "Interrupted", "Message", "Response", "TooLong", "Transport", "Unreachable"]

KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept. A server that drains tells who uses its connection in its drain delay; where
that is longer, nobody sends a request over one that it closes in the same moment."""


class Unreachable(Exception):
    """The request surely never left this process."""


class Busy(Unreachable):
    """So many requests were under way that this one was given up before it was its turn."""


class Interrupted(Exception):
    """The request may have arrived, and its answer did not."""


class TooLong(Interrupted):
    """The answer is longer than was asked for, and was not read to its end. It is not asked for again."""


class Message(NamedTuple):
    """A request. `target` is path and query as on the wire; at most `max_answer` bytes of the body are read."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    content: bytes
    max_answer: int

    def __repr__(self) -> str:
        return f"Message({REDACTED})"


class Response(Unshown, msgspec.Struct, frozen=True):
    """A whole answer. `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Transport(Protocol):
    """Connections to servers, kept for the next request."""

    async def exchange(self, address: Address, message: Message) -> Response:
        """Send one request and read its whole answer, whatever its status.

        Cancelled or failed, it takes its connection along. Raises Unreachable, Interrupted, TooLong.
        """
        ...

    async def follow(
        self, address: Address, message: Message, answered: Callable[[int], None], take: Callable[[bytes], None]
    ) -> int:
        """Send one request, hand each line of its answer to `take` as it comes, and return the status at its end.

        `answered` is given the status as soon as that is there. Only lines of a 200 are handed on, without their ends,
        of `max_answer` bytes at most. Cancelled or failed, it takes its connection along. Raises as `exchange` does,
        and what `take` raises.
        """
        ...
