"""Two workers of each service: orders go to both, and one that is killed under load costs nobody an order."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import trio

from ordermgmt.config import SuiteConfig
from tests import postgres_setup
from tests.crash.books import Books, PostgresBooks, SqliteBooks
from tests.crash.registration import Secret, register
from tests.log_lines import select
from tests.postgres_setup import PostgresServer
from tests.system import processes
from tests.system.processes import PATIENCE, SuiteProcess, connect, is_running, run_module, suite, wait_until
from tests.system.steady_load import ITEM, SteadyLoad
from tests.system.test_processes import begin_request

SERVICES = ("sts", "inventory", "order", "gateway")
NAMES = [f"{service}-{number}" for service in SERVICES for number in (1, 2)]
STOCK = 100_000
WITHIN = 90.0
"""Seconds; it takes about 15."""
START = 60.0
"""Seconds for a start; it takes about 4."""
ORDERS = 40
"""Orders before the kill, and again after the restart."""
COUNTED = 'ordermgmt_storage_transactions_total{service="order"}'


@pytest.fixture(params=["sqlite", "postgres"])
def location(request: pytest.FixtureRequest) -> Iterator[str]:
    """The connection string of an empty database; empty for files that all workers open."""
    if request.param == "sqlite":
        yield ""
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with postgres_setup.database(server) as dsn:
        yield dsn


@dataclass
class Seen:
    """What /readyz said of the workers, and how often the order service had written, look by look."""

    pids: dict[str, int] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    written: list[float] = field(default_factory=list)

    async def look(self, running: SuiteProcess, http: httpx.AsyncClient) -> bool:
        """Look once; true if all are ready."""
        admin = f"http://127.0.0.1:{running.ports['admin']}"
        ready = (await http.get(f"{admin}/readyz")).json()
        self.pids = {name: one["pid"] for name, one in ready["services"].items()}
        self.restarts = {name: one["restarts"] for name, one in ready["services"].items()}
        rows = (await http.get(f"{admin}/metrics")).text.splitlines()
        self.written += [float(row.split()[1]) for row in rows if row.startswith(COUNTED)]
        return bool(ready["ready"])


def books_of(folder: Path, dsn: str) -> Books:
    return PostgresBooks(dsn) if dsn else SqliteBooks(folder / "var")


async def token(running: SuiteProcess, http: httpx.AsyncClient, secret: Secret) -> str:
    form = {"grant_type": "client_credentials"}
    answer = await http.post(running.url("sts", "/oauth2/token"), data=form, auth=(secret.client_id, secret.secret))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def grow(running: SuiteProcess, load: SteadyLoad, seen: Seen, http: httpx.AsyncClient) -> None:
    """Wait until so many more orders are created, and look meanwhile."""
    wanted = len(load.created) + ORDERS
    while len(load.created) < wanted:
        await seen.look(running, http)


async def kill_one(running: SuiteProcess, seen: Seen, http: httpx.AsyncClient) -> tuple[float, float]:
    """Kill a worker of the order service, and wait for the next; return when it was told to go, and was gone."""
    pid, told = seen.pids["order-1"], trio.current_time()
    os.kill(pid, signal.SIGKILL)
    while await trio.to_thread.run_sync(is_running, pid):
        pass
    gone = trio.current_time()
    while not await seen.look(running, http) or seen.pids["order-1"] in {None, pid}:
        pass
    return told, gone


@pytest.mark.slow
async def test_orders_go_to_both_and_one_that_is_killed_loses_none(
    tmp_path: Path, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PATIENCE", START)  # eight interpreters
    changes = {"ORDERMGMT_ORDER_INVENTORY_TIMEOUT": "2", "ORDERMGMT_SUITE_DATABASE": location}  # and so short leases
    secret = await register(SuiteConfig(database=location), tmp_path / "var", "shop")
    assert run_module(tmp_path, "inventory", "restock", *ITEM, str(STOCK), changes=changes).returncode == 0
    books = books_of(tmp_path, location)
    with suite(tmp_path, "--workers", "2", changes=changes) as running, trio.fail_after(WITHIN):
        assert list(running.pids) == ["admin", *NAMES]
        assert len(set(running.pids.values())) == 1 + len(NAMES)
        ca_file = tmp_path / "certs" / "ca.pem"
        seen = Seen()
        async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=ca_file), trust_env=False) as http:
            load = SteadyLoad([running.url("gateway")], await token(running, http, secret), ca_file)
            stop = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(load.run, stop)
                await grow(running, load, seen, http)
                by_process = books.holders()
                told, gone = await kill_one(running, seen, http)
                await grow(running, load, seen, http)
                stop.set()
            status = (await http.get(f"http://127.0.0.1:{running.ports['admin']}/status")).json()
        assert [(one["worker"], one["pid"]) for one in status["services"]] == list(seen.pids.items())
        assert seen.restarts == {name: int(name == "order-1") for name in NAMES}
        assert seen.written == sorted(seen.written)
        assert seen.written[-1] > seen.written[0]
        # Only what was in flight in the worker that was killed; sent again with its key, it was done once.
        assert [one for one in load.failed if one.first and not (one.began <= gone and one.ended >= told)] == []
        assert sorted(books.orders()) == sorted(load.created)
        assert books.unfinished() == books.contradictions() == []
        assert books.stock()[ITEM].qty == 10 + STOCK - len(load.created)
        assert min(by_process.values()) > ORDERS / 20, by_process
        assert len(by_process) == 2
        assert running.stop() == 0
        log = running.log
    stopped = [line["service"].partition("-")[0] for line in select(log, "stopped")]
    assert stopped == [name for name in SERVICES[::-1] for _ in (1, 2)]
    assert len(select(log, "crashed")) == 1
    assert "Traceback" not in log


def serials(running: SuiteProcess) -> set[str]:
    """The certificates of a few connections, which both workers answer."""
    found = set()
    for _ in range(8):
        with connect(running, "sts") as connection:
            certificate = connection.getpeercert()
            assert certificate is not None
            found.add(str(certificate["serialNumber"]))
    return found


def keys(running: SuiteProcess) -> set[int]:
    """How many keys are published, over a few connections."""
    answers = [running.curl(running.url("sts", "/oauth2/jwks")) for _ in range(8)]
    return {len(json.loads(body)["keys"]) for _, body in answers}


def signal_both(running: SuiteProcess, number: signal.Signals) -> None:
    """Send both workers of the token service a signal."""
    for name in ("sts-1", "sts-2"):
        os.kill(running.pids[name], number)


@pytest.mark.slow
def test_both_rotate_and_drain_and_a_waiting_client_outlives_both(tmp_path: Path) -> None:
    with suite(tmp_path, "--workers", "2", "sts") as running:
        (before,) = serials(running)
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: before not in serials(running), "the new certificate in both")
        wait_until(lambda: keys(running) == {2}, "the next key in both")
        assert running.log.count("signing-key-made") == 2  # the first one, and the next one once

        signal_both(running, signal.SIGSTOP)
        waiting = socket.create_connection(("127.0.0.1", running.ports["sts"]), timeout=PATIENCE)
        signal_both(running, signal.SIGKILL)
        context = ssl.create_default_context(cafile=tmp_path / "certs" / "ca.pem")
        with waiting, context.wrap_socket(waiting, server_hostname="localhost") as connection:
            connection.sendall(b"GET /oauth2/jwks HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(64).startswith(b"HTTP/1.1 200 OK\r\n")
        wait_until(running.is_ready, "the restart of both")

        with ExitStack() as stack:
            begun = [stack.enter_context(connect(running, "sts")) for _ in range(8)]
            rests = [begin_request(running, connection) for connection in begun]
            running.process.send_signal(signal.SIGTERM)
            # One that no connection came to has ended already.
            wait_until(lambda: '"state":"running"' not in running.readiness(), "the drain of both")
            for connection, rest in zip(begun, rests, strict=True):
                connection.sendall(rest)
                assert connection.recv(64).startswith(b"HTTP/1.1 401 Unauthorized\r\n")
        assert running.process.wait(PATIENCE) == 0
