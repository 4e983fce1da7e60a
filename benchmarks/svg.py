"""The few shapes that the plots of the reports are made of."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["document", "line", "rect", "text"]


def document(width: int, height: int, parts: Iterable[str]) -> str:
    """Return a whole image on white ground."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'{head} font-size="12">\n{ground}\n' + "\n".join(parts) + "\n</svg>\n"


def line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    """Return a thin line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    """Return a filled rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def text(x: float, y: float, content: str, anchor: str) -> str:
    """Return a word or two; `anchor` is start, middle or end. The content has nothing to escape."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{content}</text>'
