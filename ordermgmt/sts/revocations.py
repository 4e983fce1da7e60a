"""The stream of revocations, as a service that holds a connection gets it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import msgspec
import trio

from ordermgmt.errors import Unavailable
from ordermgmt.ids import Entropy, new_id
from ordermgmt.security.revocations import RevocationLine
from ordermgmt.security.tokens import SKEW
from ordermgmt.storage import Database
from ordermgmt.sts import revocation_store
from ordermgmt.sts.revocation_store import Page
from ordermgmt.telemetry.logs import get_logger

__all__ = ["HEARTBEAT", "POLL", "RevocationFeed", "open_feed"]

POLL = 0.25
"""Seconds between two looks at what was revoked, by whatever process: what there is is on its way within it."""
HEARTBEAT = 2.0
"""Seconds between two lines at most. One is sent only after a look that succeeded: it means that nothing happened."""

_log = get_logger("sts")


class RevocationFeed:
    """Tells of revocations. It keeps nothing: each follower reads for itself, at its own pace, from the database.

    `lifetime` is that of a token which can be revoked. Streams end when `drain` is set.
    """

    def __init__(self, database: Database, lifetime: int, drain: trio.Event) -> None:
        self._database = database
        self._keep = lifetime + int(SKEW)
        self._drain = drain

    async def sequence(self) -> int:
        """Return the number of the last revocation. Raises Unavailable."""
        return (await self._database.read(revocation_store.load_log)).last

    async def lines(self, epoch: str, after: int, until: float) -> AsyncIterator[bytes]:
        """Yield lines for somebody who knows `epoch` up to the number `after`, until the time `until` (Trio's clock).

        Whoever knows nothing of what there is gets all of it. While the database cannot be read there is silence.
        """
        said_at, failed = -HEARTBEAT, False
        while True:
            try:
                page = await self._database.read(
                    partial(revocation_store.load_page, epoch=epoch, after=after, keep=self._keep)
                )
            except Unavailable as error:
                if not failed:
                    _log.error("revocations-not-read", reason=str(error))
                failed = True
            else:
                failed = False
                now = trio.current_time()
                if (page.log.epoch, page.sequence) != (epoch, after) or page.more or now >= said_at + HEARTBEAT:
                    epoch, after, said_at = page.log.epoch, page.sequence, now
                    yield self._line(page)
                if page.more:
                    continue
            if self._drain.is_set() or trio.current_time() >= until:
                return
            with trio.move_on_at(min(until, trio.current_time() + POLL)):
                await self._drain.wait()

    def _line(self, page: Page) -> bytes:
        line = RevocationLine(
            page.log.epoch, page.sequence, self._keep, page.log.not_before, page.revoked, more=page.more
        )
        return msgspec.json.encode(line) + b"\n"


async def open_feed(database: Database, entropy: Entropy, lifetime: int, drain: trio.Event) -> RevocationFeed:
    """Make the feed of a database, whose history of revocations gets a name if it has none. Raises Unavailable."""
    epoch = new_id(entropy)
    await database.write(lambda transaction: revocation_store.start_epoch(transaction, epoch))
    return RevocationFeed(database, lifetime, drain)
