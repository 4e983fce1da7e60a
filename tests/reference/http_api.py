"""The HTTP API: operations of the gateway from its OpenAPI document, routes of all services with their policies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ordermgmt.gateway.openapi import document
from tests.reference.routes import Route

__all__ = ["render"]

HEAD = """\
# HTTP API

What clients use is the gateway's. The same, for programs to read, is at `/openapi.json`, and `/docs` reads it out.
401 and 403 have an empty body and a challenge ([RFC 6750](https://www.rfc-editor.org/rfc/rfc6750)); every other
error is a problem document ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) whose `type` is
`urn:ordermgmt:problem:` and a [code](errors.md). Codes that any operation may answer are listed once, below.

`make reference` writes this page from the code.
"""
SERVICES = """\
## Routes of all services

Who may use each, as the running services check it. HEAD is as GET. Whatever is not here is 404, and a service with a
route that has no policy does not start. [How to add one](../how-to/add-a-route.md). Beside them each supervisor has an
admin listener, plain HTTP without tokens, for `/healthz`, `/readyz`, `/readyz/{service}`, `/metrics`, `/status` and
`/history`: [keep it private](../config.md#admin).
"""
ABOUT = {
    "gateway": "All below `/api` is the API once more, [for browsers](../web.md): with a session in place of a token.",
    "order": "Tokens for the audience `order`: exchanged by the gateway, or a client's own.",
    "inventory": "Behind mutual TLS: tokens bound to the certificate, and issued to the service that it names.",
    "sts": "Of both listeners. Where everybody may ask, [clients authenticate](../authorization.md) in the request.",
}


def render(routes: Mapping[str, Sequence[Route]]) -> str:
    """Return the page, in Markdown."""
    api = document("https://localhost:8443", "https://localhost:9445")
    operations = [
        (path, method.upper(), operation)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    ]
    common = _common([operation for _, _, operation in operations])
    return "\n".join(
        [
            HEAD,
            *_overview(operations),
            "Any operation may answer:\n",
            *_codes(common),
            *(line for each in operations for line in _operation(*each, common)),
            *_types(api["components"]["schemas"]),
            SERVICES,
            *_routes(routes),
        ]
    )


def _overview(operations: Sequence[tuple[str, str, dict[str, Any]]]) -> Iterator[str]:
    yield "| operation | token | |"
    yield "|---|---|---|"
    for path, method, operation in operations:
        anchor = f"{method} {path}".lower().translate(str.maketrans(" ", "-", "/{}`"))
        yield f"| [`{method} {path}`](#{anchor}) | {_token(operation)} | {operation['summary']} |"
    yield ""


def _token(operation: dict[str, Any]) -> str:
    if "security" not in operation:
        return "none"
    ((scopes,),) = (one.values() for one in operation["security"])
    return " ".join(f"`{scope}`" for scope in scopes) or "any"


def _common(operations: Sequence[dict[str, Any]]) -> dict[str, set[str]]:
    """Return the codes, by status, that every operation has."""
    found = [_problems(operation) for operation in operations]
    every = {status: set.intersection(*(one.get(status, set()) for one in found)) for status in found[0]}
    return {status: codes for status, codes in every.items() if codes}


def _problems(operation: dict[str, Any]) -> dict[str, set[str]]:
    return {
        status: set(answer["description"].split(", "))
        for status, answer in operation["responses"].items()
        if "application/problem+json" in answer.get("content", {})
    }


def _codes(by_status: Mapping[str, set[str]]) -> Iterator[str]:
    for status, codes in sorted(by_status.items()):
        yield f"- {status}: {', '.join(sorted(codes))}"
    yield ""


def _operation(path: str, method: str, operation: dict[str, Any], common: Mapping[str, set[str]]) -> Iterator[str]:
    yield f"## `{method} {path}`\n"
    yield f"{operation['summary']} Token: {_token(operation)}.\n"
    for parameter in operation.get("parameters", ()):
        needed = ", required" if parameter["required"] else ""
        yield f"- `{parameter['name']}` ({parameter['in']}{needed}): {parameter['description']}"
    if "requestBody" in operation:
        yield f"- body: {_reference(operation['requestBody']['content']['application/json']['schema'])}"
    for status, answer in operation["responses"].items():
        if int(status) < 400:
            schema = answer.get("content", {}).get("application/json", {}).get("schema")
            body = f" {_reference(schema)}" if schema is not None else ""
            headers = ", ".join(f"`{name}`" for name in answer.get("headers", ()))
            yield f"- {status}{body}{' with ' if headers else ''}{headers}: {answer['description']}"
    own = {status: codes - common.get(status, set()) for status, codes in _problems(operation).items()}
    yield from _codes({status: codes for status, codes in own.items() if codes})


def _reference(schema: Mapping[str, Any]) -> str:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return f"[`{name}`](#{name.lower()})" if name else f"`{json.dumps(schema)}`"


def _types(schemas: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in sorted(schemas.items()):
        yield f"## {name}\n"
        yield f"{' '.join(schema.get('description', '').split())}\n"
        yield "| member | | type |"
        yield "|---|---|---|"
        for member, kind in schema["properties"].items():
            needed = "" if member in schema.get("required", ()) else "may be absent"
            yield f"| `{member}` | {needed} | {_kind(kind)} |"
        yield ""


def _kind(schema: Any) -> str:
    if not schema:
        return "anything"
    if "$ref" in schema:
        return _reference(schema)
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    limits = [f"{name} {schema[key]}" for key, name in _LIMITS.items() if key in schema]
    if "pattern" in schema:
        limits.append(f"`{schema['pattern']}`".replace("|", "\\|"))
    kind = schema["type"]
    if kind == "array":
        kind = f"array of {_kind(schema.get('items', {}))}"
    return ", ".join([kind, *limits])


_LIMITS = {
    "minimum": "at least",
    "maximum": "at most",
    "minLength": "length at least",
    "maxLength": "length at most",
    "minItems": "at least",
    "maxItems": "at most",
}


def _routes(routes: Mapping[str, Sequence[Route]]) -> Iterator[str]:
    for service, found in sorted(routes.items()):
        yield f"### {service}\n"
        yield f"{ABOUT.get(service, '')}\n"
        yield "| route | who |"
        yield "|---|---|"
        yield from (f"| `{route.method} {route.path}` | {route.who} |" for route in found)
        yield ""
