"""Where secrets are made, or come in: each is told of at that point, in this process or in a child of a test."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import struct
import sys
from collections.abc import Callable, Sequence
from hashlib import blake2b
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["FOLDER", "KINDS", "MODULES", "RECORD", "SHORTEST", "WORD", "digest", "tell_of", "tell_when_imported"]

FOLDER = "TEST_SECRETS_FOLDER"
"""Environment variable: the folder in which children of tests write the digests of their secrets."""
SHORTEST = 16
"""Characters: what is shorter may be anywhere by chance. What the suite makes is longer."""
WORD = re.compile(r"[A-Za-z0-9_-]{16,}|[A-Za-z0-9+/]{16,}")
"""A secret, or a part of one that gives it away."""

Tell = Callable[[str, str], None]
"""Is told of each secret: its kind, and the text."""

KINDS = (
    "access token",
    "JWT",
    "refresh token",
    "authorization code",
    "cookie",
    "state, nonce or verifier",
    "form token",
    "client secret",
    "password",
    "private key",
    "encryption key",
    "presented token",
)


RECORD = struct.Struct(">8sBH")
"""What a child writes of a secret: its digest, the number of its kind, its length."""


def digest(word: str) -> bytes:
    """Return what a secret is known by here."""
    return blake2b(word.encode("ascii"), digest_size=8).digest()


def _after(owner: Any, name: str, told: Callable[[Any, tuple[Any, ...]], None]) -> None:
    """Have `told` see the result and the arguments of each call."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        told(result, arguments)
        return result

    setattr(owner, name, wrapped)


def _ids(kind: str, prefix: str = "") -> Callable[[ModuleType, Tell], None]:
    """Tell of what a module mints: with a size of its own it is a secret, otherwise a plain id."""

    def point(module: ModuleType, tell: Tell) -> None:
        def told(result: str, arguments: tuple[Any, ...]) -> None:
            if len(arguments) > 1:
                tell(kind, prefix + result)

        _after(module, "new_id", told)

    return point


def _mint(module: ModuleType, tell: Tell) -> None:
    _after(module.Mint, "opaque", lambda issued, _: tell("access token", issued.response.access_token))
    _after(module.Mint, "refresh_token", lambda token, _: tell("refresh token", token))


def _keys(module: ModuleType, tell: Tell) -> None:
    def told(token: str, _: object) -> None:
        _, payload, signature = token.split(".")
        tell("JWT", payload)
        tell("JWT", signature)

    _after(module.SigningKey, "sign", told)
    _after(module.SigningKey, "to_pem", lambda pem, _: _pem(pem, tell))


def _pairs(module: ModuleType, tell: Tell) -> None:
    _after(module, "_write", lambda _, arguments: _pem(arguments[1], tell))


def _pem(content: bytes, tell: Tell) -> None:
    if b"PRIVATE KEY-----" in content:
        for line in content.decode().splitlines():
            if not line.startswith("-----"):
                tell("private key", line.rstrip("="))


def _key_file(module: ModuleType, tell: Tell) -> None:
    def told(content: bytes, _: object) -> None:
        for line in content.decode("latin-1").split():
            tell("encryption key", line.rstrip("="))

    _after(module, "_read", told)


def _demo(module: ModuleType, tell: Tell) -> None:
    def told(result: str, arguments: tuple[Any, ...]) -> None:
        tell("client secret" if arguments[1] == module.SECRET_SIZE else "password", result)

    _after(module, "new_id", told)


def _passwords(module: ModuleType, tell: Tell) -> None:
    _after(module, "_encode", lambda data, _: tell("password", data.decode("utf-8", "replace")))


def _authorize(module: ModuleType, tell: Tell) -> None:
    _ids("authorization code", module.CODE_PREFIX)(module, tell)
    _ids("authorization code")(module, tell)


def _sts_app(module: ModuleType, tell: Tell) -> None:
    secrets = {"code", "code_verifier", "refresh_token", "subject_token", "token", "client_secret"}

    def told(request: Any, arguments: tuple[Any, ...]) -> None:
        for name in secrets & request.parameters.keys():
            for part in request.parameters[name].split("."):
                tell("presented token", part)
        if request.secret is not None:
            tell("client secret", request.secret.reveal())
            credentials: Sequence[str] = arguments[1]
            tell("client secret", credentials[0].partition(" ")[2].rstrip("="))

    _after(module, "read_token_request", told)


def _bearer(module: ModuleType, tell: Tell) -> None:
    def told(token: str | None, _: object) -> None:
        # The first part of a JWT is the same in all of a key, and says its kid, which is no secret.
        for part in (token or "").split(".")[-2:]:
            tell("presented token", part)

    _after(module, "bearer_token", told)


def _derive(module: ModuleType, tell: Tell) -> None:
    _after(module, "_derive", lambda secret, _: tell("state, nonce or verifier", secret))


def _page(module: ModuleType, tell: Tell) -> None:
    _after(module, "form_token", lambda token, _: tell("form token", token))


MODULES: dict[str, Callable[[ModuleType, Tell], None]] = {
    "ordermgmt.sts.mint": _mint,
    "ordermgmt.security.keys": _keys,
    "ordermgmt.pki.pairs": _pairs,
    "ordermgmt.security.key_file": _key_file,
    "ordermgmt.sts.demo": _demo,
    "ordermgmt.sts.accounts": _ids("client secret"),
    "ordermgmt.security.passwords": _passwords,
    "ordermgmt.sts.authorize": _authorize,
    "ordermgmt.sts.sessions": _ids("cookie"),
    "ordermgmt.sts.login": _ids("cookie"),
    "ordermgmt.gateway.sign_in": _ids("cookie"),
    "ordermgmt.gateway.sessions": _derive,
    "ordermgmt.sts.browser_app": _page,
    "ordermgmt.sts.app": _sts_app,
    "ordermgmt.security.guard": _bearer,
}
"""What is done in each module, after it is imported."""


def tell_of(tell: Tell) -> None:
    """Have `tell` know of each secret from now on."""
    for name, point in MODULES.items():
        point(importlib.import_module(name), tell)


def tell_when_imported(tell: Tell) -> None:
    """Have `tell` know of each secret, in a process that has none of the modules yet and shall load none for this."""
    sys.meta_path.insert(0, _Finder(tell))


class _Finder(MetaPathFinder):
    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._busy = False

    def find_spec(self, name: str, _path: object, _target: object = None) -> ModuleSpec | None:
        if name not in MODULES or self._busy:
            return None
        self._busy = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._busy = False
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            MODULES[name](module, self._tell)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
