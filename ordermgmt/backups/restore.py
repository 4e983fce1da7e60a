"""A backup put in the place of the databases: copied, checked and proven beside them first, exchanged last."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files as resources
from pathlib import Path

from ordermgmt.backups.accounting import accounts
from ordermgmt.backups.balance import Account
from ordermgmt.backups.files import copy_file, sync
from ordermgmt.backups.manifest import DATABASES, SECRETS, Manifest, read_manifest
from ordermgmt.errors import Error, StartError
from ordermgmt.gateway import session_store as gateway
from ordermgmt.ids import new_id
from ordermgmt.order import store as orders
from ordermgmt.runtime import Runtime
from ordermgmt.storage import OwnedFolder, Transaction, open_database, open_snapshot, own_folder
from ordermgmt.storage.migrations import load_migrations, pending
from ordermgmt.sts import store as sts
from ordermgmt.telemetry.progress import Show

__all__ = ["Restored", "UnbalancedError", "restore"]

_MIGRATIONS = {name: resources(f"ordermgmt.{name.removesuffix('.sqlite')}") / "migrations" for name in DATABASES}
_CHANGES: dict[str, Callable[[Transaction], None]] = {
    "gateway.sqlite": gateway.end_all_sessions,
    "sts.sqlite": sts.end_all_sessions,
    "order.sqlite": orders.skip_versions,
}
"""What must not be as it was."""
_BESIDE = ("", "-wal", "-shm", "-journal")
"""What SQLite calls the files of one database."""
_STAGING = ".restoring-"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put in place. `kept` is where that is now which was there before, if there was anything."""

    manifest: Manifest
    accounts: list[Account]
    kept: Path | None


class UnbalancedError(StartError):
    """Stock and orders of a backup do not agree; `accounts` tell where."""

    def __init__(self, accounts: list[Account]) -> None:
        wrong = sum(not account.agrees for account in accounts)
        super().__init__(f"stock and orders do not agree on {wrong} goods: --unbalanced restores them all the same")
        self.accounts = accounts


async def restore(
    backup: Path,
    data: Path,
    runtime: Runtime,
    show: Show,
    *,
    force: bool = False,
    unbalanced: bool = False,
) -> Restored:
    """Put `backup` in the place of the databases in `data`, which nobody uses.

    With `force` what is in `data` is moved to a folder inside it, without it there must be nothing. All sessions are
    over, and versions of orders go on above those that may have been taken since the backup. Raises StartError, having
    changed nothing; UnbalancedError if stock and orders do not agree, unless it may be `unbalanced`.
    """
    manifest = read_manifest(backup)
    _check_schemas(backup, manifest)
    with _in_one_line(backup), own_folder(data) as owned:
        present = [data / name for name in _all_names() if (data / name).exists()]
        if present and not force:
            msg = f"{present[0]} is there already: with --force what is in {data} is moved aside first"
            raise StartError(msg)
        with _staging(data, runtime) as staging:
            await runtime.threads.run(partial(_copy, backup, manifest, staging, show))
            await runtime.threads.run(partial(_check, backup, manifest, staging, runtime))
            for name in manifest.schemas:
                await _change(staging / name, name, runtime)
            proven = await runtime.threads.run(partial(_prove, manifest, staging, runtime))
            if not (unbalanced or all(account.agrees for account in proven)):
                raise UnbalancedError(proven)
            stamp = datetime.fromtimestamp(runtime.clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
            kept = data / f"before-restore-{stamp}-{new_id(runtime.entropy, 3)}" if present else None
            await runtime.threads.run(partial(_exchange, owned, staging, data, manifest, kept))
        return Restored(manifest, proven, kept)


def _all_names() -> list[str]:
    return [name + ending for name in DATABASES for ending in _BESIDE] + [*SECRETS]


def _check_schemas(backup: Path, manifest: Manifest) -> None:
    for name, applied in manifest.schemas.items():
        try:
            pending(load_migrations(_MIGRATIONS[name]), applied)
        except StartError as error:
            msg = f"cannot restore {backup / name}: {error}"
            raise StartError(msg) from error


def _copy(backup: Path, manifest: Manifest, staging: Path, show: Show) -> None:
    for name, wanted in manifest.files.items():
        found = copy_file(backup / name, staging / name, partial(show, name))
        size = (staging / name).stat().st_size
        if (found, size) != (wanted.sha256, wanted.size):
            msg = f"{backup / name} is damaged: it has not the checksum that the manifest says"
            raise StartError(msg)


def _check(backup: Path, manifest: Manifest, staging: Path, runtime: Runtime) -> None:
    for name in manifest.schemas:
        try:
            with open_snapshot(staging / name, runtime.clock) as snapshot:
                snapshot.pin()
                snapshot.check()
        except (StartError, sqlite3.DatabaseError) as error:
            msg = f"{backup / name} is damaged: {error.__cause__ or error}"
            raise StartError(msg) from error


async def _change(path: Path, name: str, runtime: Runtime) -> None:
    """Bring the schema up to date, and make the changes that every restore makes."""
    async with open_database(path, _MIGRATIONS[name], threads=runtime.threads, clock=runtime.clock) as database:
        change = _CHANGES.get(name)
        if change is not None:
            await database.write(change)


def _prove(manifest: Manifest, staging: Path, runtime: Runtime) -> list[Account]:
    with ExitStack() as stack:
        opened = {name: open_snapshot(staging / name, runtime.clock) for name in manifest.schemas}
        snapshots = {name: stack.enter_context(snapshot) for name, snapshot in opened.items()}
        for snapshot in snapshots.values():
            snapshot.pin()
        return accounts(snapshots["order.sqlite"], snapshots["inventory.sqlite"])


def _exchange(owned: OwnedFolder, staging: Path, data: Path, manifest: Manifest, kept: Path | None) -> None:
    """Move the old files out and the new ones in. Half of it can be found after a crash, but not used."""
    unfinished = [path for path in staging.glob("*-wal") if path.stat().st_size]
    if unfinished:
        msg = f"{unfinished[0].name} was not written back"
        raise StartError(msg)
    for name in manifest.files:
        sync(staging / name)
    owned.mark(kept.name if kept is not None else "no folder: nothing was there")
    sync(data)
    if kept is not None:
        kept.mkdir(mode=0o700)
        for name in _all_names():
            if (data / name).exists():
                (data / name).rename(kept / name)
        sync(kept)
    for name in manifest.files:
        (staging / name).rename(data / name)
    sync(data)
    owned.mark("")


@contextmanager
def _staging(data: Path, runtime: Runtime) -> Iterator[Path]:
    for left in data.glob(f"{_STAGING}*"):  # of one that was killed: the folder is ours alone
        shutil.rmtree(left)
    staging = data / f"{_STAGING}{new_id(runtime.entropy)}"
    staging.mkdir(mode=0o700)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _in_one_line(backup: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error, Error) as error:
        reason = getattr(error, "strerror", None) or error
        msg = f"cannot restore {backup}: {reason}"
        raise StartError(msg) from error
