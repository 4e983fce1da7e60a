"""The public API as an OpenAPI 3.1 document, from the table in `api` and the types that really decode the bodies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

import msgspec

from ordermgmt.gateway.api import OPERATIONS
from ordermgmt.gateway.operation import Answer, Operation, Parameter
from ordermgmt.net.problem import CONTENT_TYPE, TYPE_PREFIX
from ordermgmt.order import contract as order

__all__ = ["COMMON_ERRORS", "document"]

COMMON_ERRORS: Mapping[int, tuple[str, ...]] = {
    400: ("bad-request", "query-too-long"),
    500: ("internal-error",),
    503: ("busy", "sts-unreachable", "storage-unavailable"),
}
"""What any operation may answer, by status."""

_SCHEME = "oauth2"
_SCOPES = {
    order.ADD_ORDER: "create orders",
    order.UPDATE_ORDER: "update any order",
    order.CANCEL_ORDER: "cancel any order",
    order.READ_ALL_ORDERS: "list everybody's orders, and read their history",
    order.OPERATE: "look after what runs",
}
_HEADERS = {
    "ETag": "The version of what was answered, for If-Match and If-None-Match.",
    "Location": "Where the new order is.",
    "Retry-After": "Seconds after which it makes sense to ask again.",
    "WWW-Authenticate": "What is wrong with the token, or which scope is missing (RFC 6750 section 3).",
}
_PROBLEM = {
    "type": "object",
    "description": "A problem document (RFC 9457). Some types have more members, which name what they are about.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "pattern": f"^{TYPE_PREFIX}"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_ABOUT = (
    "Orders and stock behind the gateway. Tokens are opaque, and come from the token service. "
    "401 and 403 have an empty body and a challenge; every other error is a problem document."
)


def document(gateway_url: str, sts_url: str) -> dict[str, Any]:
    """Return the document, with the public URLs of this installation. Types of bodies are components."""
    schemas = _Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        methods = paths.setdefault(_template(operation.path), {})
        methods[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ordermgmt", "version": version("ordermgmt"), "description": _ABOUT},
        "servers": [{"url": gateway_url}],
        "paths": paths,
        "components": {"schemas": schemas.components() | {"Problem": _PROBLEM}, "securitySchemes": _schemes(sts_url)},
    }


class _Schemas:
    """Collects the types that are referred to, and makes their schemas together."""

    def __init__(self) -> None:
        bodies = [operation.body for operation in OPERATIONS if operation.body is not None]
        bodies += [answer.body for operation in OPERATIONS for answer in operation.answers.values() if answer.body]
        plain = [parameter.kind for operation in OPERATIONS for parameter in operation.parameters]
        self._kinds = list(dict.fromkeys([*bodies, *plain]))
        schemas, self._components = msgspec.json.schema_components(self._kinds, ref_template="{name}")
        self._schemas = [_portable(schema) for schema in schemas]

    def of(self, kind: Any) -> Any:
        return self._schemas[self._kinds.index(kind)]

    def components(self) -> dict[str, Any]:
        return {_name(name): _portable(schema) for name, schema in self._components.items()}


def _portable(schema: Any) -> Any:
    """Write patterns as ECMA-262 has them, references as OpenAPI has them, and descriptions without indentation."""
    if isinstance(schema, list):
        return [_portable(value) for value in schema]
    if not isinstance(schema, Mapping):
        return schema
    changed = {key: _portable(value) for key, value in schema.items()}
    for key, write in _REWRITTEN.items():
        if isinstance(changed.get(key), str):
            changed[key] = write(changed[key])
    return changed


def _name(kind: str) -> str:
    """Tell apart the types of two contracts that have one name: `ordermgmt.order.contract.Item` is OrderItem."""
    *module, name = kind.split(".")
    return module[1].capitalize() + name if module else name


_REWRITTEN: Mapping[str, Callable[[str], str]] = {
    "pattern": lambda pattern: pattern.replace(r"\Z", "$"),
    "$ref": lambda kind: f"#/components/schemas/{_name(kind)}",
    "description": cleandoc,
}


def _template(path: str) -> str:
    return re.sub(r"<(\w+)>", r"{\1}", path)


def _operation(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.about,
        "responses": {str(status): _answer(answer, schemas) for status, answer in operation.answers.items()}
        | {str(status): _error(status, codes) for status, codes in _errors(operation)},
    }
    if operation.parameters:
        described["parameters"] = [_parameter(parameter, schemas) for parameter in operation.parameters]
    if operation.body is not None:
        content = {"application/json": {"schema": schemas.of(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    if operation.scope is not None:
        described["security"] = [{_SCHEME: [operation.scope] if operation.scope else []}]
    return described


def _errors(operation: Operation) -> Iterable[tuple[int, tuple[str, ...]]]:
    statuses = set(COMMON_ERRORS) | set(operation.errors)
    if operation.scope is not None:
        statuses.add(401)
    if operation.scope:
        statuses.add(403)
    for status in sorted(statuses):
        yield status, (*operation.errors.get(status, ()), *COMMON_ERRORS.get(status, ()))


def _parameter(parameter: Parameter, schemas: _Schemas) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.about,
        "required": parameter.required,
        "schema": schemas.of(parameter.kind),
    }


def _answer(answer: Answer, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.about}
    if answer.headers:
        described["headers"] = _headers(answer.headers)
    if answer.body is not None:
        described["content"] = {"application/json": {"schema": schemas.of(answer.body)}}
    return described


def _error(status: int, codes: tuple[str, ...]) -> dict[str, Any]:
    if not codes:
        return {"description": "The token does not do.", "headers": _headers(("WWW-Authenticate",))}
    described: dict[str, Any] = {
        "description": ", ".join(f"`{code}`" for code in dict.fromkeys(codes)),
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in _MAY_COME_BACK:
        described["headers"] = _headers(("Retry-After",))
    return described


_MAY_COME_BACK = frozenset({409, 503, 504})


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in names}


def _schemes(sts_url: str) -> dict[str, Any]:
    token = f"{sts_url}/oauth2/token"
    code = {"authorizationUrl": f"{sts_url}/oauth2/authorize", "tokenUrl": token, "refreshUrl": token}
    return {
        _SCHEME: {
            "type": "oauth2",
            "flows": {
                "clientCredentials": {"tokenUrl": token, "scopes": _SCOPES},
                "authorizationCode": {**code, "scopes": _SCOPES},
            },
        }
    }
