"""A small browser: it keeps cookies as RFC 6265bis says, fills in forms, follows redirects, and reads HTML."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

Headers = list[tuple[str, str]]

FROM_HERE: Headers = [("origin", "null"), ("sec-fetch-site", "same-origin")]
"""What a browser says of a form on a page whose referrer policy is no-referrer."""

_NEXT_COOKIE = re.compile(r", (?=__Host-)")


class Answer(NamedTuple):
    """`headers` has lower-case names; several Set-Cookie are one, with commas between."""

    status: int
    headers: Mapping[str, str]
    content: bytes


Send = Callable[[str, str, Headers, bytes], Awaitable[Answer]]


class Element(NamedTuple):
    tag: str
    attributes: Mapping[str, str | None]


class Page(HTMLParser):
    """What is on a page."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(content.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))
        if tag not in {"meta", "link", "input"}:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            self.texts[tag][-1] += data

    def close(self) -> None:
        super().close()
        assert self._open == []

    def all(self, tag: str) -> list[Mapping[str, str | None]]:
        return [element.attributes for element in self.elements if element.tag == tag]

    def text(self, tag: str) -> list[str]:
        return [" ".join(text.split()) for text in self.texts.get(tag, [])]

    @property
    def fields(self) -> dict[str, str]:
        """What the form of the page would send as it stands, without its buttons."""
        return {str(given["name"]): given.get("value") or "" for given in self.all("input")}

    @property
    def action(self) -> str:
        (form,) = self.all("form")
        assert form["method"] == "post"
        return str(form["action"])


@dataclass
class Visit:
    """Where the browser is: the last answer that is no redirect, or a URL of another origin that it was sent to."""

    url: str
    answer: Answer

    @property
    def page(self) -> Page:
        assert self.answer.headers["content-type"] == "text/html; charset=utf-8", self.answer
        return Page(self.answer.content)


@dataclass
class Browser:
    """One profile of a browser, in front of one origin."""

    origin: str
    send: Send
    cookies: dict[str, str] = field(default_factory=dict)
    jar: list[str] = field(default_factory=list)
    """Every Set-Cookie that came."""

    async def get(self, target: str, headers: Headers | None = None) -> Visit:
        return await self._go("GET", target, headers or [], b"")

    async def submit(self, visit: Visit, /, *, sent: Headers = FROM_HERE, **fields: str) -> Visit:
        """Send the form of a page, with these fields filled in, and with these headers."""
        return await self.post(visit.page.action, {**visit.page.fields, **fields}, sent)

    async def post(self, target: str, form: Mapping[str, str], headers: Headers) -> Visit:
        content_type = ("content-type", "application/x-www-form-urlencoded")
        return await self._go("POST", target, [content_type, *headers], urlencode(form).encode())

    async def _go(self, method: str, target: str, headers: Headers, body: bytes) -> Visit:
        for _ in range(5):
            cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            answer = await self.send(method, target, [*headers, *([("cookie", cookies)] if cookies else [])], body)
            self._keep(answer.headers.get("set-cookie", ""))
            location = answer.headers.get("location")
            if location is None:
                return Visit(target, answer)
            assert answer.status == 303
            assert answer.headers["cache-control"] == "no-store"
            if location.startswith("/"):
                target = location
            elif location.startswith(f"{self.origin}/"):
                target = location.removeprefix(self.origin)
            else:
                return Visit(location, answer)
            method, headers, body = "GET", [], b""
        msg = "too many redirects"
        raise AssertionError(msg)

    def _keep(self, header: str) -> None:
        for line in filter(None, _NEXT_COOKIE.split(header)):
            self.jar.append(line)
            pair, *attributes = line.split("; ")
            assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(attributes), line
            assert not [attribute for attribute in attributes if attribute.startswith("Domain")]
            name, _, value = pair.partition("=")
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value


def query_of(url: str) -> str:
    return urlsplit(url).query
