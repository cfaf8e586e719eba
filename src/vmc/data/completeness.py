"""Whether a clip is all there: its numbered frames, or the lengths that its container states. Nothing is decoded.

Half a download of most containers plays without an error up to where it ends.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO


def gap(files: Sequence[Path], stated: int | None = None) -> str | None:
    """Frames are numbered from 1 on; what does not fit that, a clause; None where all are there.

    Args:
        files: of the frames, in natural order.
        stated: how many there should be; None where nobody says.
    """
    for number, file in enumerate(files, start=1):
        if not file.stem.isdecimal():
            return f"holds {file.name}, which is no numbered frame"
        if int(file.stem) != number:
            return f"has no frame {number:05d}{file.suffix}"
    if stated is not None and stated != len(files):
        return f"has {len(files)} frames, where the table says {stated}"
    return None


def numbers(files: Sequence[Path]) -> list[int] | None:
    """The numbers of frames whose names differ in one number alone (`frame_0001.png`); None for other names."""
    parts = [re.fullmatch(r"(.*?)([0-9]{1,18})(\D*)", file.stem) for file in files]
    if not parts or not all(parts) or len({(part[1].casefold(), part[3].casefold()) for part in parts if part}) > 1:
        return None
    return [int(part[2]) for part in parts if part]


def irregularity(files: Sequence[Path]) -> str | None:
    """What is odd about how frames follow each other, a clause; None for evenly numbered ones.

    Args:
        files: of the frames, in natural order, numbered from anywhere and in any step.
    """
    found = numbers(files)
    if found is None:
        return "holds frames that are not numbered alike"
    steps = [after - before for before, after in pairwise(found)]
    if not steps:
        return None
    usual = Counter(steps).most_common(1)[0][0]
    for file, after, step in zip(files, files[1:], steps, strict=False):
        if step == 0:
            return f"holds one frame twice, {file.name} and {after.name}"
        if step > usual:
            return f"jumps from {file.name} to {after.name}"
    return None


_MATROSKA, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_BOXES = (b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"uuid", b"sidx", b"styp", b"mfra", b"meta")


def is_cut_off(path: Path) -> bool:
    """Whether a file ends before its container says; False where the container does not say, or is unknown.

    Known are GIF (its closing byte), Matroska and WebM (the segment's length), MP4 and QuickTime (the boxes' lengths),
    AVI (the list's length) and transport streams (packets of one length).
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(200)
        stream.seek(0)
        if start[:6] in (b"GIF87a", b"GIF89a"):
            return not _gif_is_closed(stream)
        if start[:4] == _MATROSKA:
            return (end := _segment_end(stream)) is not None and end > size
        if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
            return 8 + int.from_bytes(start[4:8], "little") > size
        if start[4:8] in _BOXES:
            return _box_end(stream, size) > size
    # Packets of one length, each with its sync byte, of 192 bytes where a time stamp precedes them (.m2ts).
    for length, first in ((188, 0), (192, 4)):
        if len(start) == 200 and start[first] == start[min(first + length, 199)] == 0x47:
            return size % length > 0
    return False


def gif_size(path: Path) -> tuple[int, int] | None:
    """Width and height of a GIF's canvas, None for other files. Opening it with FFmpeg decodes a frame already."""
    with path.open("rb") as stream:
        start = stream.read(10)
    if len(start) < 10 or start[:6] not in (b"GIF87a", b"GIF89a"):
        return None
    return int.from_bytes(start[6:8], "little"), int.from_bytes(start[8:10], "little")


def _gif_is_closed(stream: BinaryIO) -> bool:
    """Walks over a GIF's blocks to the byte that closes it."""
    header = stream.read(13)
    if len(header) < 13:
        return False
    _skip_colours(stream, header[10])
    while True:
        match stream.read(1):
            case b"\x3b":
                return True
            case b"\x21":  # an extension and its kind
                stream.read(1)
            case b"\x2c":  # a picture: place, size, colours, and how wide its codes are
                descriptor = stream.read(9)
                if len(descriptor) < 9:
                    return False
                _skip_colours(stream, descriptor[8])
                stream.read(1)
            case _:  # the end of the file, or a damaged block, which the decoder tells of
                return False
        for length in iter(lambda: stream.read(1), b"\x00"):
            if not length or len(stream.read(length[0])) < length[0]:
                return False


def _skip_colours(stream: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        stream.read(3 << ((flags & 7) + 1))


def _segment_end(stream: BinaryIO) -> int | None:
    """Where the first segment ends, None where it is written live and does not say."""
    for identifier, length in _elements(stream):
        if length is None or identifier == _SEGMENT:
            return None if length is None else stream.tell() + length
        stream.seek(length, 1)
    return None


def _elements(stream: BinaryIO) -> Iterator[tuple[bytes, int | None]]:
    """Identifier and length of the elements of EBML, whose numbers begin with as many zero bits as bytes follow."""
    while first := stream.read(1):
        identifier = first + stream.read(8 - first[0].bit_length())
        first = stream.read(1)
        if not first or not first[0]:
            return
        following = 8 - first[0].bit_length()
        number = first[0] & ((1 << (7 - following)) - 1)
        number = number << (8 * following) | int.from_bytes(stream.read(following), "big")
        yield identifier, None if number == (1 << (7 * (following + 1))) - 1 else number


def _box_end(stream: BinaryIO, size: int) -> int:
    """Where the last known box of an MP4 says that it ends."""
    end = 0
    while end < size:
        stream.seek(end)
        header = stream.read(16)
        length = int.from_bytes(header[:4], "big")
        if header[4:8] not in _BOXES or length == 0:  # what follows is no box, or lasts to the end of the file
            return size
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:
            return size
        end += length
    return end
