"""Pages and assets as the gateway sends them."""

from __future__ import annotations

import gzip
from importlib.resources import files
from pathlib import Path

import pytest
import trio

from ordermgmt.errors import StartError
from ordermgmt.gateway.files import load_files
from tests.contract.shop_setup import open_shop, surfer

WEB = Path(str(files("ordermgmt.gateway") / "web"))
PAGES = {"/": "index.html", "/operate": "operate.html"}
WANTED = {
    "cache-control": "no-cache",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "vary": "accept-encoding",
    "x-content-type-options": "nosniff",
}


async def test_pages(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        for path, name in PAGES.items():
            content = (WEB / name).read_bytes()
            plain = await browser.get(path, [("accept-encoding", "identity")])
            assert (plain.status, plain.content) == (200, content)
            assert plain.headers["content-type"] == "text/html; charset=utf-8"
            assert WANTED.items() <= plain.headers.items()
            assert "default-src 'none'; script-src 'self'" in plain.headers["content-security-policy"]
            assert "strict-transport-security" not in plain.headers  # it would hold for every port of this machine
            assert "set-cookie" not in plain.headers
            packed = await browser.get(path, [("accept-encoding", "br, gzip")])
            if packed.headers.get("content-encoding") == "gzip":
                assert gzip.decompress(packed.content) == content
                assert packed.headers["etag"] != plain.headers["etag"]
            for etag in (plain.headers["etag"], f'"x", {plain.headers["etag"]}', f"W/{plain.headers['etag']}", "*"):
                same = await browser.get(path, [("accept-encoding", "identity"), ("if-none-match", etag)])
                assert (same.status, same.content) == (304, b"")
                assert same.headers["etag"] == plain.headers["etag"]
            other = await browser.get(path, [("accept-encoding", "identity"), ("if-none-match", '"x"')])
            assert other.status == 200
            head = await browser.send("HEAD", browser.origin + path, [("accept-encoding", "identity")])
            assert (head.status, head.content) == (200, b"")
            assert head.headers["etag"] == plain.headers["etag"]


async def test_nothing_but_the_files_is_sent(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with open_shop(tmp_path) as system:
        browser = await surfer(system)
        for path in (
            "/index.html",
            "/assets/",
            "/assets/none.js",
            "/assets/../index.html",
            "/assets/%2e%2e%2findex.html",
        ):
            assert (await browser.get(path)).status == 404, path
        assert (await browser.ask("POST", "/")).status == 405


def write(folder: Path) -> Path:
    (folder / "assets").mkdir()
    return folder


@pytest.mark.parametrize("name", ["a.html", "a.exe", "a b.js", "a", "ä.js", "a.js.map"])
def test_an_asset_of_another_kind_stops_the_start(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "assets" / name).write_text("x")
    with pytest.raises(StartError, match=r"an asset is called like name\.js"):
        load_files(folder)


def test_files_are_few(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "assets" / "big.js").write_bytes(bytes(17 * 1024 * 1024))
    with pytest.raises(StartError, match="at most are kept"):
        load_files(folder)


def test_what_is_small_is_not_compressed(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "index.html").write_text("x" * 511)
    (folder / "assets" / "a.css").write_text("x" * 512)
    found = load_files(folder)
    assert found.pages == ["/"]
    assert found._files["/"].compressed is None
    assert found._files["/assets/a.css"].compressed is not None
