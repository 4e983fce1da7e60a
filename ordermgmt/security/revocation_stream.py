"""Following the revocations of an issuer over a held connection."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

import msgspec
import trio

from ordermgmt.net.outbound import HttpClient, Interrupted, Unreachable
from ordermgmt.security.revocations import MAX_LINE, RevocationLine, Revocations
from ordermgmt.telemetry.logs import get_logger

__all__ = ["REVOCATIONS", "SILENCE", "STREAMS", "follow"]

REVOCATIONS = "revocations"
"""What is asked of an issuer, as the name of that edge."""
STREAMS = 2
"""Connections for a stream: one is held, and one that was cut may still be closing."""
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
    follower = _Follower(revocations, http, target)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.run)
        with trio.move_on_after(START):
            await follower.first.wait()
        task_status.started()


class _Follower:
    """`first` is set when there is news, or there was no use in waiting for it."""

    def __init__(self, revocations: Revocations, http: HttpClient, target: str) -> None:
        self.first = trio.Event()
        self._revocations = revocations
        self._http = http
        self._target = target
        self._complaint = "nothing was heard yet"
        self._retry = FIRST_RETRY
        self._began_at = trio.current_time()

    async def run(self) -> None:
        while True:
            self._began_at = trio.current_time()
            reason = await self._follow()
            self.first.set()
            if not reason and self._has_lasted():
                continue
            reason = reason or "the stream ended at once"
            if reason != self._complaint:
                self._complaint = reason
                _log.warning("revocations-not-followed", issuer=self._revocations.issuer, reason=reason)
            await trio.sleep(self._retry)
            self._retry = min(self._retry * 2, LAST_RETRY)

    def _has_lasted(self) -> bool:
        """Tell whether the stream is more than one that ends at once, as that of a server which drains does."""
        return trio.current_time() > self._began_at + FIRST_RETRY

    async def _follow(self) -> str:
        """Follow one answer to its end. Return why it ended before its time, or nothing."""
        mark = "&" if "?" in self._target else "?"
        place = f"epoch={quote(self._revocations.epoch, safe='')}&after={self._revocations.sequence}"
        with trio.CancelScope(deadline=trio.current_time() + SILENCE) as patience:

            def take(data: bytes) -> None:
                self._take(_decoder.decode(data))
                patience.deadline = trio.current_time() + SILENCE

            try:
                status = await self._http.follow(
                    f"{self._target}{mark}{place}", take, headers=[("accept", "application/x-ndjson")], limit=MAX_LINE
                )
            except (Unreachable, Interrupted) as error:
                return str(error)
            except msgspec.DecodeError as error:
                return f"not a line of revocations: {error}"
            return "" if status == HTTPStatus.OK else f"the answer is {status}"
        return f"nothing was heard for {SILENCE:g} s"

    def _take(self, line: RevocationLine) -> None:
        self._revocations.apply(line)
        if self._has_lasted():
            self._retry = FIRST_RETRY
        if not line.more:
            self.first.set()
            if self._complaint:
                self._complaint = ""
                _log.info("revocations-followed", issuer=self._revocations.issuer, sequence=line.sequence)
