"""What a running service is told besides when to end: that something which it keeps in memory is to be changed."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

__all__ = ["Bell", "Bells"]


class Bell:
    """Rung by one, heard by any number; rings that come faster than somebody listens are heard as one."""

    def __init__(self) -> None:
        self._rings = 0
        self._rung = trio.Event()

    @property
    def rings(self) -> int:
        """How often it was rung: what `hear` takes."""
        return self._rings

    def ring(self) -> None:
        """Ring it. Does not block, and needs nobody to listen."""
        self._rings += 1
        self._rung.set()
        self._rung = trio.Event()

    async def hear(self, heard: int) -> int:
        """Wait until it was rung more than `heard` times, and return how often it was. Cancel-safe."""
        if self._rings == heard:
            await self._rung.wait()
        else:
            await trio.lowlevel.checkpoint()
        return self._rings


@dataclass(frozen=True, slots=True)
class Bells:
    """The bells of one suite."""

    certificates: Bell = field(default_factory=Bell)
    """The files of certificates and keys are to be read again."""
    signing_keys: Bell = field(default_factory=Bell)
    """A new signing key is to be published."""
