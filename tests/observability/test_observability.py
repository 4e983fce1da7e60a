"""The page of metrics is current, and the alerts and the dashboard ask for metrics and labels that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
import yaml

from tests.observability.page import PAGE, render
from tests.observability.promql import read_query
from tests.observability.scrape import Scraped, scrape

DOCS = PAGE.parent
ALERTS = DOCS / "observability" / "alerts.yaml"
DASHBOARD = DOCS / "observability" / "dashboard.json"
OF_PROMETHEUS = {"up"}
ITS_LABELS = {"service", "job", "instance", "le"}
DURATION = re.compile(r"\d+[smh]")


@pytest.fixture(scope="module")
def kept() -> dict[str, list[Scraped]]:
    return {}


async def scraped(kept: dict[str, list[Scraped]], folder: Path) -> list[Scraped]:
    if "all" not in kept:
        kept["all"] = await scrape(folder)
    return kept["all"]


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def queries() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


def wrongs(query: str, metrics: Mapping[str, Scraped]) -> list[str]:
    """Return what a query asks for that there is not."""
    read = read_query(query)
    unknown = sorted(read.metrics - metrics.keys() - OF_PROMETHEUS)
    labels = {name: {*metrics[name].labels, *ITS_LABELS} for name in read.metrics & metrics.keys()}
    for name, used in read.matched.items():
        unknown += sorted(f"{name}{{{label}}}" for label in used - labels.get(name, ITS_LABELS))
    of_any = set().union(ITS_LABELS, *labels.values())
    return unknown + sorted(read.grouped - of_any)


async def test_the_table_of_metrics_is_current(
    tmp_path: Path, kept: dict[str, list[Scraped]], autojump_clock: trio.abc.Clock
) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == render(page, await scraped(kept, tmp_path)), "run `make metrics`"


async def test_names_are_as_prometheus_wants_them(
    tmp_path: Path, kept: dict[str, list[Scraped]], autojump_clock: trio.abc.Clock
) -> None:
    for metric in await scraped(kept, tmp_path):
        assert re.fullmatch(r"ordermgmt(_[a-z]+)+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert metric.kind != "histogram" or metric.name.endswith("_seconds")
        assert not re.search(r"_(ms|milliseconds|minutes|days|kb|mb)(_|$)", metric.name)
        assert metric.meaning.endswith(".")
        assert metric.services


async def test_alerts_and_dashboard_ask_for_what_there_is(
    tmp_path: Path, kept: dict[str, list[Scraped]], autojump_clock: trio.abc.Clock
) -> None:
    found = await scraped(kept, tmp_path)
    metrics = {sample: metric for metric in found for sample in metric.samples}
    assert [(where, wrong) for where, query in queries() for wrong in wrongs(query, metrics)] == []
    used = {name for _, query in queries() for name in read_query(query).metrics}
    assert [metric.name for metric in found if not used & metric.samples] == [], "the dashboard leaves them out"
    assert wrongs('rate(ordermgmt_requests_seconds_count{outcome="failed"}[5m])', metrics) != []
    assert wrongs('sum by (path) (ordermgmt_request_seconds_count{path="/"})', metrics) == [
        "ordermgmt_request_seconds_count{path}",
        "path",
    ]


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    page = (DOCS / "observability.md").read_text(encoding="utf-8")
    advised = re.findall(r"^### (\w+)$", page, re.MULTILINE)
    assert advised == [rule["alert"] for rule in rules()]
    for rule in rules():
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        assert DURATION.fullmatch(rule["for"])
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["runbook"] == f"docs/observability.md#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"]


def test_the_dashboard_is_one() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert {"title", "uid", "schemaVersion", "panels", "templating"} <= dashboard.keys()
    assert len({panel["id"] for panel in panels()}) == len(panels())
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()}
    assert len(places) == len(panels())
    for panel in panels():
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["legendFormat"] for target in panel["targets"])


@pytest.mark.parametrize(
    ("query", "metrics", "labels"),
    [
        ("a", {"a"}, set()),
        ('rate(a{b="c,d}", e!~"f"}[5m]) > 0.5e3', {"a"}, {"b", "e"}),
        ("sum by (x, y) (rate(a[5m])) / on (x) group_left (z) sum without (le) (b)", {"a", "b"}, {"x", "y", "z", "le"}),
        ("a offset 5m and b unless on(x) c == bool 1", {"a", "b", "c"}, {"x"}),
        ("histogram_quantile(0.99, sum(a) by (le)) # a comment", {"a"}, {"le"}),
    ],
)
def test_queries_are_read(query: str, metrics: set[str], labels: set[str]) -> None:
    read = read_query(query)
    assert read.metrics == metrics
    assert read.grouped.union(*read.matched.values()) == labels


@pytest.mark.parametrize("text", ["sum(a", "a)", "a{b=", "sum by (x", "a ; b", "a$"])
def test_what_is_no_query_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"brackets|no query|there is no"):
        read_query(text)
