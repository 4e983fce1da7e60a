"""The inventory service as other services call it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import NoReturn, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from ordermgmt.clock import Clock
from ordermgmt.errors import (
    Conflict,
    ContentTooLarge,
    Error,
    Forbidden,
    Internal,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnprocessableContent,
    UnsupportedMediaType,
)
from ordermgmt.inventory.contract import (
    BALANCE_PATH,
    INVENTORY_PATH,
    NO_SUCH_CATEGORY,
    NO_SUCH_ITEM,
    OPERATIONS_PATH,
    STALE_BATCH,
    Balances,
    Batch,
    Item,
    Operation,
    Outcome,
    Result,
    Results,
    Stock,
    is_name,
)
from ordermgmt.net import problem
from ordermgmt.net.outbound import HttpClient, Interrupted, Response, Unreachable

__all__ = ["InventoryClient", "Token"]

T = TypeVar("T")

_NOT_NOW = (Unauthenticated, Forbidden, TooManyRequests, Unavailable)
_NOT_UNDERSTOOD = (InvalidRequest, NotFound, ContentTooLarge, UnsupportedMediaType, UnprocessableContent)


class Token(Protocol):
    """The caller's own token for inventory, bound to the certificate that its connections present."""

    async def get(self) -> str:
        """Return it. Raises Unavailable if it cannot be had."""
        ...

    def discard(self, token: str) -> None:
        """Do not return this one again: it was refused."""
        ...


Use = Callable[[], AbstractContextManager[tuple[HttpClient, Token]]]
"""Gives connections to inventory, and the token that is bound to the certificate that they present: one value, for the
request that is made inside the block."""


class _Head(msgspec.Struct):
    status: int


class InventoryClient:
    """Calls inventory; `use` is entered for each request. Time limits are the caller's.

    A call that is cancelled may have been carried out. Every change may be sent again as it is: its
    operation id is decided once.
    """

    def __init__(self, use: Use, clock: Clock) -> None:
        self._use = use
        self._clock = clock

    async def apply_all(
        self, operations: Sequence[Operation], acknowledged: Sequence[str] = (), *, sent_at: float | None = None
    ) -> list[Outcome]:
        """Send a batch in one request; return one outcome for each operation, in the same order.

        It takes up to MAX_OPERATIONS with MAX_BATCH_LINES together, and MAX_ACKNOWLEDGED ids of operations that nobody
        will send again. `sent_at` is when the caller last knew that it may send these, in seconds since 1970: now, if
        it is not given. From then on the batch can arrive within MAX_AGE.

        Raises Unavailable if this request did nothing and will do nothing, OutcomeUnknown if it may have or still may,
        Internal if inventory does not understand it, so that nothing was done. None of them speaks of an
        earlier request with the same operations.
        """
        since = self._clock.now() if sent_at is None else sent_at
        batch = Batch(since, tuple(operations), tuple(acknowledged))
        try:
            answer = await self._request("POST", OPERATIONS_PATH, msgspec.json.encode(batch))
        except Interrupted as error:
            raise OutcomeUnknown("inventory-no-answer", "the inventory service did not answer") from error
        if answer.status != HTTPStatus.OK:
            _raise_change_error(answer)
        try:
            results = msgspec.json.decode(answer.content, type=Results).results
            if [result.id for result in results] != [operation.id for operation in operations]:
                raise _rubbish(answer)
            return [_outcome(result) for result in results]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _rubbish(answer) from error

    async def item(self, category: str, code: str) -> Item:
        """Return one item. Raises NotFound, or Unavailable."""
        if not (is_name(category) and is_name(code)):
            raise NotFound(NO_SUCH_ITEM, "there is no such item")
        return await self._read(f"{INVENTORY_PATH}/{category}/{code}", Item)

    async def items(self, category: str | None = None, *, after: str | None = None, limit: int | None = None) -> Stock:
        """Return a page of items, of one category or of all; `after` is the `next` of the page before.

        Raises NotFound, InvalidRequest for a bad `after` or `limit`, or Unavailable.
        """
        if category is not None and not is_name(category):
            raise NotFound(NO_SUCH_CATEGORY, "there is no such category")
        path = INVENTORY_PATH if category is None else f"{INVENTORY_PATH}/{category}"
        return await self._read(_page_of(path, after, limit), Stock)

    async def balance(self, *, after: str | None = None, limit: int | None = None) -> Balances:
        """Return a page of where the pieces of each item are; `after` is the `next` of the page before.

        Needs the scope READ_INVENTORY. Raises InvalidRequest for a bad `after` or `limit`, or Unavailable.
        """
        return await self._read(_page_of(BALANCE_PATH, after, limit), Balances)

    async def _read(self, target: str, kind: type[T]) -> T:
        try:
            answer = await self._request("GET", target)
            if answer.status == HTTPStatus.OK:
                return msgspec.json.decode(answer.content, type=kind)
        except Interrupted as error:
            raise Unavailable("inventory-no-answer", "the inventory service did not answer") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable("inventory-rubbish", "the inventory service gave an answer of another kind") from error
        reason = problem.parse(answer.status, answer.headers, answer.content)
        if isinstance(reason, NotFound | InvalidRequest):
            raise reason
        raise _unavailable(reason)

    async def _request(self, method: str, target: str, content: bytes = b"") -> Response:
        headers = [("content-type", "application/json")] if content else []
        with self._use() as (http, tokens):
            token = await tokens.get()
            headers.append(("authorization", f"Bearer {token}"))
            try:
                repeatable = method == "GET"
                answer = await http.request(method, target, headers=headers, content=content, repeatable=repeatable)
            except Unreachable as error:
                msg = "the inventory service cannot be reached"
                raise Unavailable("inventory-unreachable", msg, retry_after=1) from error
            if answer.status == HTTPStatus.UNAUTHORIZED:
                tokens.discard(token)
        return answer


def _page_of(path: str, after: str | None, limit: int | None) -> str:
    query = urlencode({name: value for name, value in (("after", after), ("limit", limit)) if value is not None})
    return f"{path}?{query}" if query else path


def _outcome(result: Result) -> Outcome:
    """Read a result. Raises msgspec.DecodeError if it is none."""
    if result.status == "applied":
        return Outcome(result.id)
    if result.error is msgspec.UNSET:
        msg = "a refusal without a reason"
        raise msgspec.ValidationError(msg)
    document = bytes(result.error)
    status = msgspec.json.decode(document, type=_Head).status
    refusal = problem.parse(status, {"content-type": problem.CONTENT_TYPE}, document)
    if not isinstance(refusal, Conflict | UnprocessableContent):
        msg = f"a refusal with status {status}"
        raise msgspec.ValidationError(msg)
    return Outcome(result.id, refusal)


def _raise_change_error(answer: Response) -> NoReturn:
    """Raise what an answer other than 200 means for a change: was it surely not done?"""
    reason = problem.parse(answer.status, answer.headers, answer.content)
    stale = isinstance(reason, Conflict) and reason.code == STALE_BATCH
    if stale or (isinstance(reason, _NOT_NOW) and reason.code != "upstream-rubbish"):
        raise _unavailable(reason)
    if isinstance(reason, _NOT_UNDERSTOOD):
        raise Internal("inventory-request", f"the inventory service refused the request: {reason}")
    raise _rubbish(answer)


def _unavailable(reason: Error) -> Unavailable:
    msg = f"the inventory service cannot do it now: {reason.code}"
    return Unavailable("inventory-unavailable", msg, retry_after=reason.retry_after or 1)


def _rubbish(answer: Response) -> OutcomeUnknown:
    msg = f"the inventory service answered {answer.status}, which does not say what was done"
    return OutcomeUnknown("inventory-no-answer", msg)
