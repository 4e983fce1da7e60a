"""Thousands of clients that connect and say nothing: the next one is served, and in the end all of them are let go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest

from tests.faults.attacker import TRANSPORTS, Attacker, Transport
from tests.faults.victims import DRAIN, PROMPT, Victim, Victims

pytestmark = pytest.mark.serial

Moment = Literal["before the handshake", "after the handshake", "without TLS"]

CROWDS: dict[Moment, tuple[Transport, int]] = {
    "before the handshake": ("tls", 5000),
    "after the handshake": ("tls", 500),
    "without TLS": ("plain", 5000),
}
SOURCES = 10
"""Addresses that a crowd comes from."""
PATIENCE = 8.0
"""Seconds that a victim gives each of them: more than it takes to open them all."""
CLOSING = 0.001
"""Seconds for the end of each: about 0.3 ms of a core, which others may want too."""
MEMORY = {"before the handshake": 64 * 1024, "after the handshake": 128 * 1024, "without TLS": 32 * 1024}
"""Bytes that one silent client may cost, with its TLS state."""


def gather(victim: Victim, attacker: Attacker, moment: Moment, size: int) -> None:
    """Connect so many times, while the next client is served."""
    for number in range(size):
        source = f"127.0.0.{2 + number % SOURCES}"
        if moment == "before the handshake":
            attacker.connect_tcp(source)
        else:
            attacker.connect(source=source)
        if not number % 250:
            assert victim.serves(attacker.transport)


def served_after_a_burst(victim: Victim, attacker: Attacker) -> list[bool]:
    """Connect many times at once and wait for nothing; tell of each of the next clients whether it is served."""
    for number in range(1500):
        attacker.start_connecting(f"127.0.0.{2 + number % SOURCES}")
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(victim.serves, [attacker.transport] * 8))


@pytest.mark.slow
@pytest.mark.parametrize("moment", CROWDS)
def test_ours_serves_the_next_client_and_lets_a_silent_crowd_go(moment: Moment, victims: Victims) -> None:
    transport, size = CROWDS[moment]
    with victims.start("ours", patience=PATIENCE) as victim, victim.attacker(transport) as attacker:
        before = victim.resources()
        gather(victim, attacker, moment, size)
        assert victim.serves(transport)
        full = victim.resources()
        # The one that may be missing is that of a next client who was just leaving.
        assert full.descriptors - before.descriptors >= size - 1
        assert (full.memory - before.memory) / size < MEMORY[moment]
        assert attacker.is_cut_off_within(PATIENCE + PROMPT + size * CLOSING)
        assert victim.serves(transport)
        assert victim.resources().descriptors <= before.descriptors + 1


@pytest.mark.slow
def test_ours_ends_when_told_with_a_silent_crowd(victims: Victims) -> None:
    with victims.start("ours", patience=60) as victim, victim.attacker("tls") as attacker:
        gather(victim, attacker, "before the handshake", 5000)
        assert victim.serves("tls")
        victim.terminate()
        assert victim.ended_within(DRAIN + PROMPT + 5000 * CLOSING)
        assert victim.reap() == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_ours_serves_the_next_clients_after_a_burst_of_connections(transport: Transport, victims: Victims) -> None:
    with victims.start("ours", patience=PATIENCE) as victim, victim.attacker(transport) as attacker:
        assert all(served_after_a_burst(victim, attacker))
