"""A published file that is wanted here: checked before it gets its name, recorded beside it."""

import errno
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from vmc.tools.downloads.part import Part, read_json
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write

FULL = (errno.ENOSPC, errno.EDQUOT)


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
    def part(self) -> Part:
        """What has come so far."""
        return Part(url=self.url, path=self.path, pause=self.pause)

    @property
    def record(self) -> Path:
        """Where the file came from, its SHA-256 and size."""
        return self.path.with_name(f"{self.path.name}.json")

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
        part = self.part
        part.fetch()
        digest = self._accepted(part)
        part.file.replace(self.path)
        part.state.unlink(missing_ok=True)
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
            with atomic_write(self.record) as temporary:
                temporary.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")

    def _accepted(self, part: Part) -> str:
        """SHA-256 of the downloaded part; one that is not what it should be is removed.

        Raises:
            VmcError: another checksum than published or recorded, or `inspect` refuses it.
        """
        digest, expected = sha256(part.file), self.expected()
        try:
            if expected is not None and digest != expected:
                known = "" if self.sha256 else f", or remove {self.record} if the publisher has changed the file"
                raise VmcError(
                    f"{self.url} sent a file with the SHA-256 {digest}, but {expected} is {self._origin()}:"
                    f" it was removed, get it again{known}"
                )
            if self.inspect is not None:
                try:
                    self.inspect(part.file)
                except VmcError as error:
                    raise VmcError(f"what {self.url} sent is not what is wanted, and was removed: {error}") from error
        except VmcError:
            part.forget()
            raise
        return digest

    def _unwritable(self, error: OSError) -> VmcError:
        if error.errno in FULL:
            return VmcError(
                f"no room for {self.path} ({error.strerror}): free some, or name another folder;"
                " the same command goes on where it stopped"
            )
        return VmcError(f"{self.path} cannot be written ({error.strerror or error}): name another folder")


def sha256(file: Path) -> str:
    """Of a file's bytes, as publishers give it; `vmc.utils.files.fingerprint` is another number."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
