"""`ordermgmt users` and `ordermgmt clients`, on a database of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ordermgmt.__main__ import main

PASSWORD = "correct horse battery"
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("ORDERMGMT_SUITE_DATA", str(tmp_path / "var"))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments))

    return run


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\nnot this\n")
    return path


def test_a_user_is_added_listed_disabled_and_enabled(run: Run, password_file: Path) -> None:
    added = run(
        *("users", "add", "carol", "--full-name", "Carol C", "--role", "clerk", "--scope", "add_order"),
        *("--password-file", str(password_file)),
    )
    assert (added.exit_code, added.output) == (0, "user carol added\n")
    assert run("users", "list").output == "carol\tenabled\tCarol C\tclerk\tadd_order\n"
    assert run("users", "disable", "carol").output == "user carol disabled; all sessions and tokens ended\n"
    assert run("users", "list").output == "carol\tdisabled\tCarol C\tclerk\tadd_order\n"
    assert run("users", "enable", "carol").exit_code == 0
    assert run("users", "list").output == "carol\tenabled\tCarol C\tclerk\tadd_order\n"
    again = run("users", "add", "carol", "--password-file", str(password_file))
    assert (again.exit_code, "there is a user carol already" in again.stderr) == (1, True)


def test_a_generated_password_is_all_that_goes_to_standard_output(run: Run, tmp_path: Path) -> None:
    added, reset = run("users", "add", "carol", "--generate"), run("users", "reset", "carol", "--generate")
    for result in (added, reset):
        assert result.exit_code == 0
        assert len(result.stdout.strip()) == 20
        for path in (tmp_path / "var").iterdir():
            assert result.stdout.strip().encode() not in path.read_bytes()
    assert added.stdout != reset.stdout
    assert run("users", "list").output == "carol\tenabled\tcarol\t-\t-\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("add", "client:x"), "a name is up to 64 letters"),
        (("add", "carol", "--scope", "change_inventory"), "a user's scopes are among add_order"),
        (("add", "carol", "--role", "two words"), "a role is a word"),
        (("add", "carol", "--full-name", "a\nb"), "a full name is printable"),
        (("reset", "nobody"), "there is no user nobody"),
        (("disable", "nobody"), "there is no user nobody"),
    ],
)
def test_a_user_that_cannot_be_is_refused_in_one_line(
    run: Run, password_file: Path, arguments: tuple[str, ...], reason: str
) -> None:
    more = ("--password-file", str(password_file)) if arguments[0] != "disable" else ()
    result = run("users", *arguments, *more)
    assert result.exit_code == 1
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert run("users", "list").output == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"short\n", "at least 12 characters"),
        (b"\nsecond line\n", "is empty"),
        (b"carolcarol123", "more than the user's name"),
        (b"\xff" * 20, "not UTF-8"),
        (b"x" * 2000, "1 to 1024 bytes"),
    ],
)
def test_a_password_that_will_not_do_is_refused_and_not_shown(
    run: Run, tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    result = run("users", "add", "carol", "--password-file", str(file))
    assert (result.exit_code, reason in result.stderr) == (1, True)
    assert "short" not in result.stderr


def test_where_a_password_comes_from_is_said_once(run: Run, password_file: Path) -> None:
    assert "no terminal" in run("users", "add", "carol").stderr
    assert run("users", "add", "carol", "--generate", "--password-file", str(password_file)).exit_code == 2
    assert "cannot read" in run("users", "add", "carol", "--password-file", "/nowhere").stderr
    assert run("users", "add", "carol", PASSWORD).exit_code == 2  # never an argument


def test_a_confidential_client_gets_a_secret_once(run: Run, tmp_path: Path) -> None:
    shop = ("--redirect-uri", "https://shop.example/cb", "--scope", "openid", "--scope", "add_order")
    added = run("clients", "add", "shop", "--name", "The Shop", *shop)
    reset = run("clients", "reset", "shop")
    for result in (added, reset):
        assert result.exit_code == 0
        assert len(result.stdout.strip()) == 43
        assert result.stdout.strip().encode() not in (tmp_path / "var" / "sts.sqlite").read_bytes()
    listed = (
        "\tsecret\tThe Shop\tauthorization_code refresh_token\tadd_order openid\tgateway\thttps://shop.example/cb\n"
    )
    assert run("clients", "list").output == f"shop\tenabled{listed}"
    assert run("clients", "disable", "shop").output == "client shop disabled; all tokens ended\n"
    assert run("clients", "list").output == f"shop\tdisabled{listed}"
    assert run("clients", "enable", "shop").exit_code == 0
    assert "there is a client shop already" in run("clients", "add", "shop", *shop).stderr


def test_a_public_client_has_no_secret(run: Run) -> None:
    added = run("clients", "add", "spa", "--public", "--redirect-uri", "http://127.0.0.1/cb", "--scope", "openid")
    assert (added.exit_code, added.output) == (0, "client spa added\n")
    assert "there is no client spa with a secret" in run("clients", "reset", "spa").stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("gateway", "--redirect-uri", "https://a.example/", "--scope", "openid"), "no service's name"),
        (("a b", "--redirect-uri", "https://a.example/", "--scope", "openid"), "an id is"),
        (("x", "--scope", "openid"), "needs a redirect URI"),
        (("x", "--redirect-uri", "http://a.example/", "--scope", "openid"), "not a redirect URI"),
        (("x", "--redirect-uri", "https://a.example/#f", "--scope", "openid"), "not a redirect URI"),
        (("x", "--redirect-uri", "https://a.example/"), "it has no scope"),
        (("x", "--redirect-uri", "https://a.example/", "--scope", "change_inventory"), "the scopes are"),
        (("x", "--grant", "client_credentials", "--scope", "openid"), "only authorization_code tells of users"),
        (("x", "--grant", "refresh_token", "--scope", "add_order"), "refresh_token needs authorization_code"),
        (("x", "--grant", "password", "--scope", "add_order"), "the grants are"),
        (("x", "--public", "--grant", "client_credentials", "--scope", "add_order"), "a public client cannot use"),
        (("x", "--grant", "client_credentials", "--scope", "add_order", "--audience", "sts"), "audiences: gateway"),
        (("x", "--grant", "client_credentials", "--scope", "add_order", "--audience", "inventory"), "audiences:"),
        (("x", "--grant", "client_credentials", "--scope", "add_order", "--target", "inventory"), "the targets are"),
        (("x", "--grant", "client_credentials", "--scope", "add_order", "--audience", ""), "neither an audience nor"),
    ],
)
def test_a_client_that_cannot_be_is_refused_in_one_line(run: Run, arguments: tuple[str, ...], reason: str) -> None:
    result = run("clients", "add", *arguments)
    assert result.exit_code == 1
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_refusal_says_what_is_wrong_and_not_of_which_class_it_is(run: Run) -> None:
    refused = run("clients", "reset", "shop")
    assert (refused.exit_code, refused.stderr) == (1, "Error: no-such-client: there is no client shop with a secret\n")


def test_accounts_live_in_postgresql_too(run: Run, monkeypatch: pytest.MonkeyPatch, postgres_dsn: str) -> None:
    monkeypatch.setenv("ORDERMGMT_SUITE_DATABASE", postgres_dsn)
    assert run("users", "add", "carol", "--generate").exit_code == 0
    assert run("clients", "add", "m2m", "--grant", "client_credentials", "--scope", "add_order").exit_code == 0
    for kind, name in (("users", "carol"), ("clients", "m2m")):
        assert run(kind, "disable", name).exit_code == 0
        assert run(kind, "list").output.startswith(f"{name}\tdisabled\t")
        assert run(kind, "enable", name).exit_code == 0
        assert run(kind, "list").output.startswith(f"{name}\tenabled\t")
