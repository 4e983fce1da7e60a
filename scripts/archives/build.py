"""Build one executable archive for each service and one for the suite: `build.py FOLDER`, or `make dist`.

They hold what `requirements/dist.txt` names, and the wheel of this project that is in the folder already. The packages
are taken from the environment that runs this, file by file as they were recorded when they were installed with their
hashes; one that is not there, or not the same, is installed by pip into a folder of its own, with the same hashes. The
same sources give the same bytes: nothing of the machine gets in, and all files have the date $SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from shiv.bootstrap.environment import Environment
from shiv.builder import create_archive
from shiv.constants import BUILD_AT_TIMESTAMP_FORMAT

from ordermgmt.system import service_names

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "dist.txt"
LAUNCH = Path(__file__).with_name("launch.py")
EPOCH = 1580601600
"""The date of all files unless $SOURCE_DATE_EPOCH says another: that of hatchling's wheels."""
OF_THE_INSTALLATION = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
"""Files of a package's metadata that tell how it was installed, and not what it is."""


class Differs(Exception):
    """The environment is not the one that the lock describes."""


def locked() -> Iterator[Requirement]:
    """Yield what the lock names for this machine: each a name with one version."""
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([a-z0-9].*?) ?\\$", line):
            requirement = Requirement(match[1])
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


def copy_installed(target: Path) -> None:
    """Copy the locked packages from this environment. Raises Differs naming the first that is not as it should be."""
    for requirement in locked():
        try:
            found = distribution(requirement.name)
        except PackageNotFoundError as error:
            msg = f"{requirement.name} is not installed"
            raise Differs(msg) from error
        if not requirement.specifier.contains(found.version, prereleases=True):
            msg = f"{requirement.name} is {found.version}, not {requirement.specifier}"
            raise Differs(msg)
        _copy(found, target)


def _copy(package: Distribution, target: Path) -> None:
    for path in package.files or ():
        if ".." in path.parts or path.suffix == ".pyc" or path.name in OF_THE_INSTALLATION:
            continue
        content = path.locate().read_bytes()  # type: ignore[attr-defined]
        recorded = path.hash
        if recorded is None or recorded.mode != "sha256" or recorded.value != _digest(content):
            msg = f"{path} is not as it was installed"
            raise Differs(msg)
        _write(target / path, content)


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def install(target: Path) -> None:
    """Install the locked packages with pip."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-compile", "--target"]
    subprocess.run([*command, str(target), "--requirement", str(LOCK)], check=True)  # noqa: S603 - our own command
    shutil.rmtree(target / "bin", ignore_errors=True)
    for name in OF_THE_INSTALLATION:
        for path in target.glob(f"*.dist-info/{name}"):
            path.unlink()
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def unpack_wheel(folder: Path, target: Path) -> None:
    """Unpack the wheel of this project, the only one in `folder`."""
    (wheel,) = folder.glob("ordermgmt-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if Path(name).name not in OF_THE_INSTALLATION:
                _write(target / name, archive.read(name))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o644)


def build(packages: Path, folder: Path) -> None:
    """Write the archives; they differ in what they run only."""
    date = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH)), UTC)
    environment = Environment(built_at=date.strftime(BUILD_AT_TIMESTAMP_FORMAT), shiv_version="", reproducible=True)
    common = packages.with_suffix(".pyz")
    create_archive([packages], common, "/usr/bin/env python3", "launch:main", environment)
    for service in ("", *service_names()):
        made = {
            "service": service,
            "build": environment.build_id,
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "platform": sysconfig.get_platform(),
        }
        archive = folder / f"{service or 'ordermgmt'}.pyz"
        shutil.copy(common, archive)
        with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as opened:
            for name, content in (("archive.json", json.dumps(made)), ("launch.py", LAUNCH.read_text("utf-8"))):
                opened.writestr(zipfile.ZipInfo(name, date.timetuple()[:6]), content)
        sys.stdout.write(f"{archive}  {archive.stat().st_size / 2**20:.1f} MiB\n")


def main(folder: Path) -> None:
    """Do all of it."""
    with tempfile.TemporaryDirectory() as work:
        packages = Path(work) / "installed"
        try:
            copy_installed(packages)
        except Differs as reason:
            sys.stderr.write(f"taking all packages from pip, as {reason}\n")
            packages = Path(work) / "fresh"
            install(packages)
        unpack_wheel(folder, packages)
        build(packages, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
