"""Reading certificates and private keys from PEM files, with one clear line for whatever is wrong with them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ordermgmt.errors import StartError

__all__ = ["belong_together", "is_private", "read_certificates", "read_private_key"]


def is_private(found: os.stat_result) -> bool:
    """Tell whether a file of secrets is its owner's alone: the process's, or root's who lets a group of ours read it.

    The latter is how a secret is mounted into a container, and what libpq takes for a key, too.
    """
    mode = stat.S_IMODE(found.st_mode)
    return not mode & 0o077 or (found.st_uid == 0 and os.geteuid() != 0 and not mode & 0o037)


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Read all certificates of a file; there is at least one. Raises StartError."""
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise StartError(msg) from error
    except (ValueError, x509.InvalidVersion) as error:
        msg = f"{path} is not a PEM certificate"
        raise StartError(msg) from error


def read_private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read an unencrypted EC private key that nobody but its owner may read.

    Raises StartError if it cannot be read, is something else, or is open to group or others.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read()
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise StartError(msg) from error
    if not is_private(found):
        mode = stat.S_IMODE(found.st_mode)
        msg = f"{path} is open to other users (mode {mode:04o}): make it 0600, or replace the key if it may have leaked"
        raise StartError(msg)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        msg = f"{path} is not an unencrypted PEM private key"
        raise StartError(msg) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        msg = f"{path} is not an EC key"
        raise StartError(msg)
    return key


def belong_together(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    """Tell whether `certificate` is for `key`."""
    return certificate.public_key() == key.public_key()
