"""The verdicts that were written down in tests/vectors, on tokens that nobody can make again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ordermgmt.errors import Unauthenticated
from ordermgmt.security import tokens
from ordermgmt.security.jwk_set import read_key_set
from ordermgmt.security.tokens import TrustedIssuer

FILES = {
    path.stem: json.loads(path.read_bytes()) for path in sorted((Path(__file__).parents[1] / "vectors").glob("*.json"))
}
VECTORS = [
    pytest.param(name, vector, id=f"{name}-{vector['id']}")
    for name, file in FILES.items()
    for vector in file["vectors"]
]


def verdict(name: str, token: str) -> tuple[str, str]:
    file = FILES[name]
    trust = TrustedIssuer(**file["trust"])
    keys = read_key_set(json.dumps(file["jwks"]).encode(), trust.algorithms)
    try:
        tokens.verify(token, keys, trust, file["now"])
    except Unauthenticated as error:
        return "refused", error.code
    return "accepted", ""


@pytest.mark.parametrize(("name", "vector"), VECTORS)
def test_the_verdict_is_still_the_same(name: str, vector: dict[str, Any]) -> None:
    assert verdict(name, vector["token"]) == (vector["verdict"], vector.get("code", "")), vector["comment"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_holds_both_verdicts_and_each_vector_once(name: str) -> None:
    vectors = FILES[name]["vectors"]
    assert {vector["verdict"] for vector in vectors} == {"accepted", "refused"}
    assert [vector["id"] for vector in vectors] == list(range(1, len(vectors) + 1))
    for member in ("comment", "token"):
        assert len({vector[member] for vector in vectors}) == len(vectors)
