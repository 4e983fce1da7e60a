"""A scrape of a running suite that has done some of everything: which metrics there are, with which labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trio
from prometheus_client.parser import text_string_to_metric_families

from ordermgmt.testing.harness import running_system

__all__ = ["Scraped", "scrape"]

ORDER = {"name": "Sample", "items": [{"category": "electronics", "code": "SOWH1000XM4", "qty": 1}]}


@dataclass(frozen=True)
class Scraped:
    """One metric. `samples` are the names that a query may use, `labels` those of any of them but `service`."""

    name: str
    kind: str
    meaning: str
    samples: frozenset[str]
    labels: Sequence[str]
    services: Sequence[str]


async def scrape(folder: Path) -> list[Scraped]:
    """Run a suite in `folder`, in memory, for a minute; return its metrics by name. Run it under a MockClock."""
    async with running_system(folder) as system:
        token = await system.token("counter-app")
        for order_id in ("1", "1"):
            await system.request("gateway", "POST", "/order", token=token, json={"id": order_id, **ORDER})
        await system.request("gateway", "GET", "/order/1")
        await trio.sleep(60)
        client = await system.admin_client()
        text = (await client.request("GET", "/metrics")).content.decode()
    return [
        Scraped(
            f"{family.name}_total" if family.type == "counter" else family.name,
            family.type,
            family.documentation,
            frozenset(sample.name for sample in family.samples),
            sorted({label for sample in family.samples for label in sample.labels} - {"service"}),
            list(dict.fromkeys(sample.labels["service"] for sample in family.samples)),
        )
        for family in sorted(text_string_to_metric_families(text), key=lambda family: family.name)
    ]
