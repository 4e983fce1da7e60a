"""The health check of a container, against a real listener."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

import pytest

from ordermgmt import probe


@pytest.mark.parametrize(("status", "code"), [(b"200 OK", 0), (b"503 Service Unavailable", 1)])
def test_it_says_what_the_listener_says(capsys: pytest.CaptureFixture[str], status: bytes, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        asked = []

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(1000).partition(b"\r\n")[0])
                connection.sendall(b"HTTP/1.1 %b\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}" % status)

        thread = threading.Thread(target=answer)
        thread.start()
        assert probe.main([f"127.0.0.1:{server.getsockname()[1]}"]) == code
        thread.join(5)
    assert asked == [b"GET /readyz HTTP/1.1"]
    assert capsys.readouterr().out == "{}\n"


def test_nobody_there_is_not_ready(capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main(["127.0.0.1:1"]) == 1
    assert capsys.readouterr().out.startswith("no answer: ")


def test_it_starts_without_the_rest_of_the_project() -> None:
    script = "import sys, ordermgmt.probe; print(sorted({'trio', 'httpx', 'msgspec'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
