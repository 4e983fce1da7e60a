"""The journal over real processes: kill -9 in the middle of orders, and an operator at the command line."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.system.processes import ROOT, SuiteProcess, run_module, suite, wait_until

BOOK = {"category": "books", "code": "978-1484220498", "qty": 1}
BUYERS = 8


def token(running: SuiteProcess) -> str:
    secret = next(
        line.split(" ")[2]
        for line in (running.folder / "var" / "demo-credentials").read_text().splitlines()
        if line.startswith("client admin-app ")
    )
    status, body = running.curl(
        "--user", f"admin-app:{secret}", "--data", "grant_type=client_credentials",
        running.url("sts", "/oauth2/token"),
    )  # fmt: skip
    assert status == 200, body
    return str(json.loads(body)["access_token"])


def order(running: SuiteProcess, access_token: str, order_id: str) -> str:
    """Create an order and return curl's status line, empty if there was no answer."""
    done = running.try_curl(
        "--header", f"Authorization: Bearer {access_token}", "--header", "Content-Type: application/json",
        "--data", json.dumps({"id": order_id, "name": "One", "items": [BOOK]}),
        running.url("gateway", "/order"),
    )  # fmt: skip
    return done.stdout.rpartition("\n")[2] if done.returncode == 0 else ""


def metrics(running: SuiteProcess) -> dict[str, float]:
    """What /metrics says, by name and label; with `--processes` each figure comes from the process of its service."""
    status, body = running.curl(f"http://127.0.0.1:{running.ports['admin']}/metrics")
    assert status == 200, body
    return {name: float(value) for name, value in (row.split() for row in body.splitlines() if row[0] != "#")}


def pieces(running: SuiteProcess) -> int:
    status, body = running.curl(running.url("gateway", f"/inventory/{BOOK['category']}/{BOOK['code']}"))
    assert status == 200, body
    return int(json.loads(body)["qty"])


@pytest.mark.slow
def test_orders_and_stock_agree_after_kill_9(tmp_path: Path) -> None:
    changes = {"ORDERMGMT_ORDER_INVENTORY_TIMEOUT": "2"}  # and so short leases
    with suite(tmp_path, changes=changes) as running:
        access_token = token(running)
        answers: dict[str, str] = {}

        def buy(order_id: str) -> None:
            answers[order_id] = order(running, access_token, order_id)

        buyers = [threading.Thread(target=buy, args=(f"o{number}",)) for number in range(BUYERS)]
        for buyer in buyers:
            buyer.start()
        wait_until(lambda: bool(answers), "the first answer")
        running.stop(signal.SIGKILL)
        for buyer in buyers:
            buyer.join()
    with suite(tmp_path, changes=changes) as running:
        wait_until(lambda: running.command("journal", "list") == "", "an empty journal")
        shown = [running.curl(running.url("gateway", f"/order/o{number}"))[0] for number in range(BUYERS)]
        assert pieces(running) == 10 - shown.count(200)
        for order_id, answer in answers.items():
            assert answer != "201" or shown[int(order_id[1:])] == 200
        assert running.stop() == 0


@pytest.mark.slow
def test_an_operator_sees_what_is_stuck_and_has_it_tried_again(tmp_path: Path) -> None:
    with suite(tmp_path, "--processes") as running:
        assert order(running, token(running), "1") == "201"
        assert metrics(running)['ordermgmt_journal_stuck{service="order"}'] == 0
        page = (ROOT / "docs" / "metrics.md").read_text()
        names = {re.sub(r"(_seconds)_(bucket|count|sum)$", r"\1", name.partition("{")[0]) for name in metrics(running)}
        of_a_collector = {f"ordermgmt_spans_{what}_total" for what in ("exported", "dropped")}
        assert names | of_a_collector == set(re.findall(r"`(ordermgmt_\w+)`", page))
        with closing(sqlite3.connect(tmp_path / "var" / "order.sqlite", timeout=5)) as file, file:
            file.execute(
                "INSERT INTO journal SELECT 'op-1', kind, '2', name, items, deltas, version + 1000, replaces, iss, sub,"
                " via, NULL, NULL, created_at, 'stuck', '[500,\"inventory-request\",\"not understood\",null,{}]',"
                " holder, 0, 1, NULL, NULL, 0, NULL FROM journal"
            )
        listed = running.command("journal", "list")
        assert listed.startswith("op-1  stuck   create  order 2  ")
        assert listed.endswith("attempt 1  inventory-request: not understood\n")
        wait_until(lambda: metrics(running)['ordermgmt_journal_stuck{service="order"}'] == 1, "the metric")
        assert metrics(running)['ordermgmt_journal_unfinished{service="order"}'] == 1
        assert running.command("journal", "retry", "op-1") == (
            "op-1 will be tried again by the running suite, or when it starts\n"
        )
        wait_until(lambda: running.command("journal", "list") == "", "an empty journal")
        assert run_module(running.folder, "journal", "list").stderr == "every change has its outcome\n"
        assert running.curl(running.url("gateway", "/order/2"))[0] == 200
        assert pieces(running) == 8
        assert running.stop() == 0
