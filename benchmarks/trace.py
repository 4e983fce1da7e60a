"""The trace of a create, drawn as text: every hop, with its time.

    python -m benchmarks.trace

The whole suite runs in one loop, over the memory network, in real time: real TLS, real HTTP, real commits on disk. A
client creates an order through the gateway with a token that is new there, so the token service is asked, too; and
then another one.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import TextIO

import msgspec
import trio
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ordermgmt.net.outbound import HttpClient, open_suite_client
from ordermgmt.security.tls import PublicTls
from ordermgmt.telemetry.logs import configure_logs
from ordermgmt.telemetry.trace import Span, Tracer
from ordermgmt.testing.harness import running_system
from ordermgmt.testing.spans import Recorded, SpanMemory

__all__ = ["draw", "record_creates"]

WIDTH = 24
"""Characters of the bars."""
COLUMNS = 120
ITEMS = [{"category": "books", "code": "978-1617295959", "qty": 1}]

Row = tuple[str, Recorded]


async def record_creates(folder: Path, count: int) -> list[list[Recorded]]:
    """Start the suite in `folder`, create orders through the gateway, and return the spans of each."""
    memory = SpanMemory()
    found = []
    async with running_system(folder, exporters=memory.open) as system:
        token = await system.token("counter-app")
        tracer = Tracer(system.runtime.entropy, system.runtime.clock, memory.of("client"))
        tls = PublicTls(system.certs / "ca.pem", clock=system.runtime.clock)
        at = system.address("gateway")._replace(host="localhost")
        async with open_suite_client(system.runtime.network, [at], tls=tls, name="gateway") as gateway:
            for _ in range(count):
                memory.recorded.clear()
                await _create(gateway, token, tracer)
                await trio.sleep(0.1)  # spans end a little after their answers
                found.append(list(memory.recorded))
    return found


async def _create(gateway: HttpClient, token: str, tracer: Tracer) -> None:
    headers = [("authorization", f"Bearer {token}"), ("content-type", "application/json")]
    with tracer.root("create an order"):
        order = msgspec.json.encode({"name": "Sample order", "items": ITEMS})
        answer = await gateway.request("POST", "/order", headers=headers, content=order)
    if answer.status != 201:
        msg = f"the gateway answered {answer.status}: {answer.content.decode()}"
        raise RuntimeError(msg)


def draw(recorded: Sequence[Recorded], stream: TextIO) -> None:
    """Draw the trace that the client began, and the traces that are linked with it where they belong."""
    root = next(one for one in recorded if one.service == "client" and one.span.parent_id is None)
    table = Table("from ms", "ms", "", "service", "span", box=None, pad_edge=False, header_style="")
    for column in table.columns[:2]:
        column.justify = "right"
    for place, (service, span) in _rows(recorded, root):
        begun, took = 1000 * (span.began_at - root.span.began_at), 1000 * span.seconds
        bar = _bar(begun, took, 1000 * root.span.seconds)
        table.add_row(f"{begun:.1f}", f"{took:.1f}", bar, service, Text(f"{place}{span.name}{_about(span)}"))
    console = Console(file=StringIO(), width=COLUMNS, color_system=None)
    with console.capture() as drawn:
        console.print(table)
    stream.writelines(f"{line.rstrip()}\n" for line in drawn.get().splitlines())


def _rows(recorded: Sequence[Recorded], root: Recorded) -> Iterator[Row]:
    """Yield spans below each other: parts of one, and after them the beginnings of other traces that it links to."""
    by_id = {one.span.span_id: one for one in recorded}
    seen: set[str] = set()

    def below(one: Recorded, before: str, here: str) -> Iterator[Row]:
        seen.add(one.span.span_id)
        yield f"{before}{here}", one
        span = one.span
        parts = [other for other in by_id.values() if other.span.parent_id == span.span_id]
        linked = [by_id[link.span_id] for link in span.links if link.span_id in by_id]
        parts += [other for other in linked if other.span.parent_id is None]
        inner = before + {"": "", "├ ": "│ ", "└ ": "  ", "├⇢ ": "│  ", "└⇢ ": "   "}[here]
        left = sorted((other for other in parts if other.span.span_id not in seen), key=lambda one: one.span.began_at)
        for number, other in enumerate(left, start=1):
            mark = ("└" if number == len(left) else "├") + ("⇢ " if other.span.parent_id is None else " ")
            yield from below(other, inner, mark)

    yield from below(root, "", "")


def _bar(begun: float, took: float, whole: float) -> str:
    """Draw when a span was, in the time of the whole."""
    start = min(max(round(WIDTH * begun / whole), 0), WIDTH - 1)
    end = min(max(round(WIDTH * (begun + took) / whole), start + 1), WIDTH)
    return "·" * start + "█" * (end - start) + "·" * (WIDTH - end)


def _about(span: Span) -> str:
    status = span.attributes.get("http.response.status_code")
    return f" {status}" if status is not None and span.kind == "server" else ""


def main() -> None:
    """Print the trace of the first create, and of the second."""
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        configure_logs(nowhere, pretty=False)
        first, second = trio.run(record_creates, Path(folder), 2)
    draw(first, sys.stdout)
    sys.stdout.write("\n")
    draw(second, sys.stdout)


if __name__ == "__main__":
    main()
