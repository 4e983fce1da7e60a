"""Signing keys at rest: encrypted with a key that is in a file, and not in the database beside them.

The file has one key a line, 32 random bytes in base64. The first encrypts, all of them decrypt: to change it put a new
line before the old one (`openssl rand -base64 32`), start the token service, which encrypts everything anew, and take
the old line away.
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

__all__ = ["FILE_NAME", "KeyFile", "is_plain", "open_key_file"]

FILE_NAME = "sts-key"
KEY_SIZE, NONCE_SIZE = 32, 12  # AES-256-GCM, and its nonce as NIST SP 800-38D section 8.2 has it
_FORMAT = "aes256gcm"


class KeyFile:
    """The keys of a file. An envelope is `aes256gcm.<id of the key>.<nonce and ciphertext>`, bound to one `kid`."""

    def __init__(self, path: Path, keys: Sequence[bytes], entropy: Entropy) -> None:
        self._path = path
        self._keys = {hashlib.sha256(key).hexdigest()[:16]: AESGCM(key) for key in keys}
        self._current = next(iter(self._keys))
        self._entropy = entropy

    def seal(self, kid: str, pem: bytes) -> str:
        """Encrypt the private key `pem` of the signing key `kid`."""
        nonce = self._entropy(NONCE_SIZE)
        ciphertext = self._keys[self._current].encrypt(nonce, pem, kid.encode())
        return f"{_FORMAT}.{self._current}.{base64.urlsafe_b64encode(nonce + ciphertext).decode()}"

    def is_current(self, envelope: str) -> bool:
        """Tell whether it is encrypted, with the first key of the file."""
        return envelope.startswith(f"{_FORMAT}.{self._current}.")

    def open(self, kid: str, envelope: str) -> bytes:
        """Decrypt what `seal` made for `kid`; what was kept before there was a file is returned as it is.

        Raises StartError if the file has not the key for it, ValueError if it is damaged.
        """
        if is_plain(envelope):
            return envelope.encode()
        try:
            kind, name, text = envelope.split(".")
            content = base64.b64decode(text, altchars=b"-_", validate=True)
        except (ValueError, binascii.Error) as error:
            msg = "not an envelope"
            raise ValueError(msg) from error
        if kind != _FORMAT:
            msg = f"unknown envelope {kind:.20}"
            raise ValueError(msg)
        if name not in self._keys:
            msg = f"{self._path} does not hold the key {name:.16} that the signing keys are encrypted with: put it back"
            raise StartError(msg)
        try:
            return self._keys[name].decrypt(content[:NONCE_SIZE], content[NONCE_SIZE:], kid.encode())
        except InvalidTag as error:
            msg = "its envelope was changed"
            raise ValueError(msg) from error


def is_plain(envelope: str) -> bool:
    """Tell whether a key was kept before keys were encrypted."""
    return envelope.startswith("-----BEGIN")


def open_key_file(path: Path, *, entropy: Entropy, make: bool) -> KeyFile:
    """Read the file; if there is none, `make` one of mode 0600, on disk before anything is encrypted with it.

    Blocks. Raises StartError if it cannot be had, if it is open to others, or if it is not what it should be.
    """
    try:
        try:
            content = _read(path)
        except FileNotFoundError:
            if not make:
                msg = f"{path} is missing, and the signing keys are encrypted with it: put it back"
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
    return KeyFile(path, keys, entropy)


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
