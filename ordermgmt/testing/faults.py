"""Faults of the memory network: plain functions of it and the address of whoever is hard to reach.

Those that last are blocks and end with them. Connections to the address are meant, old and new, whoever made them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from ordermgmt.net import Address
from ordermgmt.testing.memory import MemoryNetwork, Road
from ordermgmt.testing.memory_stream import Way

__all__ = ["Direction", "cut", "delay", "lose", "refuse", "stall"]

Direction = Literal["requests", "answers"]
"""Bytes to the address, or from there."""


def cut(network: MemoryNetwork, address: Address) -> None:
    """Reset all connections; bytes under way are lost."""
    for stream in list(network.road(address).streams.values()):
        stream.reset()


@contextmanager
def refuse(network: MemoryNetwork, address: Address) -> Iterator[None]:
    """Refuse new connections; those that there are go on."""
    road = network.road(address)
    road.closed = True
    try:
        yield
    finally:
        road.closed = False


@contextmanager
def delay(network: MemoryNetwork, address: Address, direction: Direction, seconds: float) -> Iterator[None]:
    """Let bytes that are sent inside the block arrive so many seconds later, also when it is over by then."""
    way = _way(network.road(address), direction)
    way.delay = seconds
    try:
        yield
    finally:
        way.delay = 0.0


@contextmanager
def stall(network: MemoryNetwork, address: Address, direction: Direction) -> Iterator[None]:
    """Let nothing arrive inside the block; it arrives afterwards."""
    road = network.road(address)
    way = _way(road, direction)
    way.stalled = True
    try:
        yield
    finally:
        way.stalled = False
        for stream in list(road.streams.values()):
            stream.wake()


@contextmanager
def lose(network: MemoryNetwork, address: Address, direction: Direction) -> Iterator[None]:
    """Lose what is sent inside the block. All connections are cut in the end: what came next would make no sense."""
    way = _way(network.road(address), direction)
    way.lossy = True
    try:
        yield
    finally:
        way.lossy = False
        cut(network, address)


def _way(road: Road, direction: Direction) -> Way:
    return road.requests if direction == "requests" else road.answers
