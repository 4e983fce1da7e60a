"""The guide's story through the whole suite, on the memory network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from ordermgmt.testing.harness import RunningSystem, running_system

SAMPLE = {
    "id": "100500",
    "name": "Sample order",
    "items": [
        {"category": "electronics", "code": "SOWH1000XM4", "qty": 2},
        {"category": "books", "code": "978-1617295959", "qty": 1},
    ],
}
SAMPLE_AS_PRINTED = (
    '{"id":"100500", "name":"Sample order", "items":[{"category":"electronics", "code":"SOWH1000XM4", "qty":2}, '
    '{"category":"books", "code":"978-1617295959", "qty":1}]}'
)
UPDATED = {"name": "Updated order", "items": [{"category": "electronics", "code": "SOWH1000XM4", "qty": 1}]}


async def stock(system: RunningSystem, item: str) -> int:
    answer = await system.request("gateway", "GET", f"/inventory/{item}")
    assert answer.status == 200
    return int(json.loads(answer.content)["qty"])


@pytest.mark.parametrize("way", ["gateway", "order"])
async def test_the_story(way: str, tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path) as system:
        if way == "gateway":
            counter, admin = await system.token("counter-app"), await system.token("admin-app")
            base = "https://localhost:8443"
        else:
            counter, admin = await system.order_token("counter-app"), await system.order_token("admin-app")
            base = "https://localhost:9090"

        async def call(method: str, target: str, token: str | None = None, body: Any = None) -> tuple[int, str]:
            answer = await system.request(way, method, target, token=token, json=body)
            if answer.status == 201:
                assert answer.headers["location"] == f"{base}/order/100500"
            return answer.status, answer.content.decode()

        assert await call("POST", "/order", None, SAMPLE) == (401, "")
        assert await call("POST", "/order", counter, SAMPLE) == (201, '{"status":"Order \'100500\' created."}')
        assert await stock(system, "electronics/SOWH1000XM4") == 73
        assert await stock(system, "books/978-1617295959") == 9
        assert (await call("POST", "/order", counter, SAMPLE))[0] == 409
        assert await call("GET", "/order/100500") == (
            200,
            SAMPLE_AS_PRINTED,
        )
        assert await call("PUT", "/order/100500", None, UPDATED) == (401, "")
        assert await call("PUT", "/order/100500", counter, UPDATED) == (403, "")
        assert await call("PUT", "/order/100500", admin, UPDATED) == (200, '{"status":"Order \'100500\' updated."}')
        assert await stock(system, "electronics/SOWH1000XM4") == 74
        assert await stock(system, "books/978-1617295959") == 10
        assert await call("DELETE", "/order/100500", admin) == (200, '{"status":"Order \'100500\' removed."}')
        assert (await call("GET", "/order/100500"))[0] == 404
        assert await stock(system, "electronics/SOWH1000XM4") == 75
