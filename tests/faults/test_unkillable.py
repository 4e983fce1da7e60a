"""No client can end a server, starve the next client, make it grow or keep it from ending.

The attacks that harm a stock Hypercorn are shown to do so first, and exactly so: when a release of it is cured of one,
the test says it. Every attack comes over plain TCP and over TLS.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Literal

import pytest

from tests.faults import attacks_handshake, attacks_http1, attacks_http2
from tests.faults.attacker import TRANSPORTS, Attacker, Transport
from tests.faults.victims import DRAIN, PATIENCE, PROMPT, Resources, Victim, Victims

pytestmark = pytest.mark.serial

Attack = Callable[[Attacker], None]
Harm = Literal["dies", "starves", "hangs"]

ATTACKS: dict[str, Attack] = {
    name: function
    for module in (attacks_http1, attacks_http2, attacks_handshake)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and list(inspect.signature(function).parameters) == ["attacker"]
}
HARM: dict[str, Harm] = {
    "websocket_frame_with_the_upgrade": "dies",
    "bad_h2c_settings": "dies",
    "data_after_the_answer": "dies",
    "path_that_is_not_ascii": "dies",
    "method_that_is_not_ascii": "dies",
    "connect_without_a_path": "dies",
    "priority_flood": "dies",
    "not_reading": "hangs",
    "pipelining_without_reading": "hangs",
    "not_reading_frames": "hangs",
}
"""What an attack does to a stock Hypercorn: its process ends, the next client waits in vain, or SIGTERM fails."""
GROWTH = 80 * 1024 * 1024
"""Bytes that a victim may grow by: eight answers of 4 MiB that nobody takes, twice each, and a quarter for the rest."""
HOLDING = (
    "half_a_request",
    "not_reading",
    "pipelining_without_reading",
    "silence",
    "silence_after_a_request",
    "silence_after_the_client_hello",
    "slow_body",
    "slow_client_hello",
    "slow_head",
    "not_reading_frames",
    "slow_body_of_a_stream",
    "slow_preface",
    "window_that_stays_shut",
)
"""Attacks that keep a connection for as long as they are let."""
GOING_ON = ("not_reading", "slow_head", "slow_body", "pipelining", "tiny_chunks", "slow_client_hello", "ping_flood")
"""Attacks that last."""


def run(attack: Attack, attacker: Attacker) -> None:
    with suppress(OSError):  # the server has cut it off, which is what it should do
        attack(attacker)
    assert attacker.connections


@contextmanager
def attackers(victim: Victim) -> Iterator[list[Attacker]]:
    with ExitStack() as stack:
        yield [stack.enter_context(victim.attacker(transport)) for transport in TRANSPORTS]


def serve_during(victim: Victim, attacks: Sequence[tuple[Attack, Attacker]]) -> Resources:
    """Attack, and be the next client all the while; return the most that the victim has held."""
    most = victim.resources()
    with ThreadPoolExecutor(len(TRANSPORTS)) as pool:
        running = [pool.submit(run, attack, attacker) for attack, attacker in attacks]
        while not all(attack.done() for attack in running):
            for transport in TRANSPORTS:
                assert victim.serves(transport), transport
            most = Resources(*map(max, most, victim.resources()))
        for attack in running:
            attack.result()
    return most


def is_released_within(seconds: float, victim: Victim, before: Resources) -> bool:
    """Be the next client until the victim has as few descriptors as before: a client that does not read sees no end."""
    end = time.monotonic() + seconds
    while victim.resources().descriptors > before.descriptors:
        if time.monotonic() > end or not victim.serves("plain"):
            return False
    return True


@pytest.mark.parametrize("name", HARM)
def test_the_attack_harms_a_stock_hypercorn(name: str, victims: Victims) -> None:
    with ExitStack() as stack:
        harmed: list[tuple[Transport, Victim]] = []
        for transport in TRANSPORTS:
            victim = stack.enter_context(victims.start("stock"))
            run(ATTACKS[name], stack.enter_context(victim.attacker(transport)))
            harmed.append((transport, victim))
        found: dict[Transport, set[Harm]] = {transport: set() for transport in TRANSPORTS}
        for transport, victim in harmed:
            if victim.ended_within(0.1):
                found[transport].add("dies")
            elif not victim.serves(transport):
                found[transport].add("starves")
            victim.terminate()
        end = time.monotonic() + DRAIN + PROMPT
        for transport, victim in harmed:
            if not victim.ended_within(max(end - time.monotonic(), 0)):
                found[transport].add("hangs")
        assert found == {transport: {HARM[name]} for transport in TRANSPORTS}


@pytest.mark.parametrize("name", ATTACKS)
def test_ours_serves_the_next_client_and_ends_when_told(name: str, victims: Victims) -> None:
    with victims.start("ours") as victim:
        before = victim.resources()
        with attackers(victim) as both:
            most = serve_during(victim, [(ATTACKS[name], attacker) for attacker in both])
            assert all(victim.serves(transport) for transport in TRANSPORTS)
            assert most.memory - before.memory < GROWTH
            # Two for the next client: a connection that it has just closed, and the one that it has.
            assert most.descriptors - before.descriptors <= sum(attacker.connections for attacker in both) + 2
            victim.terminate()
            assert victim.ended_within(DRAIN + PROMPT)
        assert victim.reap() == 0
        assert "Traceback" not in victim.log.read_text()


@pytest.mark.parametrize("name", HOLDING)
def test_ours_lets_nobody_hold_a_connection(name: str, victims: Victims) -> None:
    with victims.start("ours") as victim, attackers(victim) as both, ThreadPoolExecutor(2) as pool:
        before = victim.resources()
        list(pool.map(partial(run, ATTACKS[name]), both))
        assert is_released_within(3 * PATIENCE + PROMPT, victim, before)


def test_ours_ends_when_told_in_the_middle_of_attacks(victims: Victims) -> None:
    going_on = [ATTACKS[name] for name in GOING_ON]
    with victims.start("ours") as victim, attackers(victim) as both, ThreadPoolExecutor(len(going_on) * 2) as pool:
        running = [pool.submit(run, attack, attacker) for attack in going_on for attacker in both]
        assert victim.serves("tls")
        victim.terminate()
        assert victim.ended_within(DRAIN + PROMPT)
        assert victim.reap() == 0
        for attack in running:
            attack.result()


@pytest.mark.slow
def test_ours_holds_against_every_attack_in_a_row(victims: Victims) -> None:
    with victims.start("ours") as victim:
        before = victim.resources()
        with ExitStack() as stack:
            attacks = [
                (attack, stack.enter_context(victim.attacker(transport)))
                for attack in ATTACKS.values()
                for transport in TRANSPORTS
            ]
            most = serve_during(victim, attacks)
        assert most.memory - before.memory < 2 * GROWTH
        assert is_released_within(5, victim, before)
        victim.terminate()
        assert victim.ended_within(DRAIN + PROMPT)
        assert victim.reap() == 0
