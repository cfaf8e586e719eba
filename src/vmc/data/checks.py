"""Checks of clips before any pixels are decoded: permissions, size, and whether a file is complete, because a partial
download in most containers plays without an error up to its end.
"""

import mmap
import re
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from vmc.utils.errors import VmcError

MAX_SIDE = 8192
MAX_PIXELS = 32 << 20
"""Of a frame: 8K video has 7,680 x 4,320. Decoding such a frame and converting it to RGB takes 400 MB."""


@contextmanager
def explain_permissions() -> Iterator[None]:
    """A context or decorator that turns an OSError into a VmcError naming the file or folder."""
    try:
        yield
    except OSError as error:
        raise VmcError(f"{error.filename} cannot be read ({error.strerror}): correct its permissions") from error


@explain_permissions()
def check_regular(path: Path) -> None:
    """Raise a VmcError for what is missing or no regular file: pipes and devices would block forever."""
    if not path.exists():
        raise VmcError(f"clip {path} does not exist: correct its path")
    if not path.is_file():
        raise VmcError(f"clip {path} is no regular file: replace it, or remove it")


@explain_permissions()
def check_path(path: object, *, key: str, missing: bool = False, what: str = "clips or a video file") -> Path:
    """The path that `key` sets, to a folder of `what`; a VmcError if it is not set, several or missing."""
    if path is None or not str(path):
        raise VmcError(f"{key} is not set: give a folder of {what}")
    if not isinstance(path, str | Path) or (str(path).startswith("[") and not Path(path).exists()):
        raise VmcError(f"{key} is {path}, which names several: put the clips into one folder and give that")
    path = Path(path).expanduser()
    if not missing and not path.exists():
        raise VmcError(f"{key} is {path}, which does not exist: give a folder of {what}")
    return path


def check_size(path: Path, width: int, height: int) -> None:
    """Raise a VmcError for a frame that would take gigabytes, or that has no pixels."""
    if width < 1 or height < 1:
        raise VmcError(f"clip {path} has frames of {width}x{height} pixels: replace it, or remove it")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        limits = f"{MAX_SIDE} a side and {MAX_PIXELS // 1_000_000} million in all are read"
        raise VmcError(f"clip {path} has frames of {width}x{height} pixels, {limits}: scale it down, or remove it")


def unreadable(path: Path, error: Exception) -> VmcError:
    """The error for a clip that a library cannot read."""
    reason = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
    return VmcError(f"clip {path} cannot be read ({reason}): replace or re-encode it, or remove it")


def frame_numbers(files: Sequence[Path]) -> list[int] | None:
    """The numbers of frames whose names differ only in one number (`frame_0001.png`); None for other names."""
    parts = [re.fullmatch(r"(.*?)([0-9]{1,18})(\D*)", file.stem) for file in files]
    if not parts or len({part and (part[1].casefold(), part[3].casefold()) for part in parts}) > 1:
        return None
    return [int(part[2]) for part in parts if part] or None


def find_irregularity(files: Sequence[Path]) -> str | None:
    """What is irregular about frames in natural order, a clause; None if they are numbered in equal steps."""
    numbers = frame_numbers(files)
    if numbers is None:
        return "holds frames that are not numbered alike"
    steps = [after - before for before, after in pairwise(numbers)]
    usual = statistics.mode(steps or [0])
    for (file, after), step in zip(pairwise(files), steps, strict=True):
        if step == 0 or step > usual:
            return f"{'jumps' if step else 'holds one frame twice,'} from {file.name} to {after.name}"
    return None


def is_cut_off(path: Path) -> bool:
    """Whether a file ends before its container says; False if the container does not say, or is unknown."""
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as content:
        return _stated_end(content) > len(content)


_BOXES = (b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"uuid", b"sidx", b"styp", b"mfra", b"meta")


def _stated_end(content: mmap.mmap) -> int:
    """The length in bytes that a container states; 0 if it states none."""
    if content[:6] in (b"GIF87a", b"GIF89a"):
        return _gif_end(content)
    if content[:4] == b"\x1a\x45\xdf\xa3":
        return _segment_end(content)
    if content[:4] == b"RIFF" and content[8:12] == b"AVI ":
        return 8 + int.from_bytes(content[4:8], "little")
    if content[4:8] in _BOXES:
        return _box_end(content)
    # Transport streams have packets of one length with a sync byte; in .m2ts a time stamp precedes each.
    for length, first in ((188, 0), (192, 4)):
        if len(content) >= 200 and content[first] == content[first + length] == 0x47:
            return -(-len(content) // length) * length
    return 0


def _gif_end(content: mmap.mmap) -> int:
    """Where the byte that closes a GIF ends, found block by block; beyond the file if there is none."""

    def colors(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 0x80 else 0

    try:
        place = 13 + colors(content[10])
        while (kind := content[place]) in b"\x21\x2c":
            # Skip an extension's kind, or a picture's place, size, colors and code width; then its data blocks.
            place += 2 if kind == 0x21 else 11 + colors(content[place + 9])
            while content[place]:
                place += content[place] + 1
            place += 1
    except IndexError:
        return len(content) + 1
    return place + 1 if kind == 0x3B else len(content) + 1


def _segment_end(content: mmap.mmap) -> int:
    """Where the first segment of Matroska or WebM ends; 0 for a live stream, which does not say."""
    # Its length starts with as many zero bits as bytes follow, and is all ones if it is not known.
    place = content.find(b"\x18\x53\x80\x67", 0, 4096) + 4
    if place < 4 or place >= len(content) or not content[place]:
        return 0
    size = 9 - content[place].bit_length()
    unknown = (1 << 7 * size) - 1
    length = int.from_bytes(content[place : place + size], "big") & unknown
    return 0 if length == unknown else place + size + length


def _box_end(content: mmap.mmap) -> int:
    """Where the last known box of an MP4 or QuickTime file ends; 0 if a box has no length, or is unknown."""
    end = 0
    while end < len(content):
        length, kind = int.from_bytes(content[end : end + 4], "big"), content[end + 4 : end + 8]
        if length == 1:
            length = int.from_bytes(content[end + 8 : end + 16], "big")
        if kind not in _BOXES or length < 8:
            return 0
        end += length
    return end
