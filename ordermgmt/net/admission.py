"""Who gets one of a listener's connections when they are scarce."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Admission", "Crowd", "Verdict", "address_key", "decide"]

Member = TypeVar("Member")


@dataclass(frozen=True, slots=True)
class Crowd:
    """The connections of one client address: how many, and since when the longest idle one is so (None: none is)."""

    count: int
    idle_since: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a new connection is let in, and at which address the longest idle one ends for it."""

    admitted: bool
    ends_at: str | None = None


def decide(newcomer: str, crowds: Mapping[str, Crowd], *, total: int, per_address: int) -> Verdict:
    """Decide on a new connection from the address `newcomer`.

    A full address makes room for itself. When all are taken, the address with the most connections that has an idle one
    gives it up, and among equals the one that is idle longest; but nobody gives way to an address that has more.
    """
    own = crowds.get(newcomer, Crowd(0, None))
    if own.count >= per_address:
        return Verdict(own.idle_since is not None, None if own.idle_since is None else newcomer)
    if sum(crowd.count for crowd in crowds.values()) < total:
        return Verdict(admitted=True)
    givers = [
        (-crowd.count, crowd.idle_since, address)
        for address, crowd in crowds.items()
        if crowd.idle_since is not None and crowd.count >= own.count
    ]
    return Verdict(admitted=True, ends_at=min(givers)[2]) if givers else Verdict(admitted=False)


class Admission(Generic[Member]):
    """Who is connected from where, and who of them is idle since when.

    `admit` is quick while there is room. When there is none it looks once at every address, not at every connection.
    """

    def __init__(self, total: int, per_address: int) -> None:
        self._total = total
        self._per_address = per_address
        self._members: dict[Member, str] = {}
        self._counts: defaultdict[str, int] = defaultdict(int)
        # In the order in which they became idle, as time is only ever later.
        self._idle: defaultdict[str, dict[Member, float]] = defaultdict(dict)

    def admit(self, address: str) -> tuple[bool, Member | None]:
        """Tell whether one more may come from `address`, and who has to go for it."""
        if len(self._members) < self._total and self._counts.get(address, 0) < self._per_address:
            return True, None
        verdict = decide(address, self._crowds(), total=self._total, per_address=self._per_address)
        return verdict.admitted, None if verdict.ends_at is None else next(iter(self._idle[verdict.ends_at]))

    def spare(self) -> Member | None:
        """Return who goes when there is no room for a reason of our own: too many files are open."""
        verdict = decide("", self._crowds(), total=0, per_address=1)
        return None if verdict.ends_at is None else next(iter(self._idle[verdict.ends_at]))

    def enter(self, member: Member, address: str, now: float) -> None:
        """Count a new connection, which is idle."""
        self._members[member] = address
        self._counts[address] += 1
        self._idle[address][member] = now

    def busy(self, member: Member) -> None:
        """Note that a request is in flight."""
        if member in self._members:
            self._idle[self._members[member]].pop(member, None)

    def idle(self, member: Member, now: float) -> None:
        """Note that none is."""
        if member in self._members:
            self._idle[self._members[member]][member] = now

    def leave(self, member: Member) -> None:
        """Forget a connection. One that left already may leave again."""
        address = self._members.pop(member, None)
        if address is None:
            return
        self._idle[address].pop(member, None)
        self._counts[address] -= 1
        if not self._counts[address]:
            del self._counts[address], self._idle[address]

    def _crowds(self) -> Mapping[str, Crowd]:
        return {
            address: Crowd(count, next(iter(self._idle[address].values()), None))
            for address, count in self._counts.items()
        }


def address_key(host: str) -> str:
    """Return what one client surely owns: an IPv4 address, or an IPv6 network of /64."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
