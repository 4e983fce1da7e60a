"""A certificate and its key on disk: two files that change as one, whenever the machine stops.

The new certificate is put aside first, then the key takes its place, then the certificate. Whoever comes after a crash
finishes the last step if the key is in place, and otherwise throws away what never began.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ordermgmt.errors import StartError
from ordermgmt.security.pem import belong_together, read_certificates, read_private_key

__all__ = ["finish", "install", "is_present", "writing"]


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Keep other processes from changing the folder inside the block; it is made if there is none.

    Raises StartError with one line for what the operating system refuses.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
    except OSError as error:
        msg = f"cannot write {error.filename or directory}: {error.strerror or error}"
        raise StartError(msg) from error


def is_present(directory: Path, name: str) -> bool:
    """Tell whether there is a certificate or a key called `name`."""
    return (directory / f"{name}.pem").exists() or (directory / f"{name}.key").exists()


def install(
    directory: Path, name: str, certificates: Sequence[x509.Certificate], key: ec.EllipticCurvePrivateKey
) -> None:
    """Put the pair in its place, durably; the first certificate is the key's. Inside `writing` only.

    Raises OSError.
    """
    pem = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certificate_path, key_path = directory / f"{name}.pem", directory / f"{name}.key"
    _write(_aside(certificate_path), pem, 0o644)
    _write(_aside(key_path), secret, 0o600)
    _sync(directory)
    _aside(key_path).replace(key_path)
    _sync(directory)
    _aside(certificate_path).replace(certificate_path)
    _sync(directory)


def finish(directory: Path, name: str) -> None:
    """Finish, or undo, what a crash interrupted. Inside `writing` only. Raises StartError or OSError."""
    certificate_path, key_path = directory / f"{name}.pem", directory / f"{name}.key"
    if _aside(key_path).exists():  # where nothing can be written, nothing is asked to be
        _aside(key_path).unlink(missing_ok=True)
    new = _aside(certificate_path)
    if not new.exists():
        return
    try:
        certificate = read_certificates(new)[0]
    except StartError:  # half of it: the key was not touched yet
        new.unlink()
        return
    if key_path.exists() and belong_together(certificate, read_private_key(key_path)):
        new.replace(certificate_path)
        _sync(directory)
    else:
        new.unlink()


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a new file that has this mode before it has any content."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
