"""The document at /openapi.json: it names every route, and answers are what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from ordermgmt.gateway.api import OPERATIONS
from ordermgmt.gateway.contract import OWN_PATHS, ROUTES
from ordermgmt.gateway.openapi import document
from ordermgmt.gateway.operation import Operation
from ordermgmt.net.outbound import Response
from ordermgmt.testing.harness import RunningSystem, running_system

BOOK = {"category": "books", "code": "978-1617295959", "qty": 1}
ORDER = {"id": "o1", "name": "One", "items": [BOOK]}
VALUES = {"order_id": "o1", "operation_id": "none", "session_id": "none", "category": "books", "code": "978-1617295959"}
"""What stands for each parameter of a path."""


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return document("https://gateway.example", "https://sts.example")


def test_it_is_openapi(spec: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(spec).iter_errors()] == []


def test_every_route_of_the_table_is_in_it_and_no_other() -> None:
    routed = {
        (method, route.path, needs)
        for route in ROUTES
        for methods, needs in ((route.authenticated, True), (route.public, False))
        for method in methods
    }
    routed |= {("GET", path, True) for path in OWN_PATHS}
    described = {(operation.method, operation.path, operation.scope is not None) for operation in OPERATIONS}
    assert described == routed
    assert len({operation.id for operation in OPERATIONS}) == len(OPERATIONS)


def test_patterns_are_those_of_javascript(spec: dict[str, Any]) -> None:
    assert r"\Z" not in json.dumps(spec).replace("\\\\", "\\")


def test_every_name_of_a_type_is_one_of_ours(spec: dict[str, Any]) -> None:
    assert {"OrderItem", "InventoryItem", "Order", "Stock", "Problem"} <= set(spec["components"]["schemas"])
    assert not [name for name in spec["components"]["schemas"] if not name.isalnum()]


def check(spec: dict[str, Any], operation: Operation, status: int, headers: dict[str, str], content: bytes) -> None:
    """Fail unless the document has this answer: its status, type, body, and the headers that it promises."""
    path = operation.path.replace("<", "{").replace(">", "}")
    answer = spec["paths"][path][operation.method.lower()]["responses"][str(status)]
    assert {name.lower() for name in answer.get("headers", {})} - {"retry-after"} <= set(headers)
    kinds = answer.get("content", {})
    if not kinds:
        assert content == b""
        return
    schema = {"components": spec["components"], **kinds[headers["content-type"]]["schema"]}
    Draft202012Validator(schema).validate(json.loads(content))


async def call(system: RunningSystem, operation: Operation, token: str | None, body: Any) -> Response:
    target = operation.path
    for name, value in VALUES.items():
        target = target.replace(f"<{name}>", value)
    return await system.request("gateway", operation.method, target, token=token, json=body)


async def test_answers_are_what_it_says(spec: dict[str, Any], tmp_path: Path) -> None:
    """Call each operation as it succeeds, once more, without a token, and with a body that is none."""
    bodies = {"createOrder": ORDER, "updateOrder": {"name": "Two", "items": [BOOK]}}
    last = [operation for operation in OPERATIONS if operation.id == "cancelOrder"]
    seen: set[tuple[str, int]] = set()
    async with running_system(tmp_path) as system:
        token = await system.token("admin-app")
        for operation in [*(one for one in OPERATIONS if one not in last), *last]:
            body = bodies.get(operation.id)
            tries: list[tuple[str | None, Any]] = [(token, body), (token, body)]
            tries += [(None, body)] if operation.scope is not None else []
            tries += [(token, {"name": ""})] if operation.body is not None else []
            for who, what in tries:
                answer = await call(system, operation, who, what)
                check(spec, operation, answer.status, dict(answer.headers), answer.content)
                seen.add((operation.id, answer.status))
    refused = {(operation.id, 401) for operation in OPERATIONS if operation.scope is not None}
    assert seen >= refused | {
        ("createOrder", 201),
        ("createOrder", 409),
        ("createOrder", 400),
        ("listOrders", 200),
        ("getOrder", 200),
        ("updateOrder", 200),
        ("updateOrder", 400),
        ("cancelOrder", 200),
        ("cancelOrder", 404),
        ("getOrderHistory", 200),
        ("listJournal", 200),
        ("retryOperation", 404),
        ("getStatus", 200),
        ("getHistory", 200),
        ("getAccounts", 200),
        ("listHeld", 200),
        ("listKeys", 200),
        ("rotateKeys", 200),
        ("listSessions", 200),
        ("revokeSession", 404),
        ("listStock", 200),
        ("listCategory", 200),
        ("getItem", 200),
    }


async def test_it_is_served_with_the_urls_of_this_place(tmp_path: Path) -> None:
    async with running_system(tmp_path) as system:
        answer = await system.request("gateway", "GET", "/openapi.json")
        endpoints = system.suite.endpoints
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    served = json.loads(answer.content)
    assert served == json.loads(json.dumps(document(endpoints.gateway_url, endpoints.issuer)))
    assert served["servers"] == [{"url": endpoints.gateway_url}]
