"""The archives of `make dist`: what is in them, and that they are all that a machine with Python needs."""

from __future__ import annotations

import json
import os
import runpy
import ssl
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import httpx
import pytest

from tests.crash.deployment import free_ports
from tests.system.processes import ROOT, SuiteProcess, suite, wait_until
from tests.test_repository import read_lock

pytestmark = pytest.mark.slow

SERVICES = ("sts", "inventory", "order", "gateway")
BUILD = ROOT / "scripts" / "archives" / "build.py"
LAUNCH = ROOT / "scripts" / "archives" / "launch.py"
PYTHON = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
"""An interpreter that has none of the packages."""
UNPACKED_WITHIN = 60
"""Seconds for the first run of an archive; normally it takes two."""
ORDER = {"name": "Sample", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}


@dataclass(frozen=True)
class Archives:
    """Archives in a folder, and where they unpack to."""

    folder: Path
    cache: Path

    def program(self, name: str) -> list[str]:
        return [PYTHON, "-I", str(self.folder / f"{name}.pyz")]

    def run(self, name: str, *arguments: str, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "ORDERMGMT_CACHE": str(cache or self.cache)}
        command = [*self.program(name), *arguments]
        return subprocess.run(
            command,
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=UNPACKED_WITHIN,
        )


def build(folder: Path) -> None:
    folder.mkdir()
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1750000000"}
    for command in (
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        [sys.executable, str(BUILD), str(folder)],
    ):
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    folder = tmp_path_factory.mktemp("archives")
    build(folder / "dist")
    return Archives(folder / "dist", folder / "cache")


@pytest.mark.parametrize("name", ["ordermgmt", "order"])
def test_an_archive_tells_its_version_and_its_options(archives: Archives, name: str) -> None:
    assert archives.run(name, "--version").stdout == "ordermgmt 0.1.0\n"
    shown = archives.run(name, "--help").stdout
    assert shown.startswith(f"Usage: {name}.pyz [OPTIONS]")
    assert ("COMMAND" in shown) == (name == "ordermgmt")


def test_an_archive_holds_what_the_lock_names_and_this_project(archives: Archives) -> None:
    locked = {(name.replace("-", "_"), version) for name, version in read_lock("dist.txt")[0].items()}
    locked = {(name, version) for name, version in locked if name != "tzdata"}  # for Windows only
    held = set()
    with zipfile.ZipFile(archives.folder / "sts.pyz") as archive:
        names = archive.namelist()
    for name in names:
        folder = name.split("/")[1] if name.startswith("site-packages/") else ""
        if folder.endswith(".dist-info"):
            package, _, version = folder.removesuffix(".dist-info").lower().partition("-")
            held.add((package.replace(".", "_"), version))
    assert held == locked | {("ordermgmt", "0.1.0")}
    assert not [name for name in names if name.endswith((".pyc", "/RECORD", "/INSTALLER"))]
    assert not [name for name in names if "/tests/" in name and name.startswith("site-packages/ordermgmt")]


def test_an_archive_unpacks_once_where_nobody_else_can_look(archives: Archives, tmp_path: Path) -> None:
    cache = tmp_path / "of" / "mine"
    assert archives.run("sts", "--version", cache=cache).returncode == 0
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    (unpacked,) = [path for path in cache.iterdir() if path.is_dir()]
    made = (unpacked / "site-packages" / "ordermgmt" / "system.py").stat()
    assert archives.run("ordermgmt", "--version", cache=cache).returncode == 0
    assert (unpacked / "site-packages" / "ordermgmt" / "system.py").stat() == made
    cache.chmod(0o750)
    refused = archives.run("sts", "--version", cache=cache)
    assert refused.returncode == 1
    assert refused.stderr == f"Error: {cache} is open to others: it has to be yours, with mode 0700\n"


@pytest.mark.slow
def test_the_image_is_made_of_the_archive(archives: Archives, tmp_path: Path) -> None:
    """Its steps as processes: what is unpacked and compiled, and then started without writing anything."""
    made = archives.run("ordermgmt", "deploy", "docker", "--out", str(tmp_path))
    assert made.returncode == 0, made.stderr
    steps = [line.split(" ", 1) for line in (tmp_path / "Containerfile").read_text().splitlines()[1:]]
    moved = {"/ordermgmt.pyz": str(archives.folder / "ordermgmt.pyz"), "/opt/ordermgmt": str(tmp_path / "opt")}

    def run(arguments: str, *more: str) -> subprocess.CompletedProcess[str]:
        for there, here in moved.items():
            arguments = arguments.replace(f'"{there}', f'"{here}')
        (python, *rest) = json.loads(arguments)
        assert python == "python"
        environment = {"PYTHONPATH": str(tmp_path / "opt" / "site-packages"), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [PYTHON, *rest, *more]
        return subprocess.run(command, env=environment, cwd=tmp_path, check=False, capture_output=True, text=True)

    unpacking = [operand for name, operand in steps if name == "RUN" and '"python"' in operand]
    assert len(unpacking) == 2
    for operand in unpacking:
        done = run(operand)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "opt" / "site-packages" / "ordermgmt" / "__pycache__").is_dir()
    (entry,) = [operand for name, operand in steps if name == "ENTRYPOINT"]
    assert run(entry, "--version").stdout == "ordermgmt 0.1.0\n"
    (health,) = [operand.partition(" CMD ")[2] for name, operand in steps if name == "HEALTHCHECK"]
    assert run(health.replace("9400", "1")).stdout.startswith("no answer: ")


def test_another_python_is_told_which_one_it_is_for() -> None:
    launch = runpy.run_path(str(LAUNCH))
    with pytest.raises(SystemExit, match=r"^Error: this archive is for CPython 3\.99 on plan9, and this is "):
        launch["_check_python"]("3.99", "plan9")


@pytest.mark.slow
def test_the_same_sources_give_the_same_bytes(archives: Archives, tmp_path: Path) -> None:
    build(tmp_path / "again")
    files = sorted(archives.folder.iterdir())
    assert len(files) == 6
    assert [path.name for path in files if path.read_bytes() != (tmp_path / "again" / path.name).read_bytes()] == []


@pytest.mark.slow
def test_pip_gives_the_same_bytes_as_the_environment(archives: Archives, tmp_path: Path) -> None:
    (wheel,) = archives.folder.glob("*.whl")
    (tmp_path / wheel.name).write_bytes(wheel.read_bytes())
    script = (
        f"import runpy; b = runpy.run_path({str(BUILD)!r}); from pathlib import Path; w = Path({str(tmp_path)!r})\n"
    )
    script += "b['install'](w / 'p'); b['unpack_wheel'](w, w / 'p'); b['build'](w / 'p', w)"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1750000000", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False, capture_output=True, text=True)
    if "No matching distribution" in done.stderr or "Retrying" in done.stderr:
        pytest.skip("there is no package index here")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "order.pyz").read_bytes() == (archives.folder / "order.pyz").read_bytes()


def start_all(
    archives: Archives, folder: Path, order: Sequence[str], stack: ExitStack, *arguments: str, shared: bool = True
) -> dict[str, SuiteProcess]:
    """Start the services as processes of their own, each when the one before it is ready.

    They share a folder of certificates, and of data if `shared`; and the settings, which say where all are.
    """
    ports = free_ports(("sts", "sts_mtls", "order", "inventory", "gateway"))
    changes = {f"ORDERMGMT_{name.upper()}_LISTEN": f"127.0.0.1:{port}" for name, port in ports.items()} | {
        "ORDERMGMT_CACHE": str(archives.cache),
        "ORDERMGMT_SUITE_CERTS": "../certs",
        "ORDERMGMT_SUITE_DATA": "../var" if shared else "var",
    }
    running: dict[str, SuiteProcess] = {}
    for name in order:
        here = folder / name
        here.mkdir()
        running[name] = stack.enter_context(suite(here, *arguments, changes=changes, program=archives.program(name)))
    return running


def create(folder: Path, credentials: Path, running: dict[str, SuiteProcess]) -> int:
    """Create an order through the gateway, which may take until all have noticed that the others are there."""
    (secret,) = [line.split()[2] for line in credentials.read_text().splitlines() if "counter-app" in line]
    tls = ssl.create_default_context(cafile=folder / "certs" / "ca.pem")
    with httpx.Client(verify=tls, trust_env=False) as http:
        grant = {"grant_type": "client_credentials"}
        token = http.post(running["sts"].url("sts", "/oauth2/token"), data=grant, auth=("counter-app", secret))
        bearer = {"authorization": f"Bearer {token.json()['access_token']}"}

        statuses = [503]

        def is_answered() -> bool:
            answer = http.post(running["gateway"].url("gateway", "/order"), json=ORDER, headers=bearer)
            statuses.append(answer.status_code)
            return answer.status_code != 503

        wait_until(is_answered, "the first order")
    return statuses[-1]


@pytest.mark.slow
def test_four_archives_are_the_suite(archives: Archives, tmp_path: Path) -> None:
    with ExitStack() as stack:
        running = start_all(archives, tmp_path, SERVICES, stack, "--guide")
        order = running["order"]
        order.ports = {name: port for one in running.values() for name, port in one.ports.items()}
        order.folder = tmp_path
        for done in (
            order.script("guide.sh", order.url("order")),
            order.script("demo.sh", data="var/guide"),
        ):
            assert done.returncode == 0, done.stdout + done.stderr
        assert [one.stop() for one in running.values()] == [0, 0, 0, 0]


EVERY_ORDER = list(permutations(SERVICES))
A_DAY = 4


def todays(every: Sequence[tuple[str, ...]], day: int) -> list[tuple[str, ...]]:
    """Return the orders whose turn it is. All of them have had one in twelve days, also if this file runs every other.

    One of each block of six, which is that of a first service: so each day each service is the first of one.
    """
    block = len(every) // A_DAY
    return [every[number * block + day // 2 % block] for number in range(A_DAY)]


def test_all_orders_have_their_turn() -> None:
    for first in (0, 1):
        seen = [order for day in range(first, first + 12, 2) for order in todays(EVERY_ORDER, day)]
        assert sorted(seen) == sorted(EVERY_ORDER)
    assert [order[0] for order in todays(EVERY_ORDER, 7)] == list(SERVICES)


@pytest.mark.slow
@pytest.mark.parametrize("order", todays(EVERY_ORDER, int(time.time() // 86400)), ids="-".join)
def test_they_may_start_in_any_order(archives: Archives, tmp_path: Path, order: Sequence[str]) -> None:
    """Four a day; tests/contract/test_start_orders.py tries all of them every time, without archives."""
    shared = order.index("sts") < order.index("order")
    with ExitStack() as stack:
        running = start_all(archives, tmp_path, order, stack, shared=shared)
        credentials = (tmp_path if shared else tmp_path / "sts") / "var" / "demo-credentials"
        assert create(tmp_path, credentials, running) == 201
