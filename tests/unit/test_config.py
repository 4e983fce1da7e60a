"""The configuration and its reference page."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

from ordermgmt.config import Config, IssuerConfig, Section, load_config
from ordermgmt.endpoints import resolve_endpoints
from ordermgmt.errors import StartError

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "config.md").read_text()
SECTIONS = {**get_type_hints(Config), "order.issuers": IssuerConfig}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "suite.toml"
    path.write_text(text)
    return path


def test_without_a_file_everything_has_its_default() -> None:
    assert load_config(None, {}) == Config()


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '[order]\nlisten = "127.0.0.1:1"\n[suite]\ndrain = 2\n')
    environment = {"ORDERMGMT_ORDER_LISTEN": "127.0.0.1:2", "ORDERMGMT_SUITE_NAMES": "a.test, b.test", "PATH": "/bin"}
    config = load_config(path, environment)
    assert config.order.listen == "127.0.0.1:2"
    assert config.suite.names == ("a.test", "b.test")
    assert config.suite.drain == 2.0
    assert load_config(None, {"ORDERMGMT_STS_ACCESS_TOKEN_LIFETIME": "60"}).sts.access_token_lifetime == 60


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("[order]\nlissen = 1\n", "lissen"),
        ("[orders]\n", "orders"),
        ("[order]\nlisten = 9090\n", "$.order.listen"),
        ('[sts]\nsigning_algorithm = "HS256"\n', "$.sts.signing_algorithm"),
        ('[[order.issuers]]\nissuer = "x"\n', "$.order.issuers[0]"),
        ("order =", "is not TOML"),
    ],
)
def test_a_bad_file_is_one_line_that_names_the_culprit(text: str, culprit: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(StartError) as refused:
        load_config(path, {})
    line = str(refused.value)
    assert culprit in line
    assert str(path) in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ORDERMGMT_ORDER_LISSEN", "x"),
        ("ORDERMGMT_LISTEN", "x"),
        ("ORDERMGMT_SUITE_DRAIN", "soon"),
        ("ORDERMGMT_STS_SIGNING_ALGORITHM", "none"),
    ],
)
def test_a_bad_variable_is_named(variable: str, value: str) -> None:
    with pytest.raises(StartError, match=variable):
        load_config(None, {variable: value})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"nowhere\.toml"):
        load_config(tmp_path / "nowhere.toml", {})


def test_a_setting_that_is_no_address_is_named() -> None:
    config = load_config(None, {"ORDERMGMT_SUITE_INVENTORY": "inventory"})
    with pytest.raises(StartError, match=r"suite\.inventory: 'inventory' is not host:port"):
        resolve_endpoints(config, {})


@pytest.mark.parametrize("setting", ["sts.public_url", "sts.mtls_public_url", "order.public_url", "gateway.public_url"])
@pytest.mark.parametrize(
    "value",
    [
        "orders",
        "orders.example.com:8443",
        "http://orders.example.com",
        "https://",
        "https://orders.example.com:port",
        "https://orders.example.com/?a=b",
        "https://orders.example.com#a",
        "https://me@orders.example.com",
        "https://orders.example.com/ a",
        "https://[::1",
    ],
)
def test_a_setting_that_is_no_url_is_named(setting: str, value: str) -> None:
    config = load_config(None, {"ORDERMGMT_" + setting.replace(".", "_").upper(): value})
    with pytest.raises(StartError, match=rf"^{re.escape(setting)}: .* is not an https URL"):
        resolve_endpoints(config, {})


@pytest.mark.parametrize("value", ["https://orders.example.com", "https://[::1]:8443", "https://example.com/orders/"])
def test_what_can_stand_before_a_path_is_a_url(value: str) -> None:
    endpoints = resolve_endpoints(load_config(None, {"ORDERMGMT_ORDER_PUBLIC_URL": value}), {})
    assert endpoints.order_url == value.rstrip("/")


def test_an_issuer_has_no_path() -> None:
    """Its metadata would be elsewhere than under it (RFC 8414 section 3.1), and its cookies not its own."""
    config = load_config(None, {"ORDERMGMT_STS_PUBLIC_URL": "https://example.com/sts"})
    with pytest.raises(StartError, match=r"^sts.public_url: 'https://example.com/sts' has a path"):
        resolve_endpoints(config, {})


def test_the_page_lists_every_setting_with_its_default() -> None:
    parts = re.split(r"^## `\[+([a-z.]+)\]+`$", PAGE, flags=re.MULTILINE)
    listed = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert listed.keys() == SECTIONS.keys()
    for name, section in SECTIONS.items():
        assert issubclass(section, Section)
        rows = dict(re.findall(r"^\| `(\w+)` \|(.*?)\|", listed[name], flags=re.MULTILINE))
        fields = {field.name: field for field in msgspec.structs.fields(section)}
        assert rows.keys() == fields.keys(), name
        for key, cell in rows.items():
            shown = cell.strip()
            if fields[key].required:
                assert shown == "", key
            elif shown != "`{}`":
                default = tomllib.loads(f"x = {shown.strip('`')}")["x"]
                assert msgspec.json.decode(msgspec.json.encode(fields[key].default)) == default, key


def examples(tmp_path: Path, page: str) -> list[Config]:
    found = re.findall(r"```toml\n(.*?)```", (DOCS / "how-to" / page).read_text(), flags=re.DOTALL)
    return [load_config(written(tmp_path, text), {}) for text in found]


def test_the_examples_of_the_pages_are_configurations(tmp_path: Path) -> None:
    provider, alone = examples(tmp_path, "identity-provider.md")
    assert provider.gateway.issuer == provider.order.issuers[0].issuer == "https://id.example.com"
    assert alone.order.issuers[0].scopes == {"orders.write": "add_order", "orders.admin": "cancel_order"}
    (shared,) = examples(tmp_path, "postgresql.md")
    assert shared.suite.database.startswith("postgresql://")
    (machines,) = examples(tmp_path, "several-machines.md")
    endpoints = resolve_endpoints(machines, {})
    assert endpoints.issuer == "https://one.example.com:9445"
    assert [address.host for address in endpoints.order] == ["two.example.com"]
