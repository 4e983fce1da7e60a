"""A running suite whose tokens are revoked, and somebody who goes on using them to see for how long."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec
import trio

from ordermgmt.testing.harness import RunningSystem

STEP = 0.05
"""Seconds between two uses: figures are exact to that."""
FORM = ("content-type", "application/x-www-form-urlencoded")


@dataclass
class Used:
    """What became of the uses of a token."""

    last_accepted: float = 0.0
    first_refused: float = 0.0
    statuses: tuple[int, ...] = ()


async def exchange(system: RunningSystem, subject_token: str) -> str:
    """Get the JWT for the order service that the gateway gets for a token."""
    answer = await system.token_request(
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "client_id": "gateway",
            "subject_token": subject_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "audience": "order",
        },
        identity="gateway",
    )
    assert answer.status == 200, answer.content
    return str(msgspec.json.decode(answer.content)["access_token"])


async def revoke(system: RunningSystem, client_id: str, token: str) -> float:
    """Revoke a token of a demo client; return when the answer was there."""
    secret = b64encode(f"{client_id}:{system.secret(client_id)}".encode()).decode()
    client = await system.client("sts")
    answer = await client.request(
        "POST",
        "/oauth2/revoke",
        headers=[FORM, ("authorization", f"Basic {secret}")],
        content=urlencode({"token": token}).encode(),
    )
    assert answer.status == 200, answer.content
    return trio.current_time()


async def status(system: RunningSystem, service: str, token: str) -> int:
    """Use a token, and return the status of the answer."""
    return (await system.request(service, "GET", "/order", token=token)).status


async def use(system: RunningSystem, service: str, token: str, seconds: float) -> Used:
    """Use a token again and again for so long."""
    used = Used()
    end = trio.current_time() + seconds
    while trio.current_time() < end:
        got = await status(system, service, token)
        used.statuses = used.statuses if got in used.statuses else (*used.statuses, got)
        if got == 200:
            used.last_accepted = trio.current_time()
        elif not used.first_refused:
            used.first_refused = trio.current_time()
        await trio.sleep(STEP)
    return used


async def last_uses(
    system: RunningSystem, token: str, jwt: str, end: Callable[[], Awaitable[float]], seconds: float
) -> dict[str, float]:
    """Use `token` at the gateway and `jwt` at the order service, `end` them meanwhile, and return for how long each
    was accepted from then on: in seconds, negative if never again."""
    found: dict[str, float] = {}
    ended_at = 0.0

    async def watch(service: str, used: str) -> None:
        result = await use(system, service, used, seconds)
        assert result.statuses[0] == 200
        assert result.first_refused
        found[service] = result.last_accepted - ended_at

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, "gateway", token)
        nursery.start_soon(watch, "order", jwt)
        await trio.sleep(1)
        ended_at = await end()
    return found
