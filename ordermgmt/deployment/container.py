"""The image: the packages of the suite's archive on a slim Python, and nothing that may be written to."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ordermgmt.deployment.plan import ADMIN_PORT, CERTIFICATES, DATA, Options

__all__ = ["ARCHIVE", "FILE", "HEALTH", "containerfile"]

FILE = "Containerfile"
ARCHIVE = "ordermgmt.pyz"
HOME = "/opt/ordermgmt"
PROGRAM = ["python", "-P", "-m", "ordermgmt"]
HEALTH = ["python", "-P", "-m", "ordermgmt.probe", f"127.0.0.1:{ADMIN_PORT}"]

Instruction = tuple[str, str | Sequence[str]]


def containerfile(options: Options) -> str:
    """Return the file. It is built where the archive lies beside it, and needs no network beyond its base image."""
    instructions: list[Instruction] = [
        ("FROM", f"{options.base} AS packages"),
        ("COPY", [ARCHIVE, "/"]),
        ("RUN", ["python", "-m", "zipfile", "-e", f"/{ARCHIVE}", HOME]),
        ("RUN", ["python", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", f"{HOME}/site-packages"]),
        ("FROM", options.base),
        ("COPY", ["--from=packages", f"{HOME}/site-packages", f"{HOME}/site-packages"]),
        ("RUN", ["install", "--directory", f"--owner={options.user}", f"--group={options.user}", "--mode=0700", DATA]),
        ("RUN", ["install", "--directory", CERTIFICATES]),
        ("ENV", f"PYTHONPATH={HOME}/site-packages PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1"),
        ("WORKDIR", DATA),
        ("USER", f"{options.user}:{options.user}"),
        ("STOPSIGNAL", "SIGTERM"),
        ("HEALTHCHECK", "--interval=10s --timeout=5s --start-period=30s CMD " + json.dumps(HEALTH)),
        ("ENTRYPOINT", PROGRAM),
        ("CMD", ["run"]),
    ]
    return "".join(f"{name} {_operand(name, operand)}\n" for name, operand in instructions)


def _operand(name: str, operand: str | Sequence[str]) -> str:
    """Render operands: those that are commands or paths as JSON, which no shell looks at."""
    if isinstance(operand, str):
        return operand
    flags = [one for one in operand if one.startswith("--from=")]
    rest = [one for one in operand if one not in flags]
    return " ".join([*flags, " ".join(rest) if name == "COPY" else json.dumps(rest)])
