"""What holds secrets does not show them, whoever prints it."""

from __future__ import annotations

import pytest

from ordermgmt.gateway.exchanges import Exchanged
from ordermgmt.gateway.provider import Client, TokenAnswer
from ordermgmt.gateway.sessions import LoginSecrets, Tokens
from ordermgmt.gateway.sign_in import Begun, Finished
from ordermgmt.net.call import Answer, Call
from ordermgmt.net.exchange import Message, Response
from ordermgmt.security.principal import Principal
from ordermgmt.security.tokens import Unverified, parse
from ordermgmt.storage import PostgresSchema
from ordermgmt.sts.client import IssuedToken
from ordermgmt.sts.contract import TokenResponse
from ordermgmt.sts.token_request import read_token_request
from ordermgmt.telemetry.secrets import Secret
from tests.unit.jose_setup import claims, header, sign

SECRET = "hunter2hunter2"
BASIC = "Basic d2ViOmh1bnRlcjJodW50ZXIy"


async def body() -> bytes:
    return SECRET.encode()


def unverified() -> Unverified:
    return parse(sign(header(), claims(sub=SECRET)))


HOLDERS = {
    "secret": Secret(SECRET),
    "client of a provider": Client("https://sts", "gateway", Secret(SECRET), [], "", ""),
    "token answer": TokenAnswer(SECRET, refresh_token=SECRET, id_token=SECRET),
    "tokens of a session": Tokens(SECRET, SECRET, SECRET),
    "secrets of a login": LoginSecrets(SECRET, SECRET, SECRET),
    "begun login": Begun("https://sts", SECRET),
    "finished login": Finished("/", SECRET),
    "exchanged token": Exchanged(SECRET, 0.0, 0.0, frozenset(), Principal("iss", "sub", frozenset())),
    "issued token": IssuedToken(SECRET, 60, frozenset()),
    "token response": TokenResponse(access_token=SECRET, expires_in=60),
    "token request": read_token_request([("subject_token", SECRET)], [BASIC]),
    "unverified token": unverified(),
    "database": PostgresSchema("postgresql://user@host/orders", "order", Secret(SECRET)),
    "request": Call("POST", "/", {}, SECRET.encode(), [(b"authorization", SECRET.encode())], body),
    "answer": Answer(200, [("set-cookie", SECRET)], SECRET.encode()),
    "request of ours": Message("GET", "/", [("authorization", SECRET)], SECRET.encode(), 1),
    "answer to us": Response(200, {"set-cookie": SECRET}, SECRET.encode()),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_it_shows_nothing(name: str) -> None:
    holder = HOLDERS[name]
    for text in (repr(holder), str(holder), f"{holder}", f"{[holder]} {holder!r}"):
        assert SECRET not in text


def test_a_secret_is_what_it_holds_for_whoever_asks_it() -> None:
    assert Secret(SECRET).reveal() == SECRET
    assert Secret(SECRET) == Secret(SECRET)
    assert Secret(SECRET) != Secret("")
    assert len({Secret(SECRET), Secret(SECRET)}) == 1
    assert not Secret("")
