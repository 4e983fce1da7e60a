"""A request and its answer as an endpoint sees them, whichever way they came."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from werkzeug.http import parse_options_header

from ordermgmt import errors
from ordermgmt.telemetry.secrets import Unshown

__all__ = ["Answer", "Call", "Endpoint", "decode_json", "require_json"]

T = TypeVar("T")

JSON = "application/json"


@dataclass(slots=True, repr=False)
class Call(Unshown):
    """A request to one endpoint. `fields` are its header fields, with lower-case names; `read` waits for its body.

    `caller` is what the guard found out about who sends it, None if it did not ask.
    """

    method: str
    path: str
    parameters: Mapping[str, str]
    query: bytes
    fields: Sequence[tuple[bytes, bytes]]
    read: Callable[[], Awaitable[bytes]]
    caller: object = None

    def values(self, name: bytes) -> list[str]:
        """Return the values of all header fields of this name, which is in lower case."""
        return [value.decode("latin-1") for each, value in self.fields if each == name]

    async def json(self, kind: type[T]) -> T:
        """Read the body as JSON of exactly this type. Raises UnsupportedMediaType, InvalidRequest, ContentTooLarge."""
        require_json(self.values(b"content-type"))
        return decode_json(await self.read(), kind)


class Answer(Unshown, msgspec.Struct, frozen=True):
    """What goes back. A `content` of None is none, not even of length 0: for 304, and for what answers a HEAD."""

    status: int
    headers: Sequence[tuple[str, str]]
    content: bytes | None


Endpoint = Callable[[Call], Awaitable[Answer]]


def require_json(content_types: Sequence[str]) -> None:
    """Refuse a body that is not said to be JSON. Raises UnsupportedMediaType."""
    if len(content_types) == 1 and (
        content_types[0] == JSON or parse_options_header(content_types[0])[0].lower() == JSON
    ):
        return
    raise errors.UnsupportedMediaType("not-json", "the body must be application/json")


def decode_json(body: bytes, kind: type[T]) -> T:
    """Read JSON of exactly this type. Raises InvalidRequest naming the member that is wrong."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.InvalidRequest("invalid-body", str(error)) from error
