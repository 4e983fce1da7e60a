"""Ending the sessions of browsers whose session at the token service was revoked, as its stream says so."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ordermgmt.errors import OutcomeUnknown, Unavailable
from ordermgmt.gateway.browser_sessions import BrowserSessions
from ordermgmt.security.revocations import Revocations
from ordermgmt.telemetry.logs import get_logger

__all__ = ["end_revoked"]

MAX_LINES = 64
"""Lines of the stream that wait to be written, of 500 ids at most: 8 MB. What one more says is not lost: such a session
ends when its token is refused."""


async def end_revoked(
    sessions: BrowserSessions,
    revocations: Revocations,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """End sessions as they are revoked, until cancelled. `started()`: every revocation from then on counts."""
    send, receive = trio.open_memory_channel[Sequence[str]](MAX_LINES)
    log = get_logger("gateway-sessions")

    def hear(ids: Sequence[str]) -> None:
        try:
            send.send_nowait(ids)
        except trio.WouldBlock:
            log.warning("revocations-not-taken-in", ids=len(ids))

    revocations.listen(hear)
    task_status.started()
    async for ids in receive:
        try:
            await sessions.end_sessions_of(ids)
        except (Unavailable, OutcomeUnknown) as error:
            log.warning("sessions-not-ended", reason=str(error))
