"""How many wrong passwords are too many: a function of what was counted and an explicit time.

An attempt is counted before its password is looked at, so that attempts made at once do not slip through together, and
is taken back when the password was right. Attempts that have to wait are not counted: whoever goes on knocking makes
nobody wait longer.

- `Doubling` counts one account from one place, an address or a browser: after five wrong passwords the wait doubles
  with each, up to a quarter of an hour.
- `Leaking` counts one account from all addresses, and one address for all accounts: a hundred at once, then one for
  each that has leaked out.

A browser in which the user has logged in before has its own `Doubling` and is counted nowhere else, so nobody can keep
a user out of there. An address from which the user has logged in before is spared the account's `Leaking`.

So one address can guess at one account 15 times in the first quarter of an hour and then 96 times a day, at all
accounts 100 times and then 8,640 times a day; all the world together at one account 100 times, then 1,440 times a day.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "PER_ACCOUNT",
    "PER_ADDRESS",
    "PER_PAIR",
    "Doubling",
    "Leaking",
    "Limit",
    "Place",
    "Tally",
    "limits_on",
    "wait",
]


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted, and when that was (seconds since 1970)."""

    count: float = 0.0
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Doubling:
    """After `free` attempts each one doubles the wait, from 1 to `longest` seconds, until `forget` seconds go by."""

    free: int
    longest: int
    forget: int

    def wait(self, tally: Tally, now: float) -> float:
        """Return the seconds until the next attempt may be made."""
        count = self._count(tally, now)
        if count < self.free:
            return 0.0
        doublings = min(count - self.free, 30.0)
        return max(tally.at + min(math.exp2(doublings), self.longest) - now, 0.0)

    def charge(self, tally: Tally, now: float) -> Tally:
        """Count an attempt."""
        return Tally(self._count(tally, now) + 1, max(now, tally.at))

    def refund(self, tally: Tally, now: float) -> Tally:  # noqa: ARG002 - as Leaking has it
        """Take back an attempt whose password was right: the wrong ones before it were slips."""
        return Tally(0.0, tally.at)

    def kept_until(self, tally: Tally) -> int:
        """Return when the tally says nothing any more."""
        return math.ceil(tally.at) + self.forget

    def _count(self, tally: Tally, now: float) -> float:
        return tally.count if now < tally.at + self.forget else 0.0


@dataclass(frozen=True, slots=True)
class Leaking:
    """At most `most` attempts at once; each leaks out in `period` seconds."""

    most: int
    period: int

    def wait(self, tally: Tally, now: float) -> float:
        """Return the seconds until the next attempt may be made."""
        return max((self._level(tally, now) - (self.most - 1)) * self.period, 0.0)

    def charge(self, tally: Tally, now: float) -> Tally:
        """Count an attempt."""
        return Tally(self._level(tally, now) + 1, max(now, tally.at))

    def refund(self, tally: Tally, now: float) -> Tally:
        """Take back an attempt whose password was right."""
        return Tally(max(self._level(tally, now) - 1, 0.0), max(now, tally.at))

    def kept_until(self, tally: Tally) -> int:
        """Return when the tally says nothing any more."""
        return math.ceil(tally.at + tally.count * self.period)

    def _level(self, tally: Tally, now: float) -> float:
        return max(tally.count - max(now - tally.at, 0.0) / self.period, 0.0)


Limit = Doubling | Leaking

PER_PAIR = Doubling(free=5, longest=900, forget=86400)
PER_ADDRESS = Leaking(most=100, period=10)
PER_ACCOUNT = Leaking(most=100, period=60)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attempt comes from: an address (IPv6: a network of /64), and the cookie of a browser, if it has one."""

    address: str
    browser: str = ""


def limits_on(account: str, place: Place, *, known_browser: bool, known_address: bool) -> Mapping[str, Limit]:
    """Return the limits that an attempt is counted against, by key.

    `account` is the name as typed, whether there is such a user or not. Keys are digests: people type their password
    where the name goes. What is known is where this account has logged in before.
    """
    if known_browser and place.browser:
        return {_key("browser", account, place.browser): PER_PAIR}
    limits: dict[str, Limit] = {
        _key("pair", account, place.address): PER_PAIR,
        _key("address", place.address): PER_ADDRESS,
    }
    if not known_address:
        limits[_key("account", account)] = PER_ACCOUNT
    return limits


def wait(limits: Mapping[str, Limit], tallies: Mapping[str, Tally], now: float) -> int:
    """Return the whole seconds that an attempt has to wait; 0 if it may be made now."""
    return math.ceil(max(limit.wait(tallies.get(key, Tally()), now) for key, limit in limits.items()))


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
