"""Logging in: whether a browser's user is who it says, at a pace that makes guessing hopeless."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ordermgmt.clock import Clock
from ordermgmt.errors import NotFound, TooManyRequests
from ordermgmt.ids import Entropy, new_id
from ordermgmt.security.passwords import Passwords
from ordermgmt.storage import Database, Transaction
from ordermgmt.sts import login_store, store
from ordermgmt.sts.mint import token_digest
from ordermgmt.sts.registration import is_user_name
from ordermgmt.sts.sessions import Sessions
from ordermgmt.sts.store import StoredUser
from ordermgmt.sts.throttle import Limit, Place, limits_on, wait

__all__ = ["LoggedIn", "Logins"]


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """What a browser gets for the right password: values for its cookies, new at each login."""

    session: str = field(repr=False)
    browser: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """An attempt that was counted: the user, if there is one, and the limits that it was counted against."""

    user: StoredUser | None
    limits: Mapping[str, Limit]


class Logins:
    """Checks passwords, within the limits of `throttle`."""

    def __init__(
        self, database: Database, sessions: Sessions, passwords: Passwords, entropy: Entropy, clock: Clock
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._passwords = passwords
        self._entropy = entropy
        self._clock = clock

    async def bind_request(self, request_id: str, browser: str) -> str:
        """Bind an authorization request to a browser, by its cookie, and return the cookie: a new one if it had none.

        Raises NotFound("no-such-request") if it is bound to another browser, or waits no more.
        """
        cookie = browser or self.new_browser()
        digest = token_digest(cookie)
        if not await self._database.write(
            lambda transaction: login_store.claim_request(transaction, request_id, digest)
        ):
            raise NotFound("no-such-request", "this request was answered already, or began in another browser")
        return cookie

    def new_browser(self) -> str:
        """Make a cookie for a browser that has none."""
        return new_id(self._entropy, 32)

    async def log_in(
        self, name: str, password: str, *, address: str, browser: str, previous: str = ""
    ) -> LoggedIn | None:
        """Return the new cookies if `password` is that of the user `name`, else None.

        `address` is the client's, `browser` the cookie that it was bound by, `previous` the cookie of a session that
        it has. Cancelled on the way, it counts as a wrong password. Raises TooManyRequests with the seconds to wait,
        or Unavailable if too many passwords are being checked; then nothing was counted.
        """
        place = Place(address, token_digest(browser))
        name = name if is_user_name(name) else ""
        with self._passwords.turn(address) as turn:
            attempt = await self._count(name, place)
            user = attempt.user
            is_right = await turn.verify(user.password_digest if user is not None else None, password)
        if user is None or not is_right or not await self._take_back(attempt, user, place):
            return None
        cookie = self.new_browser()
        try:
            session = await self._sessions.open_session(name, previous, password_digest=user.password_digest)
        except NotFound:
            return None
        await self._database.write(
            lambda transaction: login_store.move_browser(transaction, place.browser, token_digest(cookie))
        )
        return LoggedIn(session, cookie)

    async def _count(self, name: str, place: Place) -> _Attempt:
        """Count the attempt before anything is known of it. Raises TooManyRequests; who waits writes nothing."""
        now = self._clock.now()
        await self._database.read(lambda transaction: _check(transaction, name, place, now))

        def save(transaction: Transaction) -> _Attempt:
            limits = _limits(transaction, name, place, now)
            tallies = login_store.lock_tallies(transaction, limits)
            _refuse(wait(limits, tallies, now))
            counted = {key: limit.charge(tallies[key], now) for key, limit in limits.items()}
            login_store.save_tallies(transaction, limits, counted, int(now))
            return _Attempt(store.find_user(transaction, name), limits)

        return await self._database.write(save)

    async def _take_back(self, attempt: _Attempt, user: StoredUser, place: Place) -> bool:
        """Note that the password was right; False if user or password changed meanwhile."""
        now = self._clock.now()

        def save(transaction: Transaction) -> bool:
            if store.find_user(transaction, user.name) != user:
                return False
            tallies = login_store.lock_tallies(transaction, attempt.limits)
            left = {key: limit.refund(tallies[key], now) for key, limit in attempt.limits.items()}
            login_store.save_tallies(transaction, attempt.limits, left, int(now))
            for digest in (place.browser, _address_digest(place)):
                login_store.add_place(transaction, digest, user.name, int(now))
            return True

        return await self._database.write(save)


def _check(transaction: Transaction, name: str, place: Place, now: float) -> None:
    limits = _limits(transaction, name, place, now)
    _refuse(wait(limits, login_store.find_tallies(transaction, limits), now))


def _limits(transaction: Transaction, name: str, place: Place, now: float) -> Mapping[str, Limit]:
    return limits_on(
        name,
        place,
        known_browser=login_store.is_known_place(transaction, place.browser, name, int(now)),
        known_address=login_store.is_known_place(transaction, _address_digest(place), name, int(now)),
    )


def _refuse(seconds: int) -> None:
    if seconds > 0:
        raise TooManyRequests("too-many-wrong-passwords", "too many wrong passwords", retry_after=seconds)


def _address_digest(place: Place) -> str:
    return token_digest(f"address {place.address}")
