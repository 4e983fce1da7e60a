"""A rolling update and a scale-out without a cluster: replicas are exchanged one by one while orders come in."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
import trio

from ordermgmt.config import SuiteConfig
from tests.crash.books import PostgresBooks
from tests.crash.registration import register
from tests.system.cluster import SERVICES, Cluster, Replica
from tests.system.processes import run_module
from tests.system.steady_load import ITEM, SteadyLoad

DRAIN_DELAY = 1.0
STOCK = 1_000_000
WITHIN = 150.0
"""Seconds; it takes about 30."""


async def token(cluster: Cluster, http: httpx.AsyncClient, client: str, secret: str) -> str:
    form = {"grant_type": "client_credentials"}
    url = f"{cluster.urls('sts')[0]}/oauth2/token"
    answer = await http.post(url, data=form, auth=(client, secret), extensions={"sni_hostname": "localhost"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def start(cluster: Cluster, replicas: Sequence[Replica]) -> None:
    async with trio.open_nursery() as nursery:
        for replica in replicas:
            nursery.start_soon(cluster.start, replica)


async def roll(cluster: Cluster, service: str) -> None:
    """Exchange the two replicas of a service: a new one starts, then an old one is told to stop, as a cluster does."""
    one, two, spare = cluster.replicas[service]
    for old, new in ((one, spare), (two, one)):
        await cluster.start(new)
        assert await cluster.end(old, signal.SIGTERM) == 0, cluster.log(old)


def restock(cluster: Cluster) -> None:
    changes = {"ORDERMGMT_SUITE_DATABASE": cluster.dsn}
    done = run_module(cluster.folder, "inventory", "restock", *ITEM, str(STOCK), changes=changes)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
async def test_no_request_fails_while_all_replicas_are_exchanged(
    tmp_path: Path, postgres_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = await register(SuiteConfig(database=postgres_dsn), tmp_path, "shop")
    with Cluster(tmp_path, postgres_dsn, drain_delay=DRAIN_DELAY) as cluster, trio.fail_after(WITHIN):
        begin = trio.current_time()
        await start(cluster, [one for service in SERVICES for one in cluster.replicas[service][:2]])
        await trio.to_thread.run_sync(restock, cluster)
        ca_file = tmp_path / "authority" / "ca.pem"
        async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=ca_file), trust_env=False) as http:
            opaque = await token(cluster, http, secret.client_id, secret.secret)
        load = SteadyLoad(cluster.urls("gateway"), opaque, ca_file)
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run, stop)
            async with trio.open_nursery() as rolling:
                for service in SERVICES:
                    rolling.start_soon(roll, cluster, service)
            updated = len(load.created)
            failed_by_update = list(load.failed)

            # now the third of each: every address answers
            await start(cluster, [cluster.replicas[service][1] for service in ("order", "gateway")])
            scaled = [url for url in cluster.urls("gateway") if load.by_address[url]]

            kills = []
            for service in SERVICES:
                victim = cluster.replicas[service][2]
                told = trio.current_time()
                assert await cluster.end(victim, signal.SIGKILL) == -signal.SIGKILL
                kills.append((told, trio.current_time()))  # until then the kernel lets it have connections
                await cluster.start(victim)
            stop.set()
        seconds = trio.current_time() - begin
        killed = load.failed[len(failed_by_update) :]
        books = PostgresBooks(postgres_dsn)
        with capsys.disabled():
            print(  # noqa: T201 - what it is for
                f"\n{len(load.created)} orders in {seconds:.0f} s by {len(scaled)} gateways; eight replicas exchanged"
                f" by SIGTERM under {updated} of them: {len(failed_by_update)} failed; four killed under the others:"
                f" {sum(one.first for one in killed)} failed and were sent {len(killed)} times more;"
                f" {load.skipped} times the next address was taken"
            )
        assert failed_by_update == []
        assert updated > 100
        assert len(scaled) == 3
        # Only what was in flight when something was killed.
        assert [
            one for one in killed if one.first and not any(one.began <= end and one.ended >= at for at, end in kills)
        ] == []
        assert sorted(books.orders()) == sorted(load.created)
        assert len(set(load.created)) == len(load.created)
        assert books.unfinished() == []
        assert books.contradictions() == []
        assert books.stock()[ITEM].qty == 10 + STOCK - len(load.created)
