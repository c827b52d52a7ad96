"""Static files: which are served, how browsers keep them, and how they are compressed."""

import gzip
import os
from pathlib import Path

import pytest

from seatsync.core.http.files import Files
from tests.support.http_front import open_world

PAGE = "<!doctype html><title>Seats</title>"
MODULE = "export const seats = 'seats';\n" * 100


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A page, a module that is at ``/`` too, one in a folder, and what is none of anybody's business."""
    root = tmp_path / "web"
    (root / "vendor").mkdir(parents=True)
    (root / "index.html").write_text(PAGE)
    (root / "client.js").write_text(MODULE)
    (root / "vendor" / "small-1.2.js").write_text("export {};")
    (root / "secret.py").write_text("")
    (root / ".hidden.js").write_text("")
    (tmp_path / "above.js").write_text("")
    return Files(root, at_root=["client.js"])


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml,*/*;q=0.8", "image/png, TEXT/HTML; q=0.5"])
async def test_browsers_get_the_page(files: Files, accept: str) -> None:
    """`/` is the page where `Accept` names HTML, with a policy that lets it load its own files alone."""
    async with open_world(files) as world:
        client = await world.connect()
        reply = await client.request("GET", "/", Accept=accept)
        assert (reply.status, reply.body.decode()) == (200, PAGE)
        assert reply.header("Content-Type") == "text/html; charset=utf-8"
        assert reply.header("Cache-Control") == "no-cache"
        assert reply.all("Vary")[0] == "Accept"
        policy = reply.header("Content-Security-Policy") or ""
        assert dict(part.split(" ", 1) for part in policy.split("; ")) == {
            "default-src": "'self'",
            "img-src": "'self' data:",
            "object-src": "'none'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
            "form-action": "'self'",
            "require-trusted-types-for": "'script'",
            "trusted-types": "'none'",
        }
        assert (await client.request("HEAD", "/", Accept=accept)).header("Content-Length") == str(len(PAGE))


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", "text/html;q=0", "text/html;q=0.00, */*"])
async def test_programs_get_the_index(files: Files, accept: str) -> None:
    """A program that names no HTML gets the endpoints as text."""
    async with open_world(files) as world:
        client = await world.connect()
        reply = await client.request("GET", "/", Accept=accept)
        assert reply.header("Content-Type") == "text/plain; charset=utf-8"
        assert reply.header("Cache-Control") == "no-store"


async def test_without_a_page_browsers_get_the_index() -> None:
    """An installation without its files still answers."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("GET", "/", Accept="text/html")
        assert reply.header("Content-Type") == "text/plain; charset=utf-8"


@pytest.mark.parametrize("path", ["/client.js", "/web/client.js", "/web/vendor/small-1.2.js", "/web/index.html"])
async def test_files_are_below_their_prefix(files: Files, path: str) -> None:
    """Files are below their prefix, some at `/` as well, and nothing but a page is one for browsers."""
    async with open_world(files) as world:
        client = await world.connect()
        reply = await client.request("GET", path)
        assert reply.status == 200
        assert reply.header("Content-Type") in {"text/javascript; charset=utf-8", "text/html; charset=utf-8"}
        policy = reply.header("Content-Security-Policy") or ""
        assert policy.startswith("default-src 'self';" if path.endswith(".html") else "default-src 'none';")
        assert world.observed[0][:2] == (path, "success")
        assert (await client.request("OPTIONS", path)).header("Allow") == "GET, HEAD, OPTIONS"
        assert (await client.request("POST", path, b"")).status == 405


@pytest.mark.parametrize(
    "path",
    [
        *("/index.html", "/vendor/small-1.2.js", "/web", "/web/", "/web/vendor", "/web/nothing.js", "/web/secret.py"),
        *(
            "/web/.hidden.js",
            "/web/../above.js",
            "/web/vendor/../../above.js",
            "/web/%2e%2e/above.js",
            "/web/CLIENT.JS",
        ),
        *("/web/client.js%00", "/web/client.js\\", "/web/./client.js"),
    ],
)
async def test_nothing_else_is_served(files: Files, path: str) -> None:
    """No folder, no hidden file, no other type, no other spelling, and nothing outside of the directory."""
    async with open_world(files) as world:
        client = await world.connect()
        reply = await client.request("GET", path)
        assert (reply.status, reply.error) == (404, "NotFound")
        assert world.observed[0][0] == ""


async def test_a_known_file_is_not_sent_again(files: Files) -> None:
    """Browsers ask with the ETag of what they have; 304 has the fields of caches and no body."""
    async with open_world(files) as world:
        client = await world.connect()
        etag = (await client.request("GET", "/client.js")).header("ETag")
        for known in (etag, f'W/{etag}, "other"', f'"other",{etag}', "*"):
            reply = await client.request("GET", "/client.js", If_None_Match=str(known))
            assert (reply.status, reply.body, reply.header("Content-Length")) == (304, b"", None)
            assert (reply.header("ETag"), reply.header("Cache-Control")) == (etag, "no-cache")
            assert "Accept-Encoding" in reply.all("Vary")
        assert (await client.request("GET", "/client.js", If_None_Match='"other"')).status == 200


async def test_large_texts_are_compressed(files: Files) -> None:
    """From 1 KiB on, for those who accept gzip; the two bodies have different ETags."""
    async with open_world(files) as world:
        client = await world.connect()
        plain = await client.request("GET", "/client.js", Accept_Encoding="br, gzip;q=0")
        assert (plain.header("Content-Encoding"), plain.body.decode()) == (None, MODULE)
        small = await client.request("GET", "/web/vendor/small-1.2.js", Accept_Encoding="gzip")
        assert small.header("Content-Encoding") is None
        packed = await client.request("GET", "/client.js", Accept_Encoding="gzip, deflate, br")
        assert packed.header("Content-Encoding") == "gzip"
        assert len(packed.body) < len(MODULE) / 10
        assert gzip.decompress(packed.body).decode() == MODULE
        assert packed.header("ETag") != plain.header("ETag")
        head = await client.request("HEAD", "/client.js", Accept_Encoding="gzip")
        assert head.header("Content-Length") == str(len(packed.body))


async def test_a_changed_file_is_read_again(files: Files, tmp_path: Path) -> None:
    """A file is read once, and again when it has another time or size; one that has gone is 404."""
    path = tmp_path / "web" / "vendor" / "small-1.2.js"
    async with open_world(files) as world:
        client = await world.connect()
        before = await client.request("GET", "/web/vendor/small-1.2.js")
        assert files.find("vendor/small-1.2.js") is files.find("vendor/small-1.2.js")
        path.write_text("export{ };")
        os.utime(path, ns=(0, 0))
        after = await client.request("GET", "/web/vendor/small-1.2.js", If_None_Match=str(before.header("ETag")))
        assert (after.status, after.body) == (200, b"export{ };")
        path.unlink()
        assert (await client.request("GET", "/web/vendor/small-1.2.js")).status == 404
