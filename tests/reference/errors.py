"""The errors that cross borders, from the places that make them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from inspect import cleandoc
from pathlib import Path

from ordermgmt import errors
from tests.reference.source import KINDS, Raised, oauth_errors, problems

__all__ = ["render"]

TOKENS = (Path(errors.__file__).parents[1] / "docs" / "tokens.md").read_text(encoding="utf-8")
HEAD = """\
# Errors

A problem document ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) has the `type` `urn:ordermgmt:problem:` and
a code of this page, which never changes its meaning, and often a `detail` for people. "…" is filled in. Which
operation answers which code is in the [HTTP API](http-api.md). The gateway passes on what the services behind it
say.

`Retry-After` comes with all of 503 and 504 that time may cure, and with 409 `operation-in-progress` and 429.

`make reference` writes this page from the code.
"""
LOG = """\
## 401 and 403

They have an empty body, and a challenge that says `invalid_token` or `insufficient_scope` and no more: why is
nobody's business but the operator's. The log has a code, in the line `refused`. [Those of tokens](../tokens.md)
have a page of their own; the others are

| code | meaning | logged by |
|---|---|---|"""
OAUTH = """\
## OAuth errors of the token service

`/oauth2/token`, `/oauth2/introspect` and `/oauth2/revoke` answer `{"error": ..., "error_description": ...}` ([RFC
6749](https://www.rfc-editor.org/rfc/rfc6749#section-5.2)): 401 for `invalid_client`, else 400. `/oauth2/authorize`
sends the same to the client in the redirect, once client and redirect URI are proven.

| error | descriptions |
|---|---|"""
WHO = {
    "gateway": "gateway",
    "order": "order",
    "inventory": "inventory",
    "inventory/client.py": "order, gateway",
    "sts": "sts",
    "sts/client.py": "gateway",
    "sts/bound_client.py": "order, gateway",
    "security/passwords.py": "sts",
    "sts/accounts.py": "command line",
    "sts/registration.py": "command line",
}
"""Whose errors those of a file or folder are; any other room belongs to all."""
ALL = "all"
CONNECTION = "Refused by the connection, before any service sees it."


def render() -> str:
    """Return the page, in Markdown."""
    found = problems()
    said = [one for one in found if one.kind not in {"Unauthenticated", "Forbidden"}]
    return "\n".join([HEAD, *_statuses(said), LOG, *_logged(found), "", OAUTH, *_oauth(), ""])


def _statuses(found: Iterable[Raised]) -> Iterator[str]:
    kinds = {kind.status: kind for kind in KINDS.values()}
    by_status: dict[int, list[Raised]] = {}
    for one in found:
        by_status.setdefault(one.status, []).append(one)
    for status, several in sorted(by_status.items()):
        kind = errors.CrossSite if status == errors.CrossSite.status else kinds.get(status)
        yield f"## {status} {kind.title if kind is not None else HTTPStatus(status).phrase}\n"
        yield f"{' '.join(cleandoc(kind.__doc__ or '').split()) if kind is not None else CONNECTION}\n"
        yield "| code | meaning | said by |"
        yield "|---|---|---|"
        yield from _rows(several)
        yield ""


def _rows(found: Iterable[Raised]) -> Iterator[str]:
    by_code: dict[str, list[Raised]] = {}
    for one in found:
        by_code.setdefault(one.code, []).append(one)
    for code, several in sorted(by_code.items()):
        meanings = "; ".join(sorted({one.meaning for one in several} - {""}))
        who = {name for one in several for name in _who(one.module)}
        # Only the gateway has services behind it; what all may say needs no list.
        yield f"| `{code}` | {meanings} | {ALL if ALL in who else ', '.join(sorted(who))} |".replace(
            "`…-", "`<service>-"
        )


def _logged(found: Iterable[Raised]) -> Iterator[str]:
    of_guards = [one for one in found if one.kind in {"Unauthenticated", "Forbidden"} and one.meaning]
    return _rows(one for one in of_guards if f"`{one.code}`" not in TOKENS)


def _oauth() -> Iterator[str]:
    for error, descriptions in sorted(oauth_errors().items()):
        yield f"| `{error}` | {'; '.join(sorted(descriptions))} |"


def _who(module: str) -> list[str]:
    return (WHO.get(module) or WHO.get(module.partition("/")[0], ALL)).split(", ")
