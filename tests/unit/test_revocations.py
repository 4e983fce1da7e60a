"""What a service remembers of revocations, and which tokens it takes while it cannot know."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from ordermgmt.errors import Unauthenticated, Unavailable
from ordermgmt.security import revocations as module
from ordermgmt.security.keys import FixedKeys
from ordermgmt.security.revocations import CLOSED_AFTER, YOUNG, RevocationLine, Revocations, figures
from ordermgmt.security.verifier import TokenVerifier
from tests.unit.jose_setup import KEYS, NOW, TRUST, claims, header, sign

NONE: frozenset[str] = frozenset()


class Clock:
    time = float(NOW)

    def now(self) -> float:
        return self.time


def line(sequence: int = 1, *revoked: str, keep: int = 90, not_before: int = 0, more: bool = False) -> RevocationLine:
    return RevocationLine("e", sequence, keep, not_before, revoked, more=more)


def view_of(clock: Clock) -> Revocations:
    return Revocations(TRUST.issuer, clock.now)


@pytest.mark.parametrize("claim", [{"sid": "x"}, {"jti": "x"}, {"revocable_by": ["f", "x"]}])
async def test_each_id_of_a_token_ends_it_though_its_signature_is_remembered(claim: dict[str, object]) -> None:
    clock = Clock()
    view = view_of(clock)
    verifier = TokenVerifier([(TRUST, FixedKeys([KEYS["ES256"]]))], clock, {TRUST.issuer: view})
    token, other = sign(header(), claims(**claim)), sign(header(), claims(sid="y", revocable_by=["g"]))
    view.apply(line(0))
    for each in (token, other):
        await verifier.verify(each)
    view.apply(line(1, "x"))
    with pytest.raises(Unauthenticated, match="revoked"):
        await verifier.verify(token)
    assert (await verifier.verify(other)).sub == "alice"


async def test_issuers_without_a_stream_are_as_they_were() -> None:
    clock = Clock()
    view = Revocations("https://another.example", clock.now)
    view.apply(line(1, "x", not_before=int(NOW) + 1000))
    verifier = TokenVerifier([(TRUST, FixedKeys([KEYS["ES256"]]))], clock, {view.issuer: view})
    clock.time += 50
    assert (await verifier.verify(sign(header(), claims(sid="x", iat=NOW - 500)))).sub == "alice"


@pytest.mark.parametrize(
    ("silence", "age", "taken"),
    [
        (0, 10_000, True),
        (CLOSED_AFTER, 10_000, True),
        (CLOSED_AFTER + 0.1, 10_000, False),
        (CLOSED_AFTER + 0.1, YOUNG + 0.1, False),
        (CLOSED_AFTER + 0.1, YOUNG, True),
        (10_000, YOUNG, True),
        (10_000, YOUNG + 0.1, False),
    ],
)
def test_without_news_only_young_tokens_are_taken(silence: float, age: float, taken: bool) -> None:  # noqa: FBT001
    clock = Clock()
    view = view_of(clock)
    view.apply(line(1, "x"))
    clock.time += silence
    if taken:
        view.check(NONE, clock.time - age, clock.time)
    else:
        with pytest.raises(Unavailable, match="revocations-unknown") as refused:
            view.check(NONE, clock.time - age, clock.time)
        assert refused.value.retry_after
    with pytest.raises(Unauthenticated):
        if silence < 90:
            view.check(frozenset({"x"}), clock.time - age, clock.time)
        else:
            raise Unauthenticated("forgotten")


def test_before_the_first_news_and_within_a_snapshot_only_young_tokens_are_taken() -> None:
    clock = Clock()
    view = view_of(clock)
    view.check(NONE, NOW - YOUNG, NOW)
    with pytest.raises(Unavailable):
        view.check(NONE, NOW - YOUNG - 1, NOW)
    view.apply(line(1, "x", more=True))
    with pytest.raises(Unavailable):
        view.check(NONE, NOW - YOUNG - 1, NOW)
    with pytest.raises(Unauthenticated):
        view.check(frozenset({"x"}), NOW, NOW)
    view.apply(line(2, "y"))
    view.check(NONE, NOW - YOUNG - 1, NOW)


def test_what_was_issued_before_a_restore_is_over() -> None:
    clock = Clock()
    view = view_of(clock)
    view.apply(line(1, not_before=int(NOW)))
    view.apply(line(2, not_before=0))
    view.check(NONE, NOW, NOW)
    with pytest.raises(Unauthenticated):
        view.check(NONE, NOW - 1, NOW)


def test_ids_are_forgotten_in_time() -> None:
    clock = Clock()
    view = view_of(clock)
    view.apply(line(2, "a", "b"))
    clock.time += 10
    view.apply(line(4, "b", "c"))  # b again: it counts as new
    clock.time += 80
    view.apply(line(4))
    assert view.count == 2
    view.check(frozenset({"a"}), NOW, clock.time)
    clock.time += 10
    view.apply(line(4))
    assert view.count == 0
    view.check(frozenset({"b"}), NOW, clock.time)


def test_while_a_forgotten_id_would_matter_only_young_tokens_are_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "MAX_IDS", 3)
    clock = Clock()
    view = view_of(clock)
    view.apply(line(3, "a", "b", "c"))
    view.check(NONE, NOW - YOUNG - 1, NOW)
    clock.time += 10
    view.apply(line(4, "a", "d"))  # a again: b is the oldest now
    view.apply(line(5, "e"))
    assert view.count == 3
    assert "".join(capsys.readouterr()).count("revocations-forgotten") == 1
    for forgotten in (frozenset({"b"}), frozenset({"c"}), NONE):
        view.check(forgotten, NOW, NOW + YOUNG)
        with pytest.raises(Unavailable, match="revocations-unknown"):
            view.check(forgotten, NOW - 1, NOW + YOUNG)
    with pytest.raises(Unauthenticated):
        view.check(frozenset({"d"}), NOW - 1, NOW + YOUNG)
    clock.time += 79
    view.apply(line(5))
    with pytest.raises(Unavailable):
        view.check(NONE, NOW - 1, NOW + YOUNG)
    clock.time += 1
    view.apply(line(5))
    view.check(NONE, NOW - 1, NOW + YOUNG)


@pytest.mark.parametrize(
    "changes", [{"epoch": "e" * 65}, {"sequence": -1}, {"keep": 0}, {"revoked": ["x" * 257]}, {"revoked": ["x"] * 501}]
)
def test_a_line_is_bounded(changes: dict[str, object]) -> None:
    good = {"epoch": "e" * 64, "sequence": 0, "keep": 90, "revoked": ["x" * 256] * 500}
    assert msgspec.json.decode(msgspec.json.encode(good), type=RevocationLine).sequence == 0
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(good | changes), type=RevocationLine)


def test_who_listens_is_told_once_it_is_in_force() -> None:
    view = view_of(Clock())
    told: list[tuple[Sequence[str], bool]] = []

    def listen(ids: Sequence[str]) -> None:
        try:
            view.check(frozenset(ids), NOW, NOW)
        except Unauthenticated:
            told.append((ids, True))

    view.listen(listen)
    view.apply(line(0))
    view.apply(line(2, "a", "b"))
    assert told == [(("a", "b"), True)]


def test_the_figures_are_of_the_first_and_of_the_least_fresh() -> None:
    clock = Clock()
    first, second = view_of(clock), view_of(clock)
    first.apply(line(7, "a"))
    second.apply(line(3, "b", "c"))
    clock.time += 5
    first.apply(line(7))
    assert [figure.value for figure in figures([first, second])] == [7, 5, 3]
    assert figures([]) == ()
