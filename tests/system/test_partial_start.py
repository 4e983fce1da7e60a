"""The suite in two processes that know each other by address, as if on two machines."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.system.processes import suite


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for taken in sockets:
        taken.bind(("127.0.0.1", 0))
    ports = [int(taken.getsockname()[1]) for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports


@pytest.mark.slow
def test_the_story_works_across_two_processes(tmp_path: Path) -> None:
    back, front = tmp_path / "back", tmp_path / "front"
    back.mkdir()
    front.mkdir()
    sts, sts_mtls, inventory, order = free_ports(4)
    known = {
        "ORDERMGMT_SUITE_CERTS": str(tmp_path / "certs"),
        "ORDERMGMT_STS_PUBLIC_URL": f"https://localhost:{sts}",
        "ORDERMGMT_ORDER_PUBLIC_URL": f"https://localhost:{order}",
    }
    of_back = known | {
        "ORDERMGMT_STS_LISTEN": f"127.0.0.1:{sts}",
        "ORDERMGMT_STS_MTLS_LISTEN": f"127.0.0.1:{sts_mtls}",
        "ORDERMGMT_INVENTORY_LISTEN": f"127.0.0.1:{inventory}",
    }
    of_front = known | {
        "ORDERMGMT_ORDER_LISTEN": f"127.0.0.1:{order}",
        "ORDERMGMT_SUITE_STS": f"127.0.0.1:{sts}",
        "ORDERMGMT_SUITE_STS_MTLS": f"127.0.0.1:{sts_mtls}",
        "ORDERMGMT_SUITE_INVENTORY": f"127.0.0.1:{inventory}",
    }
    with (
        suite(back, "sts", "inventory", changes=of_back) as behind,
        suite(front, "order", "gateway", changes=of_front) as before,
    ):
        assert set(behind.ports) == {"admin", "sts", "sts_mtls", "inventory"}
        assert set(before.ports) == {"admin", "order", "gateway"}
        before.ports = behind.ports | before.ports
        (front / "certs").symlink_to(tmp_path / "certs")
        (front / "var" / "demo-credentials").symlink_to(back / "var" / "demo-credentials")
        done = before.script("demo.sh")
        assert done.returncode == 0, done.stdout + done.stderr + before.log
        assert before.stop() == 0
        assert behind.stop() == 0
