"""The settings of a foreign issuer: what is taken over, and what stops the start with the setting's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from ordermgmt.config import IssuerConfig
from ordermgmt.errors import StartError
from ordermgmt.net import Address
from ordermgmt.security.issuers import ForeignIssuer, read_issuers

GOOD = IssuerConfig(
    issuer="https://id.example", audience="orders", jwks_url="https://id.example/keys", scopes={"o.write": "add_order"}
)
OURS = {"https://localhost:9445": "the suite's own STS"}
SCOPES = ("add_order", "cancel_order")
CA_FILE = Path("certs/ca.pem")


def read(*configured: IssuerConfig) -> list[ForeignIssuer]:
    return read_issuers(configured, "order.issuers", known=OURS, scopes=SCOPES, default_ca_file=CA_FILE)


def changed(**settings: Any) -> IssuerConfig:
    return msgspec.structs.replace(GOOD, **settings)


def test_a_good_issuer_is_trusted_as_its_settings_say(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "id-ca.pem")
    good = changed(algorithms=("RS256",), token_types=("JWT",), ca_file=str(tmp_path / "id-ca.pem"))
    (found,) = read(good)
    trust = found.trust
    assert (trust.issuer, trust.audience, trust.algorithms) == ("https://id.example", "orders", ("RS256",))
    assert (trust.token_types, trust.scopes) == ({"jwt"}, {"o.write": "add_order"})
    assert found.ca_file == tmp_path / "id-ca.pem"


def test_without_a_ca_file_the_suite_s_own_ca_certifies() -> None:
    assert read(GOOD)[0].ca_file == CA_FILE


@pytest.mark.parametrize(
    ("url", "address", "target"),
    [
        ("https://id.example", Address("id.example", 443), "/"),
        ("https://id.example:8443/a/keys?v=1", Address("id.example", 8443), "/a/keys?v=1"),
        ("https://[::1]:8443/keys", Address("::1", 8443), "/keys"),
        ("HTTPS://ID.example/Keys", Address("id.example", 443), "/Keys"),
    ],
)
def test_keys_are_fetched_from_the_host_and_path_of_the_url(url: str, address: Address, target: str) -> None:
    (found,) = read(changed(jwks_url=url))
    assert found.keys == (address, target)


BAD_URLS = [
    "",
    "keys",
    "//id.example/keys",
    "http://id.example/keys",
    "http://localhost:9600/keys",
    "http://127.0.0.1/keys",
    "file:///etc/keys",
    "https:///keys",
    "https://:443/keys",
    "https://user@id.example/keys",
    "https://user:secret@id.example/keys",
    "https://@id.example/keys",
    "https://id.example/keys#1",
    "https://id.example:port/keys",
    "https://id.example:0/keys",
    "https://id.example:70000/keys",
    "https://[::1/keys",
    "https://id.example/ke ys",
    "https://id.example/ke\nys",
    "https://id.example/ke\tys",
    "https://id.\u00e9xample/keys",
]
BAD = [
    *[("jwks_url", {"jwks_url": url}) for url in BAD_URLS],
    ("issuer", {"issuer": ""}),
    ("issuer", {"issuer": "https://localhost:9445"}),
    ("audience", {"audience": ""}),
    ("ca_file", {"ca_file": "nowhere.pem"}),
    ("ca_file", {"ca_file": "/"}),
    ("ca_file", {"ca_file": __file__}),
    ("algorithms", {"algorithms": ()}),
    ("algorithms", {"algorithms": ("none",)}),
    ("algorithms", {"algorithms": ("ES256", "HS256")}),
    ("algorithms", {"algorithms": ("es256",)}),
    ("algorithms", {"algorithms": ("",)}),
    ("token_types", {"token_types": ()}),
    ("token_types", {"token_types": ("JWT", "")}),
    ("scopes", {"scopes": {"o.write": "add_orders"}}),
    ("scopes", {"scopes": {"o.write": ""}}),
    ("scopes", {"scopes": {"two words": "add_order"}}),
    ("scopes", {"scopes": {"": "add_order"}}),
]


@pytest.mark.parametrize(("name", "settings"), BAD, ids=[f"{n}-{name}" for n, (name, _) in enumerate(BAD)])
def test_a_bad_setting_is_one_line_that_names_it(name: str, settings: dict[str, Any]) -> None:
    read(GOOD)
    other = changed(issuer="https://other.example")
    with pytest.raises(StartError) as refused:
        read(other, changed(**settings))
    line = str(refused.value)
    assert line.startswith(f"order.issuers[1].{name}: ")
    assert line.isprintable()


def test_an_issuer_that_is_configured_twice_names_both_places() -> None:
    with pytest.raises(StartError, match=r"^order\.issuers\[2\]\.issuer: .* is order\.issuers\[0\] already$"):
        read(GOOD, changed(issuer="https://other.example"), changed(audience="other"))
