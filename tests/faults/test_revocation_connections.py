"""The connections that streams of revocations are held over: how they begin and end, and for whom."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ordermgmt.config import AdminConfig, Config
from ordermgmt.net import Address
from ordermgmt.security.revocation_stream import LAST_RETRY, START
from ordermgmt.testing.harness import running_system
from ordermgmt.testing.memory import MemoryNetwork
from ordermgmt.testing.memory_stream import MemoryStream
from tests.faults.revocation_setup import exchange, revoke, status

T_STREAM = 2.0
LOST = "revocations-not-followed"


@pytest.mark.slow
async def test_a_stream_is_followed_on_at_the_end_of_its_connection(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Connections live for 540 s; a stream ends with its own, well, and goes on over another one at once."""
    network = MemoryNetwork()
    made: list[float] = []
    async with running_system(tmp_path, network=network) as system:
        address = system.address("sts", "mtls_listen")

        def note(to: Address, stream: MemoryStream) -> MemoryStream:
            if to.port == address.port:
                made.append(trio.current_time())
            return stream

        network.on_connect = note
        jwts = []
        start = trio.current_time()
        await trio.sleep_until(start + 538)
        for _ in range(8):  # before, while and after
            token = await system.token("alice-app")
            jwts.append(await exchange(system, token))
            await revoke(system, token)
            await trio.sleep(0.5)
        await trio.sleep(1)
        assert [await status(system, "order", jwt) for jwt in jwts] == [401] * 8
        await trio.sleep_until(start + 1700)
    assert LOST not in capsys.readouterr().err
    streams = [at - start for at in made if at > start + 600]  # until then it is us, too
    assert [round(at / 540, 1) for at in streams] == [2.0, 2.0, 3.0, 3.0]


async def test_held_streams_keep_nothing_from_draining(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    got: list[bytes] = []
    ended_at = 0.0
    async with running_system(tmp_path) as system:
        client = await system.client("sts", identity="order")

        async def hold() -> None:
            nonlocal ended_at
            assert await client.follow("/revocations", got.append, limit=1000) == 200
            ended_at = trio.current_time()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold)
            await trio.sleep(3)
            stopped_at = trio.current_time()
            system.stop.set()
    assert len(got) == 2
    assert 0 <= ended_at - stopped_at < 1
    assert trio.current_time() - stopped_at < 1
    log = capsys.readouterr().err
    assert "connections-cut" not in log


async def test_services_that_start_before_the_token_service_do_not_wait_for_it(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    network = MemoryNetwork()
    start = trio.current_time()
    late = Config(admin=AdminConfig(listen="127.0.0.1:9401"))
    others = ["inventory", "order", "gateway"]
    async with running_system(tmp_path, services=others, network=network) as early:
        assert trio.current_time() - start <= 2 * START
        assert (await early.request("order", "GET", "/order/1")).status == 404
        await trio.sleep(30)
        async with running_system(tmp_path, config=late, services=["sts"], network=network) as sts:
            await trio.sleep(LAST_RETRY + 0.1)
            token = await sts.token("alice-app")
            jwt = await exchange(sts, token)
            assert await status(early, "order", jwt) == 200
            await revoke(sts, token)
            await trio.sleep(T_STREAM)
            assert await status(early, "order", jwt) == 401


async def test_only_certificates_of_the_table_may_follow(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        for identity in (None, "inventory"):
            answer = await system.request("sts", "GET", "/revocations", identity=identity)
            assert (answer.status, answer.content) == (403, b"")
        answer = await system.request("sts", "HEAD", "/revocations", identity="order")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
