"""A backup is whole or not there; restoring one checks everything before it changes anything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from ordermgmt import __version__
from ordermgmt.backups import restore as restoring
from ordermgmt.backups.restore import UnbalancedError
from ordermgmt.errors import StartError
from ordermgmt.storage import use_folder
from ordermgmt.testing.harness import running_system
from tests.unit.backup_setup import DEMO, HELD, UNDER_WAY, change, fill, put_back, rows, save, sign, tamper
from tests.unit.order_setup import shop

FILES = {"demo-credentials", "gateway-key", "gateway.sqlite", "inventory.sqlite", "order.sqlite", "sts.sqlite"}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def modes(folder: Path) -> set[str]:
    return {oct(path.stat().st_mode & 0o777) for path in [folder, *folder.iterdir()]}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    trio.run(fill, folder / "data", clock=trio.testing.MockClock(autojump_threshold=0))
    done = trio.run(save, folder / "data", folder / "backup")
    assert done.manifest.balanced
    return folder


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(filled / "data", tmp_path / "data")


@pytest.fixture
def backup(filled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(filled / "backup", tmp_path / "backup")


async def test_a_backup_is_private_and_says_what_it_is(backup: Path) -> None:
    assert set(content(backup)) == FILES | {"manifest.json"}
    assert modes(backup) == {"0o700", "0o600"}
    manifest = json.loads((backup / "manifest.json").read_text())
    assert (manifest["format"], manifest["version"], manifest["balanced"]) == (1, __version__, True)
    assert manifest["files"]["demo-credentials"]["size"] == len(DEMO)
    assert len(manifest["schemas"]["order.sqlite"]["1"]) == 64
    assert 0 <= manifest["pause"] < 1


async def test_what_was_under_way_is_accounted_for(tmp_path: Path, data: Path) -> None:
    done = await save(data, tmp_path / "backup")
    (book,) = [account for account in done.accounts if account.moved]
    assert (book.adjusted, book.stock, book.held, book.under_way) == (10, 10 - HELD - UNDER_WAY, HELD, UNDER_WAY)
    assert rows(tmp_path / "backup" / "order.sqlite", "SELECT COUNT(*) FROM journal WHERE finished_at IS NULL") == [
        (2,)
    ]


async def test_a_backup_goes_to_a_new_folder_or_an_empty_one(tmp_path: Path, data: Path, backup: Path) -> None:
    before = content(backup)
    with pytest.raises(StartError, match="backup is there already"):
        await save(data, backup)
    assert content(backup) == before
    (tmp_path / "empty").mkdir(mode=0o755)
    await save(data, tmp_path / "empty")
    assert modes(tmp_path / "empty") == {"0o700", "0o600"}
    with pytest.raises(StartError, match=r"nowhere has no sts\.sqlite"):
        await save(tmp_path / "nowhere", tmp_path / "other")
    assert not (tmp_path / "nowhere").exists()


async def test_a_backup_that_fails_leaves_nothing(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ordermgmt.backups.backup.write_file", fail)
    with pytest.raises(StartError, match=r"cannot back up to .*backup: No space left on device"):
        await save(data, tmp_path / "backup")
    assert {name.partition("/")[0] for name in content(tmp_path)} == {"data"}


async def test_a_backup_from_before_there_were_sessions_of_browsers(tmp_path: Path, data: Path) -> None:
    for name in ("gateway.sqlite", "gateway-key"):
        (data / name).unlink()
    await save(data, tmp_path / "backup")
    await put_back(tmp_path / "backup", tmp_path / "new")
    assert set(content(tmp_path / "new")) == FILES - {"gateway.sqlite", "gateway-key"} | {"in-use.lock"}


async def test_a_backup_of_stock_that_does_not_agree_says_so(tmp_path: Path, data: Path) -> None:
    change(data / "order.sqlite", "UPDATE orders SET items = REPLACE(items, '\"qty\":3', '\"qty\":4')")
    done = await save(data, tmp_path / "backup")
    assert not done.manifest.balanced
    with pytest.raises(UnbalancedError, match="do not agree on 1 goods") as caught:
        await put_back(tmp_path / "backup", tmp_path / "new")
    assert [account.missing for account in caught.value.accounts if not account.agrees] == [-1]
    assert content(tmp_path / "new") == {"in-use.lock": b""}
    restored = await put_back(tmp_path / "backup", tmp_path / "new", unbalanced=True)
    assert restored.accounts == caught.value.accounts


async def test_a_restored_folder_goes_on_where_the_backup_was(
    tmp_path: Path, backup: Path, autojump_clock: trio.abc.Clock
) -> None:
    new = tmp_path / "new"
    restored = await put_back(backup, new)
    assert restored.kept is None
    assert set(content(new)) == FILES | {"in-use.lock"}
    assert (new / "demo-credentials").read_bytes() == DEMO
    assert modes(new) == {"0o700", "0o600"}
    assert rows(new / "sts.sqlite", "SELECT COUNT(*) FROM access_tokens") == [(0,)]
    assert rows(new / "sts.sqlite", "SELECT name FROM users") == [("alice",)]
    assert rows(backup / "gateway.sqlite", "SELECT subject FROM sessions") == [("alice",)]
    assert rows(new / "gateway.sqlite", "SELECT digest FROM sessions UNION SELECT digest FROM logins") == []
    before = rows(backup / "order.sqlite", "SELECT value FROM counters")[0][0]
    assert rows(new / "order.sqlite", "SELECT value FROM counters") == [(before + 1_000_000_000,)]
    async with shop(new) as one:
        await trio.sleep(90)  # what was under way is taken up
        assert (await one.held("kept"), await one.held("taken"), await one.held("unsent")) == (HELD, UNDER_WAY, 1)
        assert await one.stock.qty() == 10 - HELD - UNDER_WAY - 1


async def test_what_was_there_is_moved_aside_when_forced(data: Path, backup: Path) -> None:
    (data / "guide").mkdir()
    (data / "order.sqlite-wal").write_bytes(b"")
    before = {name: data_ for name, data_ in content(data).items() if not name.endswith(".lock")}
    with pytest.raises(StartError, match=r"sts\.sqlite is there already: with --force"):
        await put_back(backup, data)
    assert before.items() <= content(data).items()
    restored = await put_back(backup, data, force=True)
    assert restored.kept is not None
    assert restored.kept.parent == data
    assert restored.kept.stat().st_mode & 0o777 == 0o700
    assert content(restored.kept) == before
    assert not (data / "order.sqlite-wal").exists()
    assert (data / "guide").is_dir()


def cut(backup: Path) -> None:
    file = backup / "order.sqlite"
    file.write_bytes(file.read_bytes()[:-4096])


def flip(backup: Path) -> None:
    file = backup / "inventory.sqlite"
    damaged = bytearray(file.read_bytes())
    damaged[5000] ^= 1
    file.write_bytes(damaged)


def overwrite(backup: Path) -> None:
    """Damage that came before the checksum."""
    file = backup / "order.sqlite"
    damaged = bytearray(file.read_bytes())
    damaged[4096:8192] = b"\xff" * 4096
    file.write_bytes(damaged)
    sign(backup, "order.sqlite")


def newer(backup: Path) -> None:
    path = backup / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["schemas"]["order.sqlite"]["4"] = "0" * 64
    path.write_text(json.dumps(manifest))


def secretly_newer(backup: Path) -> None:
    tamper(backup, "order.sqlite", "INSERT INTO schema_migration VALUES (4, '0004_x.sql', 'x')")


def edit(key: str, value: object) -> Callable[[Path], None]:
    def do(backup: Path) -> None:
        path = backup / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))

    return do


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda backup: (backup / "manifest.json").unlink(), "is no backup, or not a whole one"),
    "half a manifest": (lambda backup: (backup / "manifest.json").write_bytes(b'{"format":1,'), "manifest.json: Input"),
    "a newer format": (edit("format", 2), "written by a newer version: it has format 2, this version knows 1"),
    "another member": (edit("colour", "red"), "unknown field `colour`"),
    "a foreign name": (edit("files", {"../x": {"sha256": "", "size": 0}}), "the files of a backup are sts.sqlite"),
    "no schemas": (edit("schemas", {}), "it must have the schemas of"),
    "a file that is cut": (cut, r"order\.sqlite is damaged: it has not the checksum"),
    "a bit that is flipped": (flip, r"inventory\.sqlite is damaged: it has not the checksum"),
    "a file that is gone": (lambda backup: (backup / "sts.sqlite").unlink(), "No such file or directory"),
    "a page that is damaged": (overwrite, r"order\.sqlite is damaged: (?!it has not)"),
    "a dangling row": (
        lambda backup: tamper(backup, "sts.sqlite", "PRAGMA foreign_keys = OFF", "DELETE FROM clients"),
        r"sts\.sqlite is damaged: a row of access_tokens refers to none of clients",
    ),
    "a newer schema": (newer, r"order\.sqlite: written by a newer version: it has schema 4, this version knows 3"),
    "a schema that is newer than it says": (secretly_newer, "written by a newer version: it has schema 4"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_not_sound_is_refused_and_nothing_changes(case: str, data: Path, backup: Path) -> None:
    damage, line = REFUSED[case]
    damage(backup)
    before = content(data)
    with pytest.raises(StartError, match=line) as caught:
        await put_back(backup, data, force=True)
    assert "\n" not in str(caught.value)
    assert content(data) == before


async def test_a_folder_in_use_is_refused(data: Path, backup: Path) -> None:
    with use_folder(data), pytest.raises(StartError, match="data is in use: stop the suite"):
        await put_back(backup, data, force=True)


async def test_a_suite_uses_its_folder(tmp_path: Path, backup: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path, services=["gateway"]) as system:
        with pytest.raises(StartError, match="var is in use: stop the suite"):
            await put_back(backup, system.data)
    await put_back(backup, tmp_path / "var", force=True)


async def test_a_restore_that_is_interrupted_is_noticed_and_can_be_done_again(
    data: Path, backup: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    before = content(data)

    class PowerCut(BaseException):
        pass

    def cut_power(path: Path) -> None:
        if path.name.startswith("before-restore"):
            raise PowerCut

    with monkeypatch.context() as patched:
        patched.setattr(restoring, "sync", cut_power)
        with pytest.raises(PowerCut):
            await put_back(backup, data, force=True)
    with pytest.raises(StartError, match=r"a restore did not finish.*what was there is in before-restore-"):
        async with shop(data):
            pass
    await put_back(backup, data, force=True)
    async with shop(data) as one:
        assert await one.held("kept") == HELD
    kept = {name.partition("/")[2]: found for name, found in content(data).items() if name.startswith("before-")}
    assert kept["order.sqlite"] == before["order.sqlite"]
