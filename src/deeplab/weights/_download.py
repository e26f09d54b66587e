"""Fetching a file over HTTP: taken up again where it broke off, checked, and whole or not there."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from deeplab.errors import DownloadError

__all__ = ["download", "sha256_of"]

logger = logging.getLogger(__name__)

PIECE = 1 << 18
"""Bytes that are read at once."""

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each new try when a connection broke; all of them anew whenever bytes came."""


class BrokenConnectionError(Exception):
    """The connection did not come about, or ended before the file did; the text says why."""


def download(
    url: str, path: Path, *, sha256: str = "", on_bytes: Callable[[int, int | None], None] | None = None
) -> None:
    """Fetch `url` to `path`, by way of a file beside it that ends in .part, from which a later call goes on.

    Without a connection this fails at once; one that breaks after bytes came is tried again.

    Args:
        sha256: Hexadecimal digits that the file's SHA-256 has to begin with.
        on_bytes: Called after each piece with the bytes so far and those of the whole file, if known.

    Raises:
        DownloadError: The file cannot be fetched, or is not the one that was published.
        OSError: It cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    pauses: Iterator[float] = iter(())
    while True:
        before = _size(part)
        try:
            _receive(url, part, on_bytes or (lambda done, total: None))
            break
        except BrokenConnectionError as error:
            if _size(part) > before:
                pauses = iter(PAUSES)
            pause = next(pauses, None)
            if pause is None:
                raise DownloadError(
                    f"cannot download {url} ({error}); get the file in another way and put it at {path}"
                ) from error
            logger.info("%s: %s; going on in %g s", url, error, pause)
            time.sleep(pause)
    found = sha256_of(part) if sha256 else ""
    if not found.startswith(sha256):
        part.unlink()
        raise DownloadError(
            f"{url}: came damaged, its SHA-256 begins with {found[: len(sha256)]} and not with {sha256}; try again"
        )
    part.replace(path)


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _receive(url: str, part: Path, on_bytes: Callable[[int, int | None], None]) -> None:
    """Append what `part` lacks, or write it anew where the server does not serve parts."""
    start = _size(part)
    response = _opened(url, start)
    if response is None:  # longer than the file: of another one
        part.unlink()
        response = _opened(url, 0)
    if response is None:
        raise BrokenConnectionError("the server refuses to send it")
    with response:
        resumed = response.status == 206
        done = start if resumed else 0
        total = _total(response)
        with part.open("ab" if resumed else "wb") as file:
            for piece in _pieces(response):
                file.write(piece)
                done += len(piece)
                on_bytes(done, total)
    if total is not None and done < total:
        raise BrokenConnectionError(f"the connection closed after {done:,} of {total:,} bytes")


def _opened(url: str, start: int) -> HTTPResponse | None:
    """The answer, from byte `start` on; None where there is no such byte."""
    headers = {"User-Agent": "deeplab", **({"Range": f"bytes={start}-"} if start else {})}
    try:
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
        return response
    except HTTPError as error:
        error.close()
        if error.code == 416:
            return None
        raise BrokenConnectionError(f"HTTP {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise BrokenConnectionError(_reason(error)) from error


def _pieces(response: HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := response.read(PIECE):
            yield piece
    except (OSError, HTTPException) as error:
        raise BrokenConnectionError(_reason(error)) from error


def _total(response: HTTPResponse) -> int | None:
    """Bytes of the whole file, if the server says."""
    part = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", ""))
    length = part[1] if part else response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and (part or response.status == 200) else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: BaseException) -> str:
    inner = getattr(error, "reason", error)  # that of a URLError
    return str(getattr(inner, "strerror", None) or inner or type(error).__name__)
