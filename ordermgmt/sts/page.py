"""The pages that users see: templates and a style sheet of the package. They have no scripts, and may have none.

What goes into a page is escaped; what a page may do, and where its form may lead, is in its headers.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from importlib.resources import files
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from quart import Response

from ordermgmt.sts.contract import STYLE_PATH

__all__ = ["Pages", "came_from_here", "form_token", "origin_of"]

HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
STYLE_HEADERS = {"cache-control": "public, max-age=300", "x-content-type-options": "nosniff"}

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]+)?", re.ASCII)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)


class Pages:
    """Renders pages."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("ordermgmt.sts", "pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._style = (files("ordermgmt.sts") / "pages" / "style.css").read_bytes()

    def render(self, template: str, status: int = 200, *, leads_to: str = "", **values: object) -> Response:
        """Return a page. `leads_to` is the one URL besides our own to which its form may lead, by a redirect."""
        body = self._templates.get_template(f"{template}.html").render(style_path=STYLE_PATH, **values)
        policy = _content_security_policy(leads_to)
        headers = {**HEADERS, "content-security-policy": policy}
        return Response(body, status, headers, content_type="text/html; charset=utf-8")

    def message(self, status: int, heading: str, text: str) -> Response:
        """Return a page that says something and asks for nothing."""
        return self.render("message", status, heading=heading, text=text)

    def style(self) -> Response:
        """Return the style sheet."""
        return Response(self._style, 200, STYLE_HEADERS, content_type="text/css; charset=utf-8")


def form_token(browser: str, *purpose: str) -> str:
    """Return the token of a form: only who has the cookie `browser` can say it, and only for this purpose."""
    return hmac.new(browser.encode(), "\0".join(purpose).encode(), hashlib.sha256).hexdigest()


def came_from_here(origin: str | None, site: str | None, own: str) -> bool:
    """Tell by its Origin and Sec-Fetch-Site headers whether a form of ours was sent.

    Our referrer policy makes browsers say `Origin: null` of our own forms, too; then only Sec-Fetch-Site tells. Whoever
    sends neither header is no browser of the last years: there the form's token has to do.
    """
    if site is not None and site != "same-origin":
        return False
    if origin == "null":
        return site is not None
    return origin is None or origin == own


def origin_of(url: str) -> str:
    """Return the origin of a URL as a source of a content security policy, or its scheme if it has no such origin."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    origin = f"{parts.scheme}://{parts.netloc}".lower()
    if _ORIGIN.fullmatch(origin):
        return origin
    return f"{parts.scheme}:" if _SCHEME.fullmatch(parts.scheme) else ""


def _content_security_policy(leads_to: str) -> str:
    targets = " ".join(["'self'", *filter(None, [origin_of(leads_to)])])
    return f"default-src 'none'; style-src 'self'; form-action {targets}; frame-ancestors 'none'; base-uri 'none'"
