"""Identifiers: how they are minted, and what an order id may look like."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

__all__ = ["Entropy", "is_order_id", "new_id"]

Entropy = Callable[[int], bytes]
"""Returns that many unpredictable bytes: `secrets.token_bytes`, or a seeded source in tests."""

_ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def new_id(entropy: Entropy, size: int = 16) -> str:
    """Mint an unguessable identifier: `size` random bytes as unpadded base64url."""
    return base64.urlsafe_b64encode(entropy(size)).rstrip(b"=").decode("ascii")


def is_order_id(text: str) -> bool:
    """Tell whether `text` may name an order: `[A-Za-z0-9_-]{1,64}`, the whole of it."""
    return _ORDER_ID.fullmatch(text) is not None
