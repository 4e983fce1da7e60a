"""How a suite ends: after what is in flight, at once, or by force; it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import ssl
import time
from pathlib import Path

import pytest

from tests.system.processes import PATIENCE, SuiteProcess, connect, is_refused, suite, wait_until

pytestmark = pytest.mark.serial

DRAIN = 10.0
"""The drain deadline that the suite has by default, in seconds."""


def order_token(running: SuiteProcess) -> str:
    lines = (running.folder / "var" / "demo-credentials").read_text().splitlines()
    (secret,) = [line.split()[2] for line in lines if line.startswith("client counter-app ")]
    (running.folder / "client").write_text(f'user = "counter-app:{secret}"\n')
    status, body = running.curl(
        "--config", "client", "--data", "grant_type=client_credentials",
        "--data-urlencode", f"resource={running.url('order')}", running.url("sts", "/oauth2/token"),
    )  # fmt: skip
    assert status == 200
    return str(json.loads(body)["access_token"])


def half_a_request(running: SuiteProcess) -> tuple[bytes, bytes]:
    body = b'{"id": "slow", "name": "Slow order", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}'
    head = (
        f"POST /order HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {order_token(running)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body[:20], body[20:]


def read_all(connection: ssl.SSLSocket) -> bytes:
    received = b""
    while chunk := connection.recv(4096):
        received += chunk
    return received


def test_sigterm_finishes_the_request_in_flight_and_exits_zero(tmp_path: Path) -> None:
    with suite(tmp_path) as running, connect(running, "order") as connection:
        first_half, second_half = half_a_request(running)
        connection.sendall(first_half)
        # An answer from the same loop: by now the half request has been read.
        assert running.is_ready()
        begin = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: running.is_draining("order"), "the drain")
        assert running.process.poll() is None
        connection.sendall(second_half)
        answer = read_all(connection)
        assert running.process.wait(PATIENCE) == 0
        assert time.monotonic() - begin < DRAIN
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert answer.endswith(b"""{"status":"Order 'slow' created."}""")
    assert all(is_refused(port) for port in running.ports.values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once_although_a_request_hangs(number: signal.Signals, tmp_path: Path) -> None:
    with suite(tmp_path, changes={"ORDERMGMT_SUITE_DRAIN": "1000"}) as running, connect(running, "order") as connection:
        connection.sendall(half_a_request(running)[0])
        assert running.is_ready()
        running.process.send_signal(number)
        wait_until(lambda: running.is_draining("order"), "the drain")
        begin = time.monotonic()
        assert running.stop(number) == 130
        assert time.monotonic() - begin < DRAIN / 2
    assert "Traceback" not in running.log
    assert all(is_refused(port) for port in running.ports.values())


def test_a_crash_leaves_no_process_behind_and_the_data_in_order(tmp_path: Path) -> None:
    with suite(tmp_path) as running:
        group = running.process.pid  # it leads a session of its own
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)
        assert all(is_refused(port) for port in running.ports.values())
    with suite(tmp_path) as again:
        status, body = again.curl(again.url("gateway", "/inventory/books/978-1617295959"))
        assert (status, json.loads(body)["qty"]) == (200, 10)
        assert again.stop() == 0
