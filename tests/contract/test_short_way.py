"""The short way and the long one give the same answers, to the byte; the other contract tests run on both."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from ordermgmt.net import short_cut
from ordermgmt.testing.harness import RunningSystem, running_system

ITEM = '{"category": "books", "code": "978-1617295959", "qty": 1}'
ORDER = '{"name": "Sample", "items": [' + ITEM + "]}"
JSON = "Content-Type: application/json\r\n"
REQUESTS = {
    "read": ("GET", "/order/there", "", "", 200),
    "read what is known": ("GET", "/order/there", 'If-None-Match: W/"1", "2"\r\n', "", 304),
    "read nothing": ("GET", "/order/none", "", "", 404),
    "an id that is none": ("GET", "/order/a%20b", "", "", 404),
    "head": ("HEAD", "/order/there", "", "", 200),
    "a method that is none": ("PATCH", "/order/there", "", "", 405),
    "no token": ("POST", "/order", JSON, ORDER, 401),
    "a bad token": ("POST", "/order", JSON + "Authorization: Bearer bad\r\n", ORDER, 401),
    "two tokens": ("PUT", "/order/there", "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", "", 401),
    "a token for less": ("DELETE", "/order/there", "Authorization: Bearer {counter}\r\n", "", 403),
    "no JSON": ("POST", "/order", "Authorization: Bearer {counter}\r\nContent-Type: text/plain\r\n", ORDER, 415),
    "JSON by another name": (
        "POST",
        "/order",
        'Authorization: Bearer {counter}\r\nContent-Type: Application/JSON; charset="utf-8"\r\n',
        '{"id": "there", ' + ORDER[1:],
        409,
    ),
    "broken JSON": ("POST", "/order", JSON + "Authorization: Bearer {counter}\r\n", "{", 400),
    "an item twice": (
        "PUT",
        "/order/there",
        JSON + "Authorization: Bearer {admin}\r\n",
        ORDER.replace(ITEM, f"{ITEM}, {ITEM}"),
        422,
    ),
    "another version": (
        "PUT",
        "/order/there",
        JSON + 'Authorization: Bearer {admin}\r\nIf-Match: "7"\r\n',
        ORDER,
        412,
    ),
    "a bad key": ("POST", "/order", JSON + "Authorization: Bearer {counter}\r\nIdempotency-Key: a b\r\n", ORDER, 400),
    "cancel nothing": ("DELETE", "/order/none", "Authorization: Bearer {admin}\r\n", "", 404),
}


@asynccontextmanager
async def two_tokens(folder: Path, service: str) -> AsyncIterator[tuple[RunningSystem, dict[str, str]]]:
    async with running_system(folder) as system:
        resource = system.suite.endpoints.order_url if service == "order" else None
        tokens = {name: await system.token(f"{name}-app", resource=resource) for name in ("counter", "admin")}
        made = '{"id": "there", ' + ORDER[1:]
        answer = await exchange(system, service, ("POST", "/order", JSON + bearer(tokens["counter"]), made), {})
        assert answer.startswith(b"HTTP/1.1 201 ")
        yield system, tokens


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}\r\n"


async def exchange(
    system: RunningSystem, service: str, request: tuple[str, str, str, str], tokens: dict[str, str]
) -> bytes:
    """Send a request of its own connection; return all that comes, but for the date and the id of the request."""
    method, target, fields, body = request
    stream = await system.open_stream(service)
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields.format(**tokens)}"
    await stream.send_all(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    answer = b""
    while data := await stream.receive_some():
        answer += data
    await trio.aclose_forcefully(stream)
    lines = answer.partition(b"\r\n\r\n")
    first, *others = lines[0].split(b"\r\n")
    others = [one for one in others if not one.lower().startswith((b"date:", b"x-request-id:"))]
    return b"\r\n".join([first, *sorted(others), lines[2]])


@pytest.mark.parametrize("service", ["order", "gateway"])
async def test_both_ways_give_the_same_answers(
    service: str, tmp_path: Path, autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_tokens(tmp_path, service) as (system, tokens):
        for name, (*request, status) in REQUESTS.items():
            answers = []
            for enabled in (True, False):
                monkeypatch.setattr(short_cut, "ENABLED", enabled)
                answers.append(await exchange(system, service, tuple(request), tokens))  # type: ignore[arg-type]
            assert answers[0] == answers[1], name
            assert int(answers[0][9:12]) == status, (name, answers[0])


async def test_both_ways_tell_the_steps_of_the_order_service(
    tmp_path: Path, autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_tokens(tmp_path, "order") as (system, tokens):
        answers = []
        for enabled in (True, False):
            monkeypatch.setattr(short_cut, "ENABLED", enabled)
            request = ("POST", "/order", JSON + bearer(tokens["counter"]), '{"id": "new", ' + ORDER[1:])
            answer = await exchange(system, "order", request, {})
            assert answer.startswith(b"HTTP/1.1 201 ")
            answers.append(re.sub(rb'(dur=|etag: ")[0-9.]+', rb"\g<1>0", answer))
            request = ("DELETE", "/order/new", bearer(tokens["admin"]), "")
            assert (await exchange(system, "order", request, {})).startswith(b"HTTP/1.1 200 ")
        assert b"\r\nserver-timing: intent;dur=0, inventory;dur=0, outcome;dur=0\r\n" in answers[0]
        assert answers[0] == answers[1]
