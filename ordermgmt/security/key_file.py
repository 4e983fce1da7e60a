"""Secrets at rest: encrypted with a key that is in a file, and not in the database beside them.

The file has one key a line, 32 random bytes in base64. The first encrypts, all of them decrypt: to change it put a new
line before the old one (`openssl rand -base64 32`), start the service, and take the old line away when nothing is
encrypted with it any more: signing keys are encrypted anew at that start, sessions of browsers end within a day.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ordermgmt.errors import StartError
from ordermgmt.ids import Entropy
from ordermgmt.security.pem import is_private

__all__ = ["KeyFile", "open_key_file"]

KEY_SIZE, NONCE_SIZE = 32, 12  # AES-256-GCM, and its nonce as NIST SP 800-38D section 8.2 has it
_FORMAT = "aes256gcm"


class KeyFile:
    """The keys of a file. An envelope is `aes256gcm.<id of the key>.<nonce and ciphertext>`, bound to one name.

    `holds` says in messages what is encrypted with them.
    """

    def __init__(self, path: Path, keys: Sequence[bytes], entropy: Entropy, holds: str) -> None:
        self._path = path
        self._holds = holds
        self._keys = {hashlib.sha256(key).hexdigest()[:16]: AESGCM(key) for key in keys}
        self._current = next(iter(self._keys))
        self._entropy = entropy

    def seal(self, name: str, secret: bytes) -> str:
        """Encrypt `secret`, which is that of `name` and of nothing else."""
        nonce = self._entropy(NONCE_SIZE)
        ciphertext = self._keys[self._current].encrypt(nonce, secret, name.encode())
        return f"{_FORMAT}.{self._current}.{base64.urlsafe_b64encode(nonce + ciphertext).decode()}"

    def is_current(self, envelope: str) -> bool:
        """Tell whether it is encrypted, with the first key of the file."""
        return envelope.startswith(f"{_FORMAT}.{self._current}.")

    def open(self, name: str, envelope: str) -> bytes:
        """Decrypt what `seal` made for `name`.

        Raises StartError if the file has not the key for it, ValueError if it is damaged.
        """
        try:
            kind, key, text = envelope.split(".")
            content = base64.b64decode(text, altchars=b"-_", validate=True)
        except (ValueError, binascii.Error) as error:
            msg = "not an envelope"
            raise ValueError(msg) from error
        if kind != _FORMAT:
            msg = f"unknown envelope {kind:.20}"
            raise ValueError(msg)
        if key not in self._keys:
            msg = f"{self._path} does not hold the key {key:.16} that {self._holds} are encrypted with: put it back"
            raise StartError(msg)
        try:
            return self._keys[key].decrypt(content[:NONCE_SIZE], content[NONCE_SIZE:], name.encode())
        except InvalidTag as error:
            msg = "its envelope was changed"
            raise ValueError(msg) from error


def open_key_file(path: Path, *, holds: str, entropy: Entropy, make: bool) -> KeyFile:
    """Read the file; if there is none, `make` one of mode 0600, on disk before anything is encrypted with it.

    `holds` says what that is: "the signing keys". Blocks. Raises StartError if the file cannot be had, if it is open to
    others, or if it is not what it should be.
    """
    try:
        try:
            content = _read(path)
        except FileNotFoundError:
            if not make:
                msg = f"{path} is missing, and {holds} are encrypted with it: put it back"
                raise StartError(msg) from None
            _write(path, base64.b64encode(entropy(KEY_SIZE)) + b"\n")
            content = _read(path)
    except OSError as error:
        msg = f"cannot use {path}: {error.strerror}"
        raise StartError(msg) from error
    try:
        keys = [base64.b64decode(line, validate=True) for line in content.split()]
    except binascii.Error:
        keys = []
    if not keys or any(len(key) != KEY_SIZE for key in keys):
        msg = f"{path} is no key file: it has a line of 32 bytes in base64 for each key"
        raise StartError(msg)
    return KeyFile(path, keys, entropy, holds)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        if not is_private(os.fstat(file.fileno())):
            msg = f"{path} is open to other users: make it 0600"
            raise StartError(msg)
        return file.read(64 * 1024)


def _write(path: Path, content: bytes) -> None:
    """Write the whole file durably; if somebody else was faster, theirs stays."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
