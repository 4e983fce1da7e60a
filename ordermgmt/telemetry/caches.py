"""How often something was found in a cache, and how full the cache is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ordermgmt.telemetry.metrics import Figure

__all__ = ["Lookups"]


class Lookups:
    """The lookups of one cache, of which `size` tells how many entries it has."""

    def __init__(self, cache: str, size: Callable[[], int]) -> None:
        self._cache = cache
        self._size = size
        self._hits = 0
        self._misses = 0

    def count(self, *, found: bool) -> None:
        """Count one."""
        if found:
            self._hits += 1
        else:
            self._misses += 1

    async def figures(self) -> Sequence[Figure]:
        """Return hits, misses and size. A `Meter`."""
        labels = {"cache": self._cache}
        meaning = "Lookups in a cache."
        return (
            Figure("ordermgmt_cache_lookups_total", "counter", meaning, self._hits, {**labels, "result": "hit"}),
            Figure("ordermgmt_cache_lookups_total", "counter", meaning, self._misses, {**labels, "result": "miss"}),
            Figure("ordermgmt_cache_entries", "gauge", "Entries of a cache.", self._size(), labels, together="sum"),
        )
