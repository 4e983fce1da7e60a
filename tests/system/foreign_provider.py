"""An OpenID provider of somebody else's, as a server of its own: it signs in whoever comes, as carol.

It is made of joserfc and the standard library, so that nothing of ours decides what it says.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwk, jwt

from tests.system.foreign_server import ForeignServer

__all__ = ["ForeignProvider"]

USER = {"sub": "carol", "name": "Carol C.", "preferred_username": "carol"}


class ForeignProvider:
    """Serves on a free port of loopback; `ca` certifies it. `clients` are secrets by id."""

    def __init__(self, clients: dict[str, str]) -> None:
        self.clients = clients
        self.key = jwk.ECKey.generate_key("P-256", {"kid": "k1", "alg": "ES256", "use": "sig"})
        self._requests: dict[str, dict[str, str]] = {}
        """Of a code, what was asked for."""
        self._scopes: dict[str, str] = {}
        """Of an access or refresh token."""
        self._server = ForeignServer(_handler(self))
        self.ca = self._server.ca
        self.url = f"https://localhost:{self._server.port}"

    @contextmanager
    def running(self) -> Iterator[ForeignProvider]:
        with self._server.running():
            yield self

    def document(self, path: str) -> dict[str, Any] | None:
        """Return what is published at a path."""
        documents: dict[str, dict[str, Any]] = {
            "/keys": {"keys": [self.key.as_dict(private=False)]},
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
            },
        }
        return documents.get(path)

    def authorize(self, asked: dict[str, str]) -> str:
        """Return where the browser goes on to: carol is signed in, and lets the client do what it asks for."""
        code = secrets.token_urlsafe()
        self._requests[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def grant(self, form: dict[str, str], client: str) -> dict[str, Any]:
        """Return what the token endpoint answers to an authenticated client. Raises KeyError for what is no good."""
        match form["grant_type"]:
            case "client_credentials":
                return {"access_token": self._jwt(client, form["audience"], form["scope"]), "expires_in": 300}
            case "authorization_code":
                asked = self._requests.pop(form["code"])
                digest = hashlib.sha256(form["code_verifier"].encode()).digest()
                if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
                    raise KeyError(form["code_verifier"])
                id_token = self._sign({**USER, "aud": client, "nonce": asked["nonce"]}, "JWT")
                return {**self._tokens(asked["scope"]), "id_token": id_token}
            case "refresh_token":
                return self._tokens(self._scopes.pop(form["refresh_token"]))
            case "urn:ietf:params:oauth:grant-type:token-exchange":
                scope = self._scopes[form["subject_token"]]
                issued = "urn:ietf:params:oauth:token-type:access_token"
                token = self._jwt(USER["sub"], form["audience"], scope, act={"sub": client})
                return {"access_token": token, "issued_token_type": issued, "expires_in": 60}
        raise KeyError(form["grant_type"])

    def _tokens(self, scope: str) -> dict[str, Any]:
        access, refresh = secrets.token_urlsafe(), secrets.token_urlsafe()
        self._scopes |= {access: scope, refresh: scope}
        return {"access_token": access, "refresh_token": refresh, "expires_in": 300, "scope": scope}

    def _jwt(self, subject: str, audience: str, scope: str, **claims: Any) -> str:
        known = {"sub": subject, "aud": audience, "scope": scope, "jti": secrets.token_urlsafe()}
        return self._sign({**known, **claims}, "at+jwt")

    def _sign(self, claims: dict[str, Any], kind: str) -> str:
        now = int(time.time())
        header = {"alg": "ES256", "kid": self.key.kid, "typ": kind}
        return jwt.encode(header, {"iss": self.url, "iat": now, "exp": now + 60, **claims}, self.key)


def _handler(provider: ForeignProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                self.send_response(302)
                self.send_header("location", provider.authorize(dict(parse_qsl(parts.query))))
                self.send_header("content-length", "0")
                self.end_headers()
                return
            document = provider.document(parts.path)
            self._answer(404 if document is None else 200, document or {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            given = self.headers.get("authorization", "").removeprefix("Basic ")
            client, _, secret = base64.b64decode(given).decode().partition(":")
            if provider.clients.get(client) != secret:
                self._answer(401, {"error": "invalid_client"})
                return
            try:
                self._answer(200, {"token_type": "Bearer", **provider.grant(dict(parse_qsl(body)), client)})
            except KeyError:
                self._answer(400, {"error": "invalid_grant"})

        def _answer(self, status: int, document: dict[str, Any]) -> None:
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
