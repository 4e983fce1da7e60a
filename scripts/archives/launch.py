"""What an archive does when it is run: unpack what it holds, once, and call the command line.

Compiled modules cannot be loaded from inside a zip file, so that everything is unpacked to a folder that nobody else
can enter: `$ORDERMGMT_CACHE`, else `ordermgmt` in `$XDG_CACHE_HOME` or `~/.cache`. Archives of one build share it.
This file is put into every archive; `_bootstrap` is shiv's part of it.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

__all__ = ["main"]


def main() -> None:
    """Run the archive that Python was started with."""
    archive_path = Path(sys.argv[0])
    with zipfile.ZipFile(archive_path) as archive:
        made = json.loads(archive.read("archive.json"))
        _check_python(made["python"], made["platform"])
        site_packages = _unpack(archive, made["build"])
    # Nothing of what is installed on this machine gets in between.
    sys.path[1:] = [
        str(site_packages),
        *(path for path in sys.path[1:] if Path(path).name not in {"site-packages", "dist-packages"}),
    ]
    # Found only now.
    from ordermgmt.__main__ import main as suite  # noqa: PLC0415
    from ordermgmt.commands.running import run_only  # noqa: PLC0415

    command = run_only(made["service"]) if made["service"] else suite
    command.main(prog_name=archive_path.name)


def _check_python(python: str, platform: str) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if (sys.implementation.name, version, sysconfig.get_platform()) != ("cpython", python, platform):
        here = f"{sys.implementation.name} {version} on {sysconfig.get_platform()}"
        _refuse(f"this archive is for CPython {python} on {platform}, and this is {here}")


def _unpack(archive: zipfile.ZipFile, build: str) -> Path:
    """Unpack the packages of this build unless they are there, and return their folder.

    Several processes may do so at once, and a crash in the middle is healed by the next.
    """
    from _bootstrap import extract_site_packages  # type: ignore[import-not-found]  # noqa: PLC0415 - in the archive

    root = _cache()
    target = root / build
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = root.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            _refuse(f"{root} is open to others: it has to be yours, with mode 0700")
        if not target.exists():
            extract: Any = extract_site_packages
            extract(archive, target)
    except OSError as error:
        _refuse(f"cannot unpack to {root} (ORDERMGMT_CACHE names another folder): {error.strerror or error}")
    return target / "site-packages"


def _cache() -> Path:
    named = os.environ.get("ORDERMGMT_CACHE")
    if named:
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ordermgmt"


def _refuse(reason: str) -> None:
    sys.exit(f"Error: {reason}")
