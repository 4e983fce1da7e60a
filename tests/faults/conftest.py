"""What several tests of faults need: one starter of victims, and a gateway that is told nothing."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest
import trio

from ordermgmt.gateway import browsers
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


@pytest.fixture
def deaf_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have gateways that start from now on not hear which sessions were revoked."""

    async def hear_nothing(*_: object, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()

    monkeypatch.setattr(browsers, "end_revoked", hear_nothing)
