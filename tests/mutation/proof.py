"""The proof in a process of its own, with one module of the package changed in memory.

Importing what the package stands on takes longer than most proofs do, so it is imported once, and each proof is a
fork that imports the package itself: no module of it may be there before the changed one is.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__ = ["end", "start", "warm"]

FILES = (
    "tests/unit/test_vectors.py",
    "tests/unit/test_unforgeable_rows.py",
    "tests/unit/test_revocations.py",
    "tests/contract/test_unforgeable_callers.py",
    "tests/contract/test_unforgeable.py",
)
"""The first two need no service, take a second, and catch most."""
SEEN = ("[claims]", "[encoding]", "[signatures]")
"""The tables that the first two have seen too: round a service they take longest and catch least, so they come last."""
OPTIONS = (
    *("-x", "-q", "--no-header", "--tb=no", "--assert=plain"),
    *("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:xdist"),
)
PACKAGE = "ordermgmt"
OURS = (PACKAGE, "tests")
TIMEOUT = 200
"""Seconds that a proof may take on a busy machine; it takes about 15 of a core, and few go to its end."""


class _Loader(SourceFileLoader):
    """Loads a module of the package from another source than its file holds."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - the loader's signature
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, module: str, source: str) -> None:
        self._module = module
        self._source = source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin, self._source)
        return spec


class _LikeliestFirst:
    """Puts tests into another order: a plugin of pytest."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: item.path.parent.name == "contract" and item.name.endswith(SEEN))


def warm() -> None:
    """Import what a collected proof has imported that is not ours. To be called once, before `start`."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _silently(Path(os.devnull))
        import pytest  # noqa: PLC0415 - in the child alone

        pytest.main([*OPTIONS, "--collect-only", *FILES])
        with os.fdopen(writer, "w") as said:
            json.dump([name for name in sys.modules if name.partition(".")[0] not in (*OURS, "__main__")], said)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as names:
        found = json.load(names)
    os.waitpid(pid, 0)
    for name in found:
        with suppress(ImportError):  # some modules have names that only their packages know
            importlib.import_module(name)
    gc.freeze()  # or the first collection of each fork copies every page


def start(module: str, source: str, output: Path) -> int:
    """Run the proof in a fork in which `module` has this source; return its process id.

    It ends with pytest's exit code, or is killed after `TIMEOUT`. What it prints goes to `output`.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        signal.alarm(TIMEOUT)
        _silently(output)
        code = _prove(module, source, output.with_suffix(".tmp"))
    except BaseException:  # noqa: ASYNC103, BLE001 - told in full; the exit code says that there is no verdict
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def end(pids: Iterable[int]) -> None:
    """Kill these children and wait for them."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _prove(module: str, source: str, folder: Path) -> int:
    import pytest  # noqa: PLC0415 - `warm` is what imports it first

    early = [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
    if early:
        msg = f"imported before the change: {early}"
        raise RuntimeError(msg)
    sys.meta_path.insert(0, _Finder(module, source))
    return int(pytest.main([*OPTIONS, f"--basetemp={folder}", *FILES], plugins=[_LikeliestFirst()]))


def _silently(output: Path) -> None:
    """Send what this process prints to a file."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
