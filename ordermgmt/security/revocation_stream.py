"""Following the revocations of an issuer over a held connection."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

import msgspec
import trio

from ordermgmt.net.outbound import HttpClient, Interrupted, Unreachable
from ordermgmt.security.revocations import MAX_LINE, RevocationLine, Revocations
from ordermgmt.telemetry.logs import get_logger

__all__ = ["SILENCE", "follow"]

SILENCE = 6.0
"""Seconds without a line after which a connection is taken for dead: three heartbeats of the suite's own STS."""
FIRST_RETRY, LAST_RETRY = 0.25, 2.0
"""Seconds between attempts while there is no stream: doubled from the first to the last."""
START = 1.0
"""Seconds that a start waits for the first news. An issuer that is not there, or silent, holds up nobody for longer."""

_decoder = msgspec.json.Decoder(RevocationLine)
_log = get_logger("security")


async def follow(
    revocations: Revocations,
    http: HttpClient,
    target: str,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Keep `revocations` up to date from the stream at `target` (path and query) until cancelled.

    `started()` means that they are, or that they could not be had within a second. A stream that ends well, as every
    one does after some minutes, is followed on at once.
    """
    async with trio.open_nursery() as nursery:
        first = trio.Event()
        nursery.start_soon(_run, revocations, http, target, first)
        with trio.move_on_after(START):
            await first.wait()
        task_status.started()


async def _run(revocations: Revocations, http: HttpClient, target: str, first: trio.Event) -> None:
    retry, silent = FIRST_RETRY, ""
    while True:
        began_at = trio.current_time()
        reason = await _follow_once(revocations, http, target, first)
        first.set()
        lasted = trio.current_time() - began_at
        if revocations.age < lasted:  # there was news
            retry, silent = FIRST_RETRY, ""
        if not reason and lasted > FIRST_RETRY:
            continue
        if reason != silent:
            silent = reason
            _log.warning("revocations-not-followed", issuer=revocations.issuer, reason=reason)
        await trio.sleep(retry)
        retry = min(retry * 2, LAST_RETRY)


async def _follow_once(revocations: Revocations, http: HttpClient, target: str, first: trio.Event) -> str:
    """Follow one answer to its end. Return why it ended before its time, or nothing."""
    with trio.CancelScope(deadline=trio.current_time() + SILENCE) as patience:

        def take(data: bytes) -> None:
            line = _decoder.decode(data)
            revocations.apply(line)
            patience.deadline = trio.current_time() + SILENCE
            if not line.more:
                first.set()

        mark = "&" if "?" in target else "?"
        place = f"{target}{mark}epoch={quote(revocations.epoch, safe='')}&after={revocations.sequence}"
        try:
            status = await http.follow(place, take, headers=[("accept", "application/x-ndjson")], limit=MAX_LINE)
        except (Unreachable, Interrupted) as error:
            return str(error)
        except msgspec.DecodeError as error:
            return f"not a line of revocations: {error}"
        return "" if status == HTTPStatus.OK else f"the answer is {status}"
    return f"nothing was heard for {SILENCE:g} s"
