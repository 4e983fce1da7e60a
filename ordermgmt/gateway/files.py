"""Pages and their assets: files of the package, read once, and sent with headers that let them load nothing else."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from types import MappingProxyType

from quart import Response, request

from ordermgmt.errors import NotFound, StartError
from ordermgmt.net.app import tagged_response

__all__ = ["File", "Files", "load_files"]

MAX_TOTAL = 16 * 1024 * 1024
"""Bytes of all files, as they are and compressed: all of them are kept in memory."""
SMALLEST = 512
"""Bytes of a file that is worth compressing."""

CONTENT_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "html": "text/html; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "svg": "image/svg+xml",
        "json": "application/json",
    }
)
PAGES: Mapping[str, str] = MappingProxyType({"/": "index.html", "/operate": "operate.html", "/docs": "docs.html"})
"""Where pages are, if the package has them. What a page shows it finds behind the `#`."""
ASSETS = "assets"

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.(js|css|svg)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Form:
    """A file as it goes over the wire, with the strong validator of exactly these bytes (RFC 9110 section 8.8.3)."""

    content: bytes
    tag: str


@dataclass(frozen=True, slots=True)
class File:
    """A file. `compressed` is None where that gains nothing."""

    content_type: str
    plain: Form
    compressed: Form | None


class Files:
    """The files by path: `/`, `/operate`, `/assets/<name>`."""

    def __init__(self, files: Mapping[str, File]) -> None:
        self._files = files

    @property
    def pages(self) -> list[str]:
        """The paths of all that is no asset."""
        return [path for path in self._files if not path.startswith(f"/{ASSETS}/")]

    def answer(self, path: str) -> Response:
        """Answer a GET or HEAD of a path. Raises NotFound."""
        file = self._files.get(path)
        if file is None:
            raise NotFound("no-such-path", f"there is nothing at {path}")
        form = file.plain
        headers = {"cache-control": "no-cache", "vary": "accept-encoding"}
        if file.compressed is not None and request.accept_encodings.quality("gzip") > 0:
            form = file.compressed
            headers["content-encoding"] = "gzip"
        return tagged_response(form.content, form.tag, file.content_type, headers)


def load_files(folder: Traversable, made: Mapping[str, bytes] = MappingProxyType({})) -> Files:
    """Read the pages of `folder` and its assets; `made` are more files, by path. Blocks.

    Raises StartError if there is one that could not be served.
    """
    files = {path: _load(folder / name) for path, name in PAGES.items() if (folder / name).is_file()}
    files |= {path: _file(path, content) for path, content in made.items()}
    for entry in _assets(folder / ASSETS):
        if not _NAME.fullmatch(entry.name):
            msg = f"{entry}: an asset is called like name.js, name.css or name.svg"
            raise StartError(msg)
        files[f"/{ASSETS}/{entry.name}"] = _load(entry)
    size = sum(len(form.content) for file in files.values() for form in (file.plain, file.compressed) if form)
    if size > MAX_TOTAL:
        msg = f"{folder}: its files take {size} bytes, and {MAX_TOTAL} at most are kept"
        raise StartError(msg)
    return Files(files)


def _assets(folder: Traversable) -> Iterator[Traversable]:
    if folder.is_dir():
        yield from (entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _load(path: Traversable) -> File:
    return _file(path.name, path.read_bytes())


def _file(name: str, content: bytes) -> File:
    compressed = gzip.compress(content, mtime=0)
    smaller = len(content) >= SMALLEST and len(compressed) < len(content)
    return File(
        CONTENT_TYPES[name.rpartition(".")[2]],
        _form(content),
        _form(compressed) if smaller else None,
    )


def _form(content: bytes) -> Form:
    return Form(content, hashlib.sha256(content).hexdigest()[:32])
