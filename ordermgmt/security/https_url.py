"""URLs that somebody configured, or another server named."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

__all__ = ["split_https_url"]


def split_https_url(url: str) -> SplitResult:
    """Split the URL of something that is asked for over TLS. What is not encrypted is refused, on loopback too.

    Raises ValueError if it is none of a host, or has a user or a fragment.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        msg = "not a URL"
        raise ValueError(msg)
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or parts.fragment or parts.port == 0:
        msg = "not an https URL"
        raise ValueError(msg)
    return parts
