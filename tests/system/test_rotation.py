"""Signing keys and certificates of a suite that runs, changed by signals and by commands of another process."""

from __future__ import annotations

import json
import signal
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.system.processes import PATIENCE, SuiteProcess, connect, run_module, suite, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("rotation")]

NOTICED = 1.0
"""Seconds within which a running suite notices what a command did."""


@pytest.fixture(scope="module")
def in_one_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteProcess]:
    with suite(tmp_path_factory.mktemp("suite")) as started:
        yield started


@pytest.fixture(scope="module")
def in_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteProcess]:
    with suite(tmp_path_factory.mktemp("suite"), "--processes") as started:
        yield started


@pytest.fixture(params=["in_one_process", "in_processes"])
def running(request: pytest.FixtureRequest) -> SuiteProcess:
    started: SuiteProcess = request.getfixturevalue(request.param)
    return started


def serial(running: SuiteProcess, service: str) -> int:
    with connect(running, service) as stream:
        return serial_of(stream)


def serial_of(stream: ssl.SSLSocket) -> int:
    der = stream.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


def status(stream: ssl.SSLSocket, path: str) -> int:
    """Send a request over a connection that is kept, and return the answer's status."""
    stream.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head, received = b"", b""
    while b"\r\n\r\n" not in received:
        received += stream.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += stream.recv(65536)
    return int(head.split()[1])


def kids(running: SuiteProcess) -> list[str]:
    answered, body = running.curl(running.url("sts", "/oauth2/jwks"))
    assert answered == 200
    return [key["kid"] for key in json.loads(body)["keys"]]


def order_is_taken(running: SuiteProcess) -> bool:
    """Create and cancel an order through all services."""
    secret = next(
        line.split()[2]
        for line in (running.folder / "var" / "demo-credentials").read_text().splitlines()
        if line.startswith("client admin-app ")
    )
    credentials = ["--user", f"admin-app:{secret}", "--data", "grant_type=client_credentials"]
    _, issued = running.curl(*credentials, running.url("sts", "/oauth2/token"))
    authorization = f"Authorization: Bearer {json.loads(issued)['access_token']}"
    order = '{"id": "r1", "name": "one", "items": [{"category": "books", "code": "978-1617295959", "qty": 1}]}'
    url = running.url("gateway", "/order")
    created, _ = running.curl("-H", authorization, "-H", "content-type: application/json", "--data", order, url)
    cancelled, _ = running.curl("-H", authorization, "--request", "DELETE", f"{url}/r1")
    return (created, cancelled) == (201, 200)


def test_a_hangup_changes_certificates_and_keeps_connections(running: SuiteProcess) -> None:
    services = ("sts", "order", "gateway")
    before = {name: serial(running, name) for name in services}
    published = kids(running)
    with connect(running, "order") as kept:
        assert status(kept, "/order/none") == 404
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: all(serial(running, name) != before[name] for name in services), "new certificates")
        assert status(kept, "/order/none") == 404
        assert serial_of(kept) == before["order"]
    assert order_is_taken(running)
    wait_until(lambda: len(kids(running)) == len(published) + 1, "a next signing key")
    assert kids(running)[: len(published)] == published
    assert running.is_ready()


def test_an_emergency_changes_the_signing_key_within_a_second(running: SuiteProcess) -> None:
    before = kids(running)
    said = running.command("keys", "rotate", "--now")
    start = time.monotonic()
    kid = said.split()[0]
    assert "signs now" in said
    assert "401" in said
    wait_until(lambda: kids(running) == [kid], "the new key alone")
    assert time.monotonic() - start < NOTICED
    assert kid not in before
    wait_until(lambda: order_is_taken(running), f"an order with tokens of the new key, in {PATIENCE:g} s")


def test_certificates_that_a_command_issued_are_taken_in(in_one_process: SuiteProcess) -> None:
    before = serial(in_one_process, "gateway")
    said = in_one_process.command("certs", "rotate")
    start = time.monotonic()
    assert "gateway.pem: asked for, issued until" in said
    wait_until(lambda: serial(in_one_process, "gateway") != before, "a new certificate")
    assert time.monotonic() - start < NOTICED + 0.5  # what two handshakes may take on a busy machine
    assert order_is_taken(in_one_process)


def test_a_broken_file_changes_nothing(in_one_process: SuiteProcess) -> None:
    path = in_one_process.folder / "certs" / "order.pem"
    good, before = path.read_bytes(), serial(in_one_process, "order")
    path.write_bytes(b"-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
    try:
        wait_until(lambda: "certificate-not-swapped" in in_one_process.log, "a line in the log")
        assert serial(in_one_process, "order") == before
        assert order_is_taken(in_one_process)
    finally:
        path.write_bytes(good)


def test_a_new_authority_is_trusted_before_anything_is_issued_from_it(in_one_process: SuiteProcess) -> None:
    before = serial(in_one_process, "gateway")
    assert "new authority" in in_one_process.command("certs", "rotate", "--ca")
    wait_until(lambda: '"authorities":2' in in_one_process.log, "both authorities")
    refused = run_module(in_one_process.folder, "certs", "rotate")
    assert refused.returncode == 1
    assert "s left to trust it first" in refused.stderr
    assert serial(in_one_process, "gateway") == before
    assert order_is_taken(in_one_process)


def test_a_next_key_is_published_on_command(in_one_process: SuiteProcess) -> None:
    before = in_one_process.command("keys", "rotate", "--now").split()[0]  # others may have published keys before
    wait_until(lambda: kids(in_one_process) == [before], "one key alone")
    kid = in_one_process.command("keys", "rotate").split()[0]
    wait_until(lambda: kids(in_one_process) == [before, kid], "the next key")
    active, ahead = in_one_process.command("keys", "list").splitlines()
    assert active.startswith(f"{before}  ES256 active")
    assert ahead.startswith(f"{kid}  ES256 next")
    assert ", signs from 20" in ahead


def test_no_secret_is_said_or_kept_in_the_open(running: SuiteProcess) -> None:
    key = (running.folder / "var" / "sts-key").read_text().strip()
    assert key not in running.log + running.output
    for path in Path(running.folder / "var").glob("sts.sqlite*"):
        assert b"PRIVATE KEY" not in path.read_bytes()
