"""The same for the inventory service: a caller's token is good over its own certificate, and only there.

What opens it, and what does not for want of the right certificate, is in test_mutual_tls.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from ordermgmt.net.outbound import Response
from tests.contract.unforgeable.bench import ITEM, Bench, open_bench, refusals, taken_apart
from tests.contract.unforgeable.forging import DROP, Forge, Row, Token, claims, header

Rows = Callable[[str, str], list[Row]]


def bindings(own: str, other: str) -> list[Row]:
    """`own` is the thumbprint of the certificate in use, `other` that of another service (RFC 8705 section 3.1)."""
    values: dict[str, Any] = {
        "of another service": other,
        "padded": f"{own}=",
        "short of a character": own[:-1],
        "in other letters": own.swapcase(),
        "as hex": own.encode().hex(),
        "in a list": [own],
        "in an object": {"x5t#S256": own},
        "null": None,
        "true": True,
        "empty": "",
    }
    rows = [Row(f"thumbprint {name}", claims(cnf={"x5t#S256": value}), "binding-mismatch")
            for name, value in values.items()]  # fmt: skip
    kinds: list[dict[str, Any]] = [{}, {"jkt": own}, {"x5t": own}, {"X5T#S256": own}, {"cnf": {"x5t#S256": own}}]
    rows += [Row(f"bound to {kind!r:.20}", claims(cnf=kind), "binding-unknown") for kind in kinds]
    rows += [Row(f"cnf is {value!r:.20}", claims(cnf=value), "invalid-cnf") for value in (None, own, 7)]
    return rows


def identities(_own: str, _other: str) -> list[Row]:
    others = ("gateway", "Order", "order ", "client:order", "spiffe://ordermgmt.local/order")
    rows = [Row(f"client_id {name!r}", claims(client_id=name), "client-mismatch") for name in others]
    rows += [
        Row("not bound", claims(cnf=DROP), "token-not-bound"),
        Row("client_id missing, sub is the client", claims(client_id=DROP), "client-mismatch"),
        Row("client_id in a list", claims(client_id=["order"]), "invalid-client_id"),
        Row("alg none", header(alg="none"), "algorithm-refused"),
        Row("typ JWT", header(typ="JWT"), "wrong-type"),
        Row("aud of the order service", claims(aud=["order", "gateway"]), "wrong-audience"),
    ]
    scopes: list[Any] = ["xchange_inventory", "CHANGE_INVENTORY", "change_inventoryx", "manage_inventory", [], DROP]
    rows += [Row(f"scope {scope!r:.20}", claims(scope=scope), "insufficient-scope", status=403) for scope in scopes]
    return rows


async def take(bench: Bench, operation: str, token: str, identity: str = "order") -> tuple[Response, list[str], int]:
    """Take one piece; return the answer, why the log says it was refused, and the pieces that the stock lost."""
    stock = await bench.stock()
    bench._log.readouterr()
    body = {"operation": operation, "items": [ITEM]}
    answer = await bench.system.request(
        "inventory", "PUT", "/inventory/decrease", token=token, json=body, identity=identity
    )
    codes = list(refusals(bench._log.readouterr().err))
    return answer, codes, stock - await bench.stock()


async def accepted_token(bench: Bench, forge: Forge = Token.text) -> Token:
    """Return the order service's own token, after the one that `forge` makes of it was accepted."""
    token = await taken_apart(bench.system, await bench.system.bound_token("order"))
    answer, codes, taken = await take(bench, f"good-{bench._number}", str(forge(token)))
    bench._number += 1
    assert (answer.status, codes, taken) == (200, [], 1)
    return token


def check_refused(result: tuple[Response, list[str], int], code: str, status: int = 401) -> None:
    answer, codes, taken = result
    assert (answer.status, answer.content, codes, taken) == (status, b"", [code], 0)
    error = "invalid_token" if status == 401 else "insufficient_scope"
    assert answer.headers["www-authenticate"].startswith(f'Bearer realm="inventory", error="{error}"')


@pytest.mark.parametrize("table", [bindings, identities], ids=lambda table: table.__name__)
async def test_a_callers_token_changed_in_one_way_is_refused(
    table: Rows,
    tmp_path: Path,
    autojump_clock: trio.abc.Clock,
    capsys: pytest.CaptureFixture[str],
    subtests: pytest.Subtests,
) -> None:
    async with open_bench(tmp_path, capsys) as bench:
        token = await accepted_token(bench)
        gateway = await taken_apart(bench.system, await bench.system.bound_token("gateway"))
        own, other = (str(whose.claims["cnf"]["x5t#S256"]) for whose in (token, gateway))
        for number, row in enumerate(table(own, other)):
            result = await take(bench, f"forged-{number}", str(row.forge(token)))
            with subtests.test(row.name):
                check_refused(result, row.code, row.status)


@pytest.mark.parametrize(
    "forge",
    [
        # RFC 7800 section 3.1: members of `cnf` that are not understood are ignored
        lambda token: replace(
            token, claims={**token.claims, "cnf": {**token.claims["cnf"], "unknown": {"a": 1}}}
        ).text(),
        claims(aud=["order", "inventory"]),
        claims(scope=["change_inventory", "read_inventory"]),
        header(typ="application/at+jwt"),
    ],
)
async def test_what_the_rules_allow_a_caller_is_accepted(
    forge: Forge, tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_bench(tmp_path, capsys) as bench:
        stock = await bench.stock()
        await accepted_token(bench, forge)
        assert await bench.stock() == stock - 1


async def test_who_calls_decides_before_any_token_does(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_bench(tmp_path, capsys) as bench:
        token = (await accepted_token(bench)).text()
        own = await bench.system.bound_token("gateway")
        check_refused(await take(bench, "op-1", token, "sts"), "caller-not-allowed", 403)
        check_refused(await take(bench, "op-2", own, "gateway"), "caller-scope", 403)
        check_refused(await take(bench, "op-3", token, "gateway"), "caller-scope", 403)
        answer = await bench.system.request("inventory", "GET", "/inventory", token=token, identity="gateway")
        assert (answer.status, refusals(capsys.readouterr().err)) == (401, ("binding-mismatch",))
        answer = await bench.system.request("inventory", "GET", "/inventory", token=own, identity="gateway")
        assert (answer.status, bool(json.loads(answer.content))) == (200, True)
