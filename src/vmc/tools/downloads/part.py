"""A file that comes over HTTP and is not whole yet: kept and gone on with where the connection breaks off."""

import errno
import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from tqdm import tqdm

from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write

ATTEMPTS = 5
"""In a row without a single byte, before the download is given up."""
TIMEOUT = 30.0  # seconds without an answer
CHUNK = 1 << 20


class _BrokenOffError(Exception):
    """The connection ended before the file did; what has come stays."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What has come of the file that is wanted at `path`: `NAME.part`, and `NAME.part.json` says a part of what.

    Args:
        url: where it is published.
        path: where the whole file goes.
        pause: seconds before the second attempt in a row, twice as many before each following one.
    """

    url: str
    path: Path
    pause: float = 1.0

    @property
    def file(self) -> Path:
        """What has come so far."""
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def state(self) -> Path:
        """What it is a part of."""
        return self.path.with_name(f"{self.path.name}.part.json")

    def forget(self) -> None:
        """Begin anew the next time."""
        self.file.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)

    def fetch(self) -> None:
        """Bring the part to its full length, in as many attempts as it takes while each gets further.

        Raises:
            VmcError: no network, no such file there, or it breaks off again and again.
            OSError: it cannot be written here.
        """
        failures = 0
        while True:
            before = self._have()
            try:
                return self._attempt()
            except _BrokenOffError as error:
                failures = 0 if self._have() > before else failures + 1
                if failures >= ATTEMPTS:
                    raise VmcError(
                        f"{self.url} broke off at {_megabytes(self._have())} ({error}):"
                        " the same command goes on from there"
                    ) from error
                time.sleep(self.pause * 2 ** max(failures - 1, 0))

    def _have(self) -> int:
        return self.file.stat().st_size if self.file.is_file() else 0

    def _attempt(self) -> None:
        have, said = self._have(), read_json(self.state)
        resumable = have > 0 and said.get("url") == self.url and bool(said.get("version"))
        headers = {"Accept-Encoding": "identity", "User-Agent": "vmc"}
        if resumable:  # the whole file is sent where it has changed since
            headers |= {"Range": f"bytes={have}-", "If-Range": said["version"]}
        with self._answer(headers) as answer:
            if answer is None:  # nothing is left to be sent, or the part is longer than the file
                if have == said.get("bytes"):
                    return
                self.forget()
                raise _BrokenOffError("the part did not fit the file")
            start = have if answer.status == 206 else 0
            if answer.status == 206 and _range_start(answer) != have:
                self.forget()
                raise _BrokenOffError("the server sent another range than asked for")
            length = answer.headers.get("Content-Length")
            total = start + int(length) if length is not None else None
            if total is not None:
                self._check_room(total - start)
            self._write_state(answer, total)
            self._receive(answer, start=start, total=total)

    @contextmanager
    def _answer(self, headers: Mapping[str, str]) -> Iterator[Any]:
        """The server's answer; None where it has no such range."""
        host = urlsplit(self.url).hostname
        try:
            answer = urllib.request.urlopen(urllib.request.Request(self.url, headers=dict(headers)), timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:
                yield None
                return
            if error.code >= 500 or error.code == 429:
                raise _BrokenOffError(f"{host} answers {error.code} {error.reason}") from error
            why = "it may have moved" if error.code in (404, 410) else "it is refused here"
            raise VmcError(
                f"{self.url} answers {error.code} {error.reason}: {why};"
                f" get the file elsewhere and put it at {self.path}"
            ) from error
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            if self._have():
                raise _BrokenOffError(f"{host} cannot be reached: {reason}") from error
            raise VmcError(
                f"{self.path} is not there and {host} cannot be reached ({reason}):"
                f" check the network, or copy the file of {self.url} there"
            ) from error
        with answer:
            yield answer

    def _check_room(self, wanted: int) -> None:
        free = shutil.disk_usage(self.file.parent).free
        if wanted > free:
            raise OSError(errno.ENOSPC, f"{_megabytes(wanted)} are still to come, {_megabytes(free)} are free")

    def _write_state(self, answer: Any, total: int | None) -> None:
        # A weak tag does not promise equal bytes, so it cannot be resumed by.
        tag = answer.headers.get("ETag") or ""
        version = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")
        with atomic_write(self.state) as temporary:
            temporary.write_text(json.dumps({"url": self.url, "version": version, "bytes": total}), encoding="utf-8")

    def _receive(self, answer: Any, *, start: int, total: int | None) -> None:
        with (
            self.file.open("ab" if start else "wb") as stream,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=self.path.name, disable=None) as bar,
        ):
            while chunk := _read(answer):
                write(stream, chunk)
                bar.update(len(chunk))
            stream.flush()
            os.fsync(stream.fileno())
        if total is not None and self._have() < total:
            raise _BrokenOffError(f"of {_megabytes(total)}")


def write(stream: BinaryIO, chunk: bytes) -> None:
    """All that is done to the disk while a file comes in."""
    stream.write(chunk)


def _read(answer: Any) -> bytes:
    try:
        return answer.read1(CHUNK)
    except (http.client.HTTPException, OSError) as error:
        raise _BrokenOffError(str(error) or type(error).__name__) from error


def _range_start(answer: Any) -> int | None:
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range") or "")
    return int(found[1]) if found else None


def read_json(file: Path) -> dict[str, Any]:
    """A small file of ours; empty where there is none or it is broken."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
