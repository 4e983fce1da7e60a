"""The credential of a running service: one value, checked before it is used, and swapped as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ordermgmt.errors import StartError
from ordermgmt.security.tls import Credential
from ordermgmt.supervision.bells import Bell
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.threads import Threads

__all__ = ["Credentials"]

T = TypeVar("T")

_log = get_logger("security")


class Credentials:
    """The credential that is used now, and all that was made from it. `load` reads one; it blocks.

    Whoever needs an SSLContext asks `derive` for it once and calls what that returns at every use. `swapped` is rung
    when there is a new credential.
    """

    def __init__(self, load: Callable[[], Credential]) -> None:
        self.swapped = Bell()
        self._load = load
        self._current = load()
        self._derived: list[_Derived[Any]] = []

    @property
    def current(self) -> Credential:
        """The credential that is used now."""
        return self._current

    def derive(self, make: Callable[[Credential], T]) -> Callable[[], T]:
        """Return a function that gives what `make` makes of the current credential, the same until the next swap.

        Raises what `make` raises now. Later StartError from it keeps the last good credential in use.
        """
        derived = _Derived(make, make(self._current))
        self._derived.append(derived)
        return derived.get

    async def keep_fresh(self, bell: Bell, heard: int, threads: Threads) -> None:
        """Read the files again at every ring of `bell` after the first `heard` ones, until cancelled."""
        while True:
            heard = await bell.hear(heard)
            await self.reload(threads)

    async def reload(self, threads: Threads) -> bool:
        """Read the files again, and use what they hold if all of it is good; tell whether it was.

        Otherwise nothing changes, and the log says why.
        """
        name = self._current.name
        try:
            new, made = await threads.run(self._prepare)
        except StartError as error:
            _log.error("certificate-not-swapped", certificate=name, reason=str(error))
            return False
        if new == self._current:
            return True
        self._current = new
        for derived, value in zip(self._derived, made, strict=True):
            derived.value = value
        self.swapped.ring()
        _log.info(
            "certificate-swapped",
            certificate=name,
            serial=f"{new.certificate.serial_number:x}",
            until=f"{new.certificate.not_valid_after_utc:%Y-%m-%d}",
            authorities=len(new.authorities),
        )
        return True

    def _prepare(self) -> tuple[Credential, list[Any]]:
        """Read a credential, and try whether everything can be made of it."""
        new = self._load()
        return new, [] if new == self._current else [derived.make(new) for derived in self._derived]


class _Derived(Generic[T]):
    def __init__(self, make: Callable[[Credential], T], value: T) -> None:
        self.make = make
        self.value = value

    def get(self) -> T:
        return self.value
