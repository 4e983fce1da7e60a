"""Makes the files next to it: tokens, the public keys that they are checked with, and the verdict on each.

    python -m tests.vectors.make

The private keys are made here and end with the process, so a file is made once and kept: what was good when it was
made must be good for every later version, and what was refused must stay so, under the same code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.contract.unforgeable import claims, encoding, good, issuers, signatures
from tests.contract.unforgeable.forging import Row, Sent, Token
from tests.vectors.edges import Vector, ecdsa, eddsa, rsa, vector

FOLDER = Path(__file__).parent
NOW = 1_767_225_600.0
EACH = 2
"""Rows of a table that are kept for each code: the tables themselves run with fresh keys in every test run."""
ELSEWHERE = ("insufficient-scope", "malformed-credentials", "")
"""Codes that are not the verifier's."""
OF_TWO_ISSUERS = "RIVAL's name in a token of ID"
"""Means something only where both are trusted."""


def file(name: str, about: str, trust: Mapping[str, Any], keys: list[Any], vectors: list[Vector]) -> None:
    numbered = [{"id": number, **members} for number, members in enumerate(vectors, 1)]
    document = {"about": about, "now": NOW, "trust": trust, "jwks": {"keys": keys}, "vectors": numbered}
    (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")


def trust(issuer: str, audience: str, *algorithms: str) -> dict[str, Any]:
    return {"issuer": issuer, "audience": audience, "algorithms": algorithms}


def rows(bases: Mapping[str, Token]) -> Iterator[Vector]:
    """Yield what the tables say of these tokens."""
    for name, base, forge in good.rows():
        if base in bases and isinstance(sent := forge(bases[base]), str):
            yield vector(name, sent)
    kept: dict[tuple[str, str], int] = {}
    tables: list[list[Row]] = [signatures.rows(), encoding.rows(), claims.rows()]
    for row in (row for table in tables for row in table):
        if row.base not in bases or row.code in ELSEWHERE or row.name == OF_TWO_ISSUERS:
            continue
        kept[row.code, row.base] = kept.get((row.code, row.base), 0) + 1
        sent = row.forge(bases[row.base])
        assert not isinstance(sent, Sent)
        if kept[row.code, row.base] <= EACH or row.code in ("unknown-key", "bad-signature"):
            yield vector(row.name, sent, row.code)


def main() -> None:
    """Write all files."""
    own = issuers.suite_token(NOW)
    member = {**own.key.as_dict(private=False), "kid": own.header["kid"], "use": "sig", "alg": "ES256"}
    about = "Tokens of the STS, each good one changed in one way."
    file("sts", about, trust(issuers.SUITE, "order", "ES256", "RS256"), [member], list(rows({"sts": own})))
    foreign = issuers.foreign_tokens(NOW)
    del foreign["rival"]
    about = "Tokens of an issuer that publishes many keys that are of no use."
    names = tuple(issuers.ALGORITHMS.values())
    published = issuers.documents()["/id"]["keys"]
    file("issuer", about, trust(issuers.ID, "orders", *names), published, list(rows(foreign)))
    for name, about, algorithms, make in (
        ("ecdsa", "Edges of ECDSA (RFC 7518 section 3.4).", ("ES256", "ES384", "ES512"), ecdsa),
        ("rsa", "Paddings of RSA signatures (RFC 8017 section 8).", ("RS256", "PS256"), rsa),
        ("eddsa", "Edges of Ed25519 (RFC 8032 section 5.1.7).", ("EdDSA",), eddsa),
    ):
        keys, vectors = make(own)
        file(name, about, trust(issuers.SUITE, "order", *algorithms), keys, vectors)


if __name__ == "__main__":
    main()
