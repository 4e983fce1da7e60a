"""How an operation of the public API is described: what it takes, what it answers, who may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

__all__ = ["Answer", "Operation", "Parameter"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of a request beside its body. `where` is `path`, `query` or `header`; `kind` is a type for msgspec."""

    name: str
    where: str
    about: str
    kind: Any = str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A status that is no error: the type of its body, None for no body, and its headers."""

    about: str
    body: Any = None
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route. `scope` is what its token needs: `""` for any token, None for no token at all.

    `errors` are the codes of problem documents that belong to this very operation, by status; `COMMON_ERRORS` of
    `openapi` come on top.
    """

    method: str
    path: str
    id: str
    about: str
    answers: Mapping[int, Answer]
    scope: str | None = None
    body: Any = None
    parameters: tuple[Parameter, ...] = ()
    errors: Mapping[int, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
