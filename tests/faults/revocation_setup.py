"""A running suite whose tokens are revoked, and somebody who goes on using them to see for how long."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

import msgspec
import trio

from ordermgmt.testing.harness import RunningSystem

STEP = 0.05
"""Seconds between two uses: figures are exact to that."""
FORM = ("content-type", "application/x-www-form-urlencoded")
End = Callable[[], Awaitable[object]]


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


async def revoke(system: RunningSystem, token: str, client_id: str = "alice-app") -> None:
    """Revoke a token of a demo client, which is over when this returns, as far as the token service knows."""
    secret = b64encode(f"{client_id}:{system.secret(client_id)}".encode()).decode()
    client = await system.client("sts")
    answer = await client.request(
        "POST",
        "/oauth2/revoke",
        headers=[FORM, ("authorization", f"Basic {secret}")],
        content=urlencode({"token": token}).encode(),
    )
    assert answer.status == 200, answer.content


async def status(system: RunningSystem, service: str, token: str) -> int:
    """Use a token, and return the status of the answer."""
    return (await system.request(service, "GET", "/order", token=token)).status


async def last_uses(system: RunningSystem, uses: dict[str, str], end: End, seconds: float) -> dict[str, float]:
    """Use tokens, each at the service that it is listed under, and `end` them after a second.

    Return for how many seconds each was accepted from when `end` was done; they are used for so many `seconds`.
    """
    last = dict.fromkeys(uses, 0.0)
    refused = set()
    stop = trio.current_time() + 1 + seconds

    async def use(service: str, token: str) -> None:
        while trio.current_time() < stop:
            if await status(system, service, token) == 200:
                last[service] = trio.current_time()
            else:
                refused.add(service)
            await trio.sleep(STEP)

    async with trio.open_nursery() as nursery:
        for service, token in uses.items():
            nursery.start_soon(use, service, token)
        await trio.sleep(1)
        before = dict(last)
        await end()
        ended_at = trio.current_time()
    assert all(before.values()), "never accepted"
    assert refused == set(uses), "never refused"
    return {service: at - ended_at for service, at in last.items()}
