"""Static files out of one directory: a page and what it loads.

A file is read when it is first requested, and again when it has changed on disk. Browsers ask each time whether theirs
is still the same, which an ETag answers with 304 (RFC 9110, 8.8.3 and 13.1.2).
"""

import gzip
import hashlib
import re
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Final

from attrs import frozen

from seatsync.core.http.request import Request
from seatsync.core.http.response import LOADS_NOTHING, TEXT, HeaderList, Response

#: The page, below the prefix of the files and, for browsers, at ``/``.
PAGE: Final = "index.html"

#: Types of files by ending; others are not served.
TYPES: Final = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".ts": TEXT,
    ".svg": b"image/svg+xml",
    ".png": b"image/png",
}

#: A page loads its own files and pictures in its source alone; 'self' includes WebSockets of its own origin. And no
#: script of it can make markup or a script of a text (Trusted Types).
_POLICY: Final = (
    b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    b"form-action 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
)

#: Smaller ones are not compressed, nor is what is compressed already.
_LEAST_COMPRESSED_BYTES: Final = 1024
_COMPRESSED: Final = frozenset({".png"})

#: Names below the directory, in lower case; none is hidden, and none leads out of it.
_NAME = re.compile(r"(?:[a-z0-9_-][a-z0-9._-]*/)*[a-z0-9_-][a-z0-9._-]*")


@frozen
class File:
    """One file as it was read."""

    ending: str
    body: bytes
    gzipped: bytes | None
    """Where it is worth it."""
    etag: str
    """Without quotes; that of the gzipped body has a suffix, for it is another representation."""

    def answer(self, request: Request, *vary: bytes) -> Response:
        """Return the file, gzipped where the client accepts that, or 304 where it has it."""
        is_gzipped = self.gzipped is not None and request.accepts(b"accept-encoding", "gzip")
        etag = f'"{self.etag}-gzip"' if is_gzipped else f'"{self.etag}"'
        headers: HeaderList = [(b"ETag", etag.encode())]
        if varying := [*vary, *([b"Accept-Encoding"] if self.gzipped is not None else [])]:
            headers.append((b"Vary", b", ".join(varying)))
        policy = _POLICY if self.ending == ".html" else LOADS_NOTHING
        if _is_known(etag, request.header(b"if-none-match")):
            return Response(304, headers=headers, cache_control=b"no-cache", policy=policy)
        body = self.body
        if self.gzipped is not None and is_gzipped:
            body = self.gzipped
            headers.append((b"Content-Encoding", b"gzip"))
        return Response(200, body, TYPES[self.ending], headers, cache_control=b"no-cache", policy=policy)


def _is_known(etag: str, known: str | None) -> bool:
    """The client has that representation already: weak comparison (RFC 9110, 13.1.2)."""
    return known is not None and (known.strip() == "*" or etag in re.findall(r'"[^"]*"', known))


@lru_cache(maxsize=128)
def _read(path: Path, _changed_ns: int, _size: int) -> File:
    """Read a file, once for each time of its last change and size; raises `OSError`."""
    body = path.read_bytes()
    gzipped = None
    if len(body) >= _LEAST_COMPRESSED_BYTES and path.suffix not in _COMPRESSED:
        gzipped = gzip.compress(body, mtime=0)
    return File(path.suffix, body, gzipped, hashlib.sha256(body).hexdigest()[:32])


@frozen
class Files:
    """The files of ``directory``, below ``/web/``; those named ``at_root`` are at ``/`` as well."""

    _directory: Path
    _at_root: Collection[str] = ()

    def at(self, path: str) -> File | None:
        """The file at a request's path, as it is now."""
        name = path.removeprefix("/web/")
        if name == path and (name := path[1:]) not in self._at_root:
            return None
        return self.find(name) if _NAME.fullmatch(name) else None

    def find(self, name: str) -> File | None:
        """The file of that name below the directory, as it is now."""
        path = self._directory / name
        if path.suffix not in TYPES:
            return None
        try:
            status = path.stat()
            return _read(path, status.st_mtime_ns, status.st_size)
        except OSError:
            return None
