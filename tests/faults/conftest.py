"""One starter of victims for all tests: what it imports, it imports once."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from tests.faults.victims import Victims

DESCRIPTORS = 6000
"""Open files of one process: a crowd of 5,000, and room."""


@pytest.fixture(scope="session")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= DESCRIPTORS, f"the crowds need {DESCRIPTORS} open files: raise the hard limit (ulimit -Hn)"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS), hard))
    starter = Victims(tmp_path_factory.mktemp("victims"))
    yield starter
    starter.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
