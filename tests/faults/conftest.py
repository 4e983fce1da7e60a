"""One starter of victims for all tests: what it imports, it imports once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.unkillable_setup import Victims


@pytest.fixture(scope="session")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    starter = Victims(tmp_path_factory.mktemp("victims"))
    yield starter
    starter.close()
