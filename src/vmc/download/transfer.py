"""One file over HTTP: resumed where it broke off, checked before it gets its name, recorded beside it."""

import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from tqdm import tqdm

from vmc.errors import VmcError
from vmc.files import written_whole

ATTEMPTS = 5
"""In a row without a single byte, before the download is given up."""
TIMEOUT = 30.0  # seconds without an answer
CHUNK = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT)


class _BrokenOffError(Exception):
    """The connection ended before the file did; what has come stays."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A file that is wanted at `path`; on the way it is `NAME.part`, and `NAME.part.json` says a part of what.

    Args:
        url: where it is published.
        path: where it goes.
        sha256: as published; None where nothing is.
        inspect: raises `VmcError` for a file that is not what it should be; it never gets the name then.
        pause: seconds before the second attempt in a row, twice as many before each following one.
    """

    url: str
    path: Path
    sha256: str | None = None
    inspect: Callable[[Path], object] | None = None
    pause: float = 1.0

    @property
    def part(self) -> Path:
        """What has come so far."""
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def record(self) -> Path:
        """Where the file came from, its SHA-256 and size."""
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def state(self) -> Path:
        """What an unfinished download is a part of."""
        return self.path.with_name(f"{self.path.name}.part.json")

    def get(self, *, offline: bool = False) -> bool:
        """Whether the file had to be downloaded: one that is there is only checked.

        Args:
            offline: say that it is missing in place of asking the network.

        Raises:
            VmcError: no network, no such file there, no room here, another content than published or recorded.
        """
        try:
            with _alone(self.path):
                return self._get(offline)
        except OSError as error:
            raise self._unwritable(error) from error

    def _get(self, offline: bool) -> bool:
        if self.path.is_file():
            self._check_present()
            return False
        if offline:
            raise VmcError(
                f"{self.path} is not there and HF_HUB_OFFLINE is set: unset it to download {self.url},"
                " or copy the file there"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fetch()
        digest = self._accepted()
        self.part.replace(self.path)
        self.state.unlink(missing_ok=True)
        self._write_record(digest)
        return True

    def _check_present(self) -> None:
        """Compare the file with what is published or was recorded; without either it is looked into and recorded."""
        expected, digest = self.expected(), sha256(self.path)
        if expected is None:
            if self.inspect is not None:
                self.inspect(self.path)
            self._write_record(digest)
        elif digest != expected:
            raise VmcError(
                f"{self.path} has the SHA-256 {digest}, but {expected} is {self._origin()}:"
                " move it away and get it again"
            )

    def expected(self) -> str | None:
        """The published SHA-256, else the recorded one, else None."""
        return self.sha256 or read_json(self.record).get("sha256")

    def _origin(self) -> str:
        return "published" if self.sha256 else f"recorded in {self.record.name}"

    def _write_record(self, digest: str) -> None:
        said = {
            "url": self.url,
            "sha256": digest,
            "bytes": self.path.stat().st_size,
            "checksum": "published" if self.sha256 else "recorded on first use: none is published",
        }
        if read_json(self.record) != said:
            with written_whole(self.record) as temporary:
                temporary.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")

    def _accepted(self) -> str:
        """SHA-256 of the downloaded part; one that is not what it should be is removed.

        Raises:
            VmcError: another checksum than published or recorded, or `inspect` refuses it.
        """
        digest, expected = sha256(self.part), self.expected()
        try:
            if expected is not None and digest != expected:
                known = "" if self.sha256 else f", or remove {self.record} if the publisher has changed the file"
                raise VmcError(
                    f"{self.url} sent a file with the SHA-256 {digest}, but {expected} is {self._origin()}:"
                    f" it was removed, get it again{known}"
                )
            if self.inspect is not None:
                try:
                    self.inspect(self.part)
                except VmcError as error:
                    raise VmcError(f"what {self.url} sent is not what is wanted, and was removed: {error}") from error
        except VmcError:
            self._forget()
            raise
        return digest

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)

    def _fetch(self) -> None:
        """Bring the part to its full length, in as many attempts as it takes while each gets further."""
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
        return self.part.stat().st_size if self.part.is_file() else 0

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
                self._forget()
                raise _BrokenOffError("the part did not fit the file")
            start = have if answer.status == 206 else 0
            if answer.status == 206 and _range_start(answer) != have:
                self._forget()
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
        free = shutil.disk_usage(self.path.parent).free
        if wanted > free:
            raise OSError(errno.ENOSPC, f"{_megabytes(wanted)} are still to come, {_megabytes(free)} are free")

    def _write_state(self, answer: Any, total: int | None) -> None:
        # A weak tag does not promise equal bytes, so it cannot be resumed by.
        tag = answer.headers.get("ETag") or ""
        version = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")
        with written_whole(self.state) as temporary:
            temporary.write_text(json.dumps({"url": self.url, "version": version, "bytes": total}), encoding="utf-8")

    def _receive(self, answer: Any, *, start: int, total: int | None) -> None:
        with (
            self.part.open("ab" if start else "wb") as stream,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=self.path.name, disable=None) as bar,
        ):
            while chunk := _read(answer):
                write(stream, chunk)
                bar.update(len(chunk))
            stream.flush()
            os.fsync(stream.fileno())
        if total is not None and self._have() < total:
            raise _BrokenOffError(f"of {_megabytes(total)}")

    def _unwritable(self, error: OSError) -> VmcError:
        if error.errno in FULL:
            return VmcError(
                f"no room for {self.path} ({error.strerror}): free some, or name another folder;"
                " the same command goes on where it stopped"
            )
        return VmcError(f"{self.path} cannot be written ({error.strerror or error}): name another folder")


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


def sha256(file: Path) -> str:
    """Of a file's bytes, as publishers give it; `vmc.files.fingerprint` is another number."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(file: Path) -> dict[str, Any]:
    """A small file of ours; empty where there is none or it is broken."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two commands never write to one part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise VmcError(f"{path} is being downloaded by another process: wait until it is done") from error
    try:
        yield
    finally:
        lock.release()


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
