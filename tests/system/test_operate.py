"""What an operator is told of a suite of processes, how soon after one of them is killed, and through whom."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.system.processes import SuiteProcess, suite, wait_until

SEEN_WITHIN = 1.0
"""Seconds from kill -9 to the answer that says so."""


def token(running: SuiteProcess) -> str:
    secrets = (running.folder / "var" / "demo-credentials").read_text().split()
    secret = secrets[secrets.index("admin-app") + 1]
    form = ["-u", f"admin-app:{secret}", "-d", "grant_type=client_credentials", running.url("sts", "/oauth2/token")]
    status, body = running.curl(*form)
    assert status == 200, body
    return str(json.loads(body)["access_token"])


def status(running: SuiteProcess, bearer: str) -> dict[str, Any]:
    """What the page would be told now; nothing if the gateway does not answer at once."""
    url = running.url("gateway", "/operate/status")
    answer = running.try_curl("--max-time", "2", "-H", f"Authorization: Bearer {bearer}", url)
    body, _, code = answer.stdout.rpartition("\n")
    if answer.returncode or code != "200":
        return {}
    (supervisor,) = json.loads(body)["supervisors"]
    return {service["name"]: service for service in supervisor["report"]["services"]}


@pytest.mark.slow
@pytest.mark.serial
def test_a_killed_service_is_told_within_a_second(tmp_path: Path) -> None:
    with suite(tmp_path, "--processes") as running:
        bearer = token(running)
        before = status(running, bearer)
        assert {name: one["pid"] for name, one in before.items()} == {
            name: pid for name, pid in running.pids.items() if name != "admin"
        }
        took = []
        for name in ("inventory", "order", "sts"):
            pid = before[name]["pid"]
            killed = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda name=name: status(running, bearer)[name]["state"] != "running", "the end")  # type: ignore[misc]
            took.append(time.monotonic() - killed)
            wait_until(
                lambda name=name: status(running, bearer).get(name, {}).get("state") == "running",  # type: ignore[misc]
                "its return",
            )
            after = status(running, bearer)[name]
            assert (after["restarts"], after["error"]) == (1, f"its process {pid} was ended by SIGKILL")
            assert after["pid"] != pid
        assert median(took) < SEEN_WITHIN, took


def test_a_suite_in_parts_is_told_of_part_by_part(tmp_path: Path) -> None:
    with suite(tmp_path, "sts", "inventory") as others:
        first, second = (f"127.0.0.1:{others.ports[name]}" for name in ("sts", "inventory"))
        changes = {
            "ORDERMGMT_SUITE_STS": first,
            "ORDERMGMT_SUITE_INVENTORY": second,
            "ORDERMGMT_SUITE_STS_MTLS": f"127.0.0.1:{others.ports['sts_mtls']}",
            "ORDERMGMT_STS_PUBLIC_URL": others.url("sts"),
            "ORDERMGMT_STS_MTLS_PUBLIC_URL": others.url("sts_mtls"),
            "ORDERMGMT_SUITE_ADMIN": f"127.0.0.1:{others.ports['admin']},127.0.0.1:1",
        }
        with suite(tmp_path, "order", "gateway", changes=changes) as running:
            url = running.url("gateway", "/operate/status")
            code, body = running.curl("-H", f"Authorization: Bearer {token(others)}", url)
            assert code == 200, body
            there, nowhere = json.loads(body)["supervisors"]
            assert [one["name"] for one in there["report"]["services"]] == ["sts", "inventory"]
            assert nowhere == {"address": "127.0.0.1:1", "report": None}
