"""Rules of sessions and logins, as tables."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import Any

import msgspec
import pytest

from ordermgmt.errors import Unauthenticated
from ordermgmt.gateway.discovery import location_of, read_metadata
from ordermgmt.gateway.id_token import check_id_token
from ordermgmt.gateway.sessions import Limits, LoginSecrets, Tokens, is_cookie, is_local_path, refresh_at

LOCAL = [
    "/",
    "/operate",
    "/#/orders/1",
    "/?a=b#c",
    "/a//b",
    "/http://x",
    "/.//x",
    "/@x",
    "/ü",
    "/%5Cx",
    "/" + "x" * 2047,
]
AWAY = [
    "",
    "x",
    "//x",
    "///x",
    "/\\x",
    "\\x",
    "/a\\..\\x",
    "https://x",
    "javascript:1",
    "/\t/x",
    "/\n/x",
    "/x\r",
    "/\x00",
    "/\x7f",
    "/\u2028x",
    "/\u202e",
    " /x",
    "/" + "x" * 2048,
]


@pytest.mark.parametrize("path", LOCAL)
def test_paths_of_this_origin(path: str) -> None:
    assert is_local_path(path)


@pytest.mark.parametrize("path", AWAY)
def test_what_could_lead_away(path: str) -> None:
    assert not is_local_path(path)


def test_a_login_is_known_by_its_cookie_alone() -> None:
    secrets, others = LoginSecrets.of("A" * 43), LoginSecrets.of("B" * 43)
    assert secrets == LoginSecrets.of("A" * 43)
    parts = {secrets.state, secrets.nonce, secrets.code_verifier, others.state, others.nonce, others.code_verifier}
    assert len(parts) == 6
    assert all(is_cookie(part) for part in parts)  # as long as a code_verifier has to be (RFC 7636 section 4.1)


def test_a_session_moves_its_end_as_it_is_used_and_never_past_its_last() -> None:
    limits = Limits(idle=600, absolute=3000, login=60)
    assert limits.idle_until(100, 3000) == 700
    assert limits.idle_until(2900, 3000) == 3000
    assert limits.touch == 60
    assert Limits(idle=10, absolute=3000, login=60).touch == 1


@pytest.mark.parametrize(("lifetime", "at"), [(3600, 3570), (60, 30), (10, 5), (0, 0), (None, 270)])
def test_tokens_are_replaced_before_they_end(lifetime: int | None, at: float) -> None:
    assert refresh_at(1000, lifetime) == 1000 + at


def test_tokens_are_not_shown() -> None:
    assert "secret" not in repr(Tokens("secret", "secret", "secret"))


ACCESS = "token"
AT_HASH = urlsafe_b64encode(hashlib.sha256(ACCESS.encode()).digest()[:16]).rstrip(b"=").decode()
GOOD: dict[str, Any] = {"aud": "gateway", "nonce": "n", "iat": 1, "azp": "gateway", "at_hash": AT_HASH}


def check_payload(payload: dict[str, Any]) -> None:
    check_id_token(payload, client_id="gateway", nonce="n", access_token=ACCESS)


@pytest.mark.parametrize(
    "change", [{}, {"azp": None}, {"at_hash": None}, {"aud": ["gateway"], "azp": None}, {"aud": ["gateway", "x"]}]
)
def test_an_id_token_that_answers_this_login(change: dict[str, Any]) -> None:
    check_payload({name: value for name, value in (GOOD | change).items() if value is not None})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"nonce": "other"}, "nonce-mismatch"),
        ({"nonce": None}, "nonce-mismatch"),
        ({"nonce": ["n"]}, "invalid-nonce"),
        ({"azp": "other"}, "wrong-party"),
        ({"at_hash": "other"}, "at-hash-mismatch"),
        ({"at_hash": 1}, "invalid-at_hash"),
        ({"iat": None}, "missing-iat"),
    ],
)
def test_an_id_token_that_does_not(change: dict[str, Any], code: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        check_payload({name: value for name, value in (GOOD | change).items() if value is not None})
    assert caught.value.code == code


DOCUMENT: dict[str, Any] = {
    "issuer": "https://id.example",
    "authorization_endpoint": "https://id.example/authorize?x=y",
    "token_endpoint": "https://id.example/token",
    "jwks_uri": "https://keys.example:444/jwks",
    "revocation_endpoint": "https://id.example/revoke",
    "end_session_endpoint": "https://id.example/logout",
    "authorization_response_iss_parameter_supported": True,
    "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.example/token"},
}


def read(change: dict[str, Any], *, with_certificate: bool = False) -> Any:
    given = {name: value for name, value in (DOCUMENT | change).items() if value is not None}
    return read_metadata(msgspec.json.encode(given), "https://id.example", with_certificate=with_certificate)


def test_a_provider_is_found() -> None:
    found = read({})
    assert found.authorization_endpoint == "https://id.example/authorize?x=y"
    assert (found.token_endpoint.origin, found.token_endpoint.target) == ("https://id.example", "/token")
    assert (found.jwks.origin, found.jwks.target) == ("https://keys.example:444", "/jwks")
    assert found.says_issuer
    known_by_certificate = read({}, with_certificate=True)
    assert known_by_certificate.token_endpoint.origin == "https://mtls.example"
    assert known_by_certificate.revocation_endpoint.origin == "https://id.example"


def test_what_a_provider_may_leave_out() -> None:
    found = read(dict.fromkeys(("revocation_endpoint", "end_session_endpoint", "mtls_endpoint_aliases")))
    assert (found.revocation_endpoint, found.end_session_endpoint) == (None, "")
    assert not read({"authorization_response_iss_parameter_supported": None}).says_issuer


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"issuer": "https://evil.example"}, "it is of another issuer: 'https://evil.example'"),
        ({"issuer": "https://id.example/"}, "it is of another issuer"),
        ({"issuer": None}, "it is of another issuer: None"),
        ({"token_endpoint": None}, "token_endpoint is not an https URL: None"),
        ({"token_endpoint": "http://id.example/token"}, "token_endpoint is not an https URL"),
        ({"token_endpoint": ["https://id.example/token"]}, "token_endpoint is not an https URL"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint is not an https URL"),
        ({"jwks_uri": "https://user@id.example/"}, "jwks_uri is not an https URL"),
        ({"jwks_uri": "https://id.example/\r\nx"}, "jwks_uri is not an https URL"),
        ({"end_session_endpoint": "https://id.example/#x"}, "end_session_endpoint is not an https URL"),
        ({"end_session_endpoint": ""}, "end_session_endpoint is not an https URL"),
    ],
)
def test_a_document_that_cannot_be_used(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(change)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"issuer":"x","issuer":"y"}', b"{" + b" " * 65_536 + b"}"])
def test_what_is_no_document(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        read_metadata(content, "https://id.example", with_certificate=False)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://id.example:443/x", "https://id.example"),
        ("https://id.example:", "https://id.example"),
        ("https://[::1]:443", "https://[::1]"),
        ("https://[fe80::443]", "https://[fe80::443]"),
        ("https://id.example:8443", "https://id.example:8443"),
    ],
)
def test_an_origin_names_no_port_that_goes_without_saying(url: str, origin: str) -> None:
    assert location_of(url).origin == origin


def test_an_origin_has_no_capitals() -> None:
    assert location_of("https://ID.Example:8443").origin == "https://id.example:8443"
