"""Backing up a suite that is at work, and starting another one from the backup."""

from __future__ import annotations

import http.client
import json
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ordermgmt.__main__ import main
from tests.system.processes import PATIENCE, SuiteProcess, environment, suite, wait_until
from tests.system.test_journal import token

BUYERS = 4
HEADPHONES = {"category": "electronics", "code": "SOWH1000XM4"}
FIRST_STOCK = 75
THOUGHT = 0.03
"""Seconds between two requests of one client, so that the command has a part of the processor, too."""


@dataclass
class Buyers:
    """Clients that create, update and cancel orders, each on a connection of its own, and think in between."""

    running: SuiteProcess
    access_token: str
    answers: Counter[int] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)

    def open(self) -> closing[http.client.HTTPSConnection]:
        context = ssl.create_default_context(cafile=self.running.folder / "certs" / "ca.pem")
        port = self.running.ports["gateway"]
        return closing(http.client.HTTPSConnection("localhost", port, context=context, timeout=PATIENCE))

    def buy(self, name: str) -> None:
        with self.open() as connection:
            round_ = 0
            while not self.over.is_set():
                order = f"{name}-{round_}"
                self.send(
                    connection, "POST", "/order", {"id": order, "name": "One", "items": [HEADPHONES | {"qty": 2}]}
                )
                self.send(connection, "PUT", f"/order/{order}", {"name": "Two", "items": [HEADPHONES | {"qty": 1}]})
                if round_:
                    self.send(connection, "DELETE", f"/order/{order}")
                round_ += 1

    def send(self, connection: http.client.HTTPSConnection, method: str, path: str, body: object = None) -> None:
        headers = {"Authorization": f"Bearer {self.access_token}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        answer.read()
        self.answers[answer.status] += 1
        self.over.wait(THOUGHT)


def pieces(running: SuiteProcess) -> int:
    status, body = running.curl(running.url("gateway", f"/inventory/{HEADPHONES['category']}/{HEADPHONES['code']}"))
    assert status == 200, body
    return int(json.loads(body)["qty"])


def orders(running: SuiteProcess, access_token: str) -> list[dict[str, Any]]:
    header = f"Authorization: Bearer {access_token}"
    status, body = running.curl("--header", header, running.url("gateway", "/order?limit=100"))
    assert status == 200, body
    return list(json.loads(body)["orders"])


HOLDER = """
import sys, trio
from pathlib import Path
from ordermgmt.order.hold import open_hops

async def hold():
    with open_hops(Path(sys.argv[1])) as hops:
        async with hops.hold():
            print("held", flush=True)
            await trio.sleep_forever()

trio.run(hold)
"""


def go_on_without_a_holder(buyers: Buyers) -> None:
    """Orders go on when a backup is killed, or stopped, while it holds them."""
    running = buyers.running
    for number, end in enumerate((signal.SIGKILL, signal.SIGSTOP)):
        command = [sys.executable, "-c", HOLDER, str(running.folder / "var")]
        with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as holder:
            try:
                assert holder.stdout is not None
                assert holder.stdout.readline() == b"held\n"
                holder.send_signal(end)
                with buyers.open() as connection:
                    order = {"id": f"last-{number}", "name": "One", "items": [HEADPHONES | {"qty": 1}]}
                    buyers.send(connection, "POST", "/order", order)
            finally:
                holder.kill()
    assert buyers.answers == {201: 2}
    assert "hold-overrun" in running.log


def restore(folder: Path, *arguments: str) -> Result:
    settings = {"ORDERMGMT_SUITE_DATA": str(folder / "var")}
    return CliRunner().invoke(main, ["restore", *arguments], env=settings)


@pytest.mark.slow
def test_a_suite_at_work_is_backed_up_and_another_one_goes_on_from_there(tmp_path: Path) -> None:
    old, new, backup = tmp_path / "old", tmp_path / "new", tmp_path / "backup"
    old.mkdir()
    new.mkdir()
    with suite(old, "--processes") as running:
        access_token = token(running)
        buyers = Buyers(running, access_token)
        threads = [threading.Thread(target=buyers.buy, args=(f"b{number}",)) for number in range(BUYERS)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: buyers.answers.total() > BUYERS, "the first answers")
            printed = running.command("backup", str(backup))
            before = buyers.answers.total()
            wait_until(lambda: buyers.answers.total() > before + BUYERS, "more answers")
        finally:
            buyers.over.set()
            for thread in threads:
                thread.join()
        assert set(buyers.answers) == {200, 201}, running.log
        refused = restore(old, "--force", str(backup))
        assert refused.exit_code == 1
        assert refused.output == f"Error: {old}/var is in use: stop the suite, and any other command, first\n"
        assert running.stop() == 0
    held = re.search(r"^changes of orders were held for (\d+\.\d) ms$", printed, re.MULTILINE)
    assert held is not None, printed
    assert float(held[1]) < 1000
    assert "stock and orders agree: 4 goods\n" in printed
    assert "it does not hold certs" in printed
    restored = restore(new, str(backup))
    assert restored.exit_code == 0, restored.output
    assert re.search(r"^electronics/SOWH1000XM4 +75 +\d+ +\d+ +-?\d+ +0$", restored.output, re.MULTILINE)
    with suite(new) as running:
        header = f"Authorization: Bearer {access_token}"
        assert running.curl("--header", header, running.url("gateway", "/order"))[0] == 401
        access_token = token(running)

        def is_settled() -> bool:
            held = [item["qty"] for order in orders(running, access_token) for item in order["items"]]
            return pieces(running) + sum(held) == FIRST_STOCK and len(held) >= BUYERS

        wait_until(is_settled, "stock and orders that agree")
        go_on_without_a_holder(Buyers(running, access_token))
        assert running.stop() == 0
