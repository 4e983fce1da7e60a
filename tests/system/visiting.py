"""A user with a browser without scripts, in front of a suite that runs as a process of its own."""

from __future__ import annotations

import http.client
import ssl

import trio
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from tests.browser import Answer, Browser, Headers
from tests.system.processes import PATIENCE, SuiteProcess

__all__ = ["CALLBACK", "REQUEST", "VERIFIER", "Visitor", "open_browser"]

CALLBACK = "https://shop.example/callback"
VERIFIER = "v" * 43
REQUEST = {
    "response_type": "code",
    "client_id": "shop",
    "redirect_uri": CALLBACK,
    "scope": "openid add_order",
    "code_challenge": create_s256_code_challenge(VERIFIER),
    "code_challenge_method": "S256",
}
"""An authorization request of the public client `shop`."""


def open_browser(running: SuiteProcess) -> Browser:
    """Return a browser that was never here, in front of the token service."""
    tls = ssl.create_default_context(cafile=running.folder / "certs" / "ca.pem")

    def send(method: str, target: str, headers: Headers, body: bytes) -> Answer:
        connection = http.client.HTTPSConnection("localhost", running.ports["sts"], context=tls, timeout=PATIENCE)
        try:
            connection.request(method, target, body or None, dict(headers))
            answer = connection.getresponse()
            kept: dict[str, str] = {}
            for name, value in answer.getheaders():
                kept[name.lower()] = ", ".join(filter(None, [kept.get(name.lower()), value]))
            return Answer(answer.status, kept, answer.read())
        finally:
            connection.close()

    async def send_in_thread(method: str, target: str, headers: Headers, body: bytes) -> Answer:
        return await trio.to_thread.run_sync(send, method, target, headers, body)

    return Browser(running.url("sts"), send_in_thread)


class Visitor:
    """A user who goes where a client sends it, logs in, and agrees to everything."""

    def __init__(self, running: SuiteProcess, name: str, password: str) -> None:
        self._browser = open_browser(running)
        self._name = name
        self._password = password

    async def visit(self, url: str) -> str:
        """Go to a URL of the token service, and return the one of the client at which the visit ends."""
        origin = self._browser.origin
        assert url.startswith(origin), url
        reached = await self._browser.get(url.removeprefix(origin))
        if reached.url.startswith("/login"):
            reached = await self._browser.submit(reached, username=self._name, password=self._password)
        if reached.url.startswith("/consent"):
            reached = await self._browser.submit(reached, decision="allow")
        assert not reached.url.startswith("/"), reached.answer.content.decode()
        return reached.url
