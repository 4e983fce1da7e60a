"""A backup of all databases as of one moment, made while the suite serves."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from ordermgmt import __version__
from ordermgmt.backups.accounting import accounts
from ordermgmt.backups.balance import Account
from ordermgmt.backups.files import copy_file, digest, sync, write_file
from ordermgmt.backups.manifest import DATABASES, FORMAT, LATER, NAME, SECRETS, CopiedFile, Manifest
from ordermgmt.errors import StartError
from ordermgmt.ids import new_id
from ordermgmt.order.hold import open_hops
from ordermgmt.runtime import Runtime
from ordermgmt.storage import Snapshot, open_snapshot, use_folder
from ordermgmt.telemetry.progress import Show

__all__ = ["Backup", "back_up"]


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made: its manifest, and the accounts of its goods."""

    manifest: Manifest
    accounts: list[Account]


async def back_up(data: Path, target: Path, runtime: Runtime, show: Show) -> Backup:
    """Write a backup of the data folder `data` to the folder `target`, which is missing or empty, and made 0700.

    No order service on this folder asks inventory for anything while the moment is chosen: milliseconds, and a second
    at most, or there is no backup. `target` appears whole or not at all. Raises StartError.
    """
    present = [name for name in DATABASES if (data / name).is_file()]
    missing = [name for name in DATABASES if name not in {*present, *LATER}]
    if missing:
        msg = f"{data} has no {missing[0]}: there is nothing to back up before the first start"
        raise StartError(msg)
    with _in_one_line(target), use_folder(data), _draft(target, runtime) as draft, ExitStack() as stack:
        snapshots = {name: stack.enter_context(open_snapshot(data / name, runtime.clock)) for name in present}
        async with stack.enter_context(open_hops(data)).hold() as hold:
            await runtime.threads.run(partial(_pin, snapshots))
        created = datetime.fromtimestamp(runtime.clock.now(), UTC).isoformat(timespec="seconds")
        return await runtime.threads.run(partial(_copy, snapshots, data, draft, created, hold.seconds, show))


def _pin(snapshots: Mapping[str, Snapshot]) -> None:
    for snapshot in snapshots.values():
        snapshot.pin()


def _copy(snapshots: Mapping[str, Snapshot], data: Path, draft: Path, created: str, pause: float, show: Show) -> Backup:
    files = {}
    for name, snapshot in snapshots.items():
        snapshot.copy(draft / name, partial(show, name))
        files[name] = CopiedFile(digest(draft / name), (draft / name).stat().st_size)
    for name in SECRETS:
        if (data / name).exists():
            found = copy_file(data / name, draft / name, partial(show, name))
            files[name] = CopiedFile(found, (draft / name).stat().st_size)
    found_accounts = accounts(snapshots["order.sqlite"], snapshots["inventory.sqlite"])
    manifest = Manifest(
        FORMAT,
        __version__,
        created,
        round(pause, 6),
        all(account.agrees for account in found_accounts),
        {name: snapshot.schema() for name, snapshot in snapshots.items()},
        files,
    )
    write_file(draft / NAME, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return Backup(manifest, found_accounts)


@contextmanager
def _draft(target: Path, runtime: Runtime) -> Iterator[Path]:
    """Make a folder that becomes `target` if the block goes well, and is removed otherwise.

    After a power cut a part of a backup may be left, but never under the name of a whole one.
    """
    if target.is_symlink() or (target.exists() and not (target.is_dir() and not any(target.iterdir()))):
        msg = f"{target} is there already: a backup is written to a new folder, or an empty one"
        raise StartError(msg)
    parent = target.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    draft = parent / f".{target.name}.unfinished-{new_id(runtime.entropy)}"
    draft.mkdir(mode=0o700)
    try:
        yield draft
        sync(draft)
        draft.rename(target.absolute())
        sync(parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


@contextmanager
def _in_one_line(target: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        msg = f"cannot back up to {target}: {reason}"
        raise StartError(msg) from error
