"""The start-up check of who calls whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ordermgmt.edges import check_edges
from ordermgmt.errors import StartError
from ordermgmt.sts.contract import AUDIENCES
from ordermgmt.sts.registration import system_clients
from ordermgmt.system import EDGES, SERVICES

CLIENTS = system_clients("ordermgmt.local")
CALLERS = {service.name: service.callers for service in SERVICES}
NONE: frozenset[str] = frozenset()


def test_the_table_agrees_with_the_token_service() -> None:
    check_edges(EDGES, CALLERS, CLIENTS, AUDIENCES)
    assert {(edge.caller, edge.service) for edge in EDGES} == {
        ("order", "inventory"),
        ("gateway", "inventory"),
        ("gateway", "order"),
        ("order", "sts"),
        ("gateway", "sts"),
    }


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        (
            {"callers": {"inventory": {"gateway": CALLERS["inventory"]["gateway"]}}},
            "order cannot call inventory: inventory",
        ),
        (
            {"clients": {name: CLIENTS[name] for name in ("gateway", "operator")}},
            "order cannot call inventory: the STS knows no client",
        ),
        (
            {"clients": {**CLIENTS, "order": replace(CLIENTS["order"], targets=NONE)}},
            "gives client order no tokens for inventory",
        ),
        ({"clients": {**CLIENTS, "order": replace(CLIENTS["order"], scopes=NONE)}}, "grants no scope change_inventory"),
        (
            {"clients": {**CLIENTS, "gateway": replace(CLIENTS["gateway"], exchange_targets=NONE)}},
            "gateway cannot call order",
        ),
        ({"callers": {**CALLERS, "sts": {}}}, "order cannot call sts: sts does not let order in"),
        ({"audiences": {"order": AUDIENCES["order"]}}, "the STS knows no audience inventory"),
        ({"audiences": {**AUDIENCES, "order": replace(AUDIENCES["order"], scopes=NONE)}}, "grants no scope add_order"),
    ],
    ids=["caller", "client", "target", "scope", "exchange", "certified", "audience", "audience-scope"],
)
def test_the_first_broken_edge_is_named(broken: dict[str, object], line: str) -> None:
    tables = {"callers": CALLERS, "clients": CLIENTS, "audiences": AUDIENCES, **broken}
    with pytest.raises(StartError) as refused:
        check_edges(EDGES, **tables)  # type: ignore[arg-type]
    assert line in str(refused.value)
