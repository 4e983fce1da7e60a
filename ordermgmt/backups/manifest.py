"""What a backup says of itself: `manifest.json`, written last, so that a backup with one is whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from ordermgmt.errors import StartError
from ordermgmt.gateway.contract import KEY_FILE as GATEWAY_KEY_FILE
from ordermgmt.sts.contract import KEY_FILE
from ordermgmt.sts.demo import FILE_NAME as DEMO_CREDENTIALS

__all__ = ["DATABASES", "FORMAT", "LATER", "NAME", "SECRETS", "CopiedFile", "Manifest", "read_manifest"]

NAME = "manifest.json"
FORMAT = 1
"""Counts up when an older version could misread a backup."""
DATABASES = ("sts.sqlite", "inventory.sqlite", "order.sqlite", "gateway.sqlite")
LATER = frozenset({"gateway.sqlite"})
"""Those that an older version did not have, so that a backup, and a data folder, may be without."""
SECRETS = (DEMO_CREDENTIALS, KEY_FILE, GATEWAY_KEY_FILE)
"""Copied where they are there: without its key nobody can use the signing keys of a backup."""
_LARGEST = 1 << 20


class CopiedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a backup: SHA-256 in hex, and bytes."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is in a backup.

    `version` is that of the program, `created` a date and time of UTC, `pause` the seconds for which no request to
    inventory could start. `balanced` tells whether stock and orders agreed. `schemas` has the checksum of each
    migration of each database, by number.
    """

    format: int
    version: str
    created: str
    pause: float
    balanced: bool
    schemas: Mapping[str, Mapping[int, str]]
    files: Mapping[str, CopiedFile]


class _Format(msgspec.Struct):
    format: int


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of a backup. Raises StartError saying why it is none that can be used."""
    path = folder / NAME
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST)
        version = msgspec.json.decode(content, type=_Format).format
        if version > FORMAT:
            msg = f"{path}: written by a newer version: it has format {version}, this version knows {FORMAT}"
            raise StartError(msg)
        manifest = msgspec.json.decode(content, type=Manifest)
    except FileNotFoundError as error:
        msg = f"{folder} is no backup, or not a whole one: it has no {NAME}"
        raise StartError(msg) from error
    except (OSError, msgspec.DecodeError) as error:
        msg = f"{path}: {getattr(error, 'strerror', None) or error}"
        raise StartError(msg) from error
    # Names become paths: there are no others than these.
    if {*DATABASES} - LATER - {*manifest.files} or {*manifest.files} - {*DATABASES, *SECRETS}:
        msg = f"{path}: the files of a backup are {', '.join(DATABASES)} and perhaps {', '.join(SECRETS)}"
        raise StartError(msg)
    databases = {*DATABASES} & {*manifest.files}
    if databases != {*manifest.schemas}:
        msg = f"{path}: it must have the schemas of {', '.join(sorted(databases))}"
        raise StartError(msg)
    return manifest
