"""Reading captions and prompts as editors and spreadsheets save them, of bounded size."""

import codecs
import csv
import io
import logging
import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from vmc.utils.errors import VmcError

logger = logging.getLogger(__name__)

MAX_MIB = 16  # of a file, so that a video in place of a text is refused at once
MAX_ROWS = 100_000
MAX_CHARACTERS = 10_000  # of a caption or prompt, far more than any text encoder reads

_MARKS = (  # UTF-32's starts like UTF-16's, so it comes first
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DELIMITERS = (",", ";", "\t")


def read_text(path: Path) -> str:
    """Read a text of bounded size in UTF-8 or UTF-16, or else in the encoding of Western Windows, which is logged."""
    try:
        if not path.is_file():
            raise VmcError(f"{path} is no regular file: give a text file")
        with path.open("rb") as stream:
            content = stream.read((MAX_MIB << 20) + 1)
    except OSError as error:
        raise VmcError(f"{path} cannot be read ({error.strerror}): correct its permissions, or remove it") from error
    if len(content) > MAX_MIB << 20:
        raise VmcError(f"{path} has more than {MAX_MIB} MiB, too much for such a text: split it, or name another")
    text = _decoded(path, content)
    if "\0" in text:
        raise VmcError(f"{path} holds bytes that are no text: save it as text in UTF-8")
    return text


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text, stripped; blank lines are left out."""
    lines = [stripped for line in read_text(path).splitlines() if (stripped := line.strip())]
    if len(lines) > MAX_ROWS:
        raise VmcError(f"{path} has {len(lines):,} lines, {MAX_ROWS:,} are read at most: split it")
    for line in lines:
        check_characters(line, where=str(path))
    return lines


def read_table(path: Path, *, wanted: Sequence[str]) -> tuple[list[str], list[dict[str, str]]]:
    """Read the rows of a table whose first line names its columns, in upper or lower case.

    Columns are separated by commas, semicolons or tabs, whichever gives the first line the most of the wanted names;
    commas win a tie.

    Returns:
        the columns' names in lower case, and the cells of each row by these names, stripped and in one line. Empty rows
        are left out. Cells beyond the last column are under the empty name.
    """
    lines = list(io.StringIO(read_text(path), newline=None))
    # A line `sep=;`, in which some spreadsheets note the delimiter.
    if lines and lines[0].strip().lower() in {f"sep={mark}" for mark in (*_DELIMITERS, "")}:
        del lines[0]
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(_DELIMITERS, key=lambda mark: len(set(_names(first, mark)) & set(wanted)))
    rows: list[dict[str, str]] = []
    try:
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        header = next(([_plain(cell) for cell in row] for row in reader if any(map(str.strip, row))), [])
        while header and not header[-1]:
            header.pop()
        if twice := {name for name in header if name and header.count(name) > 1}:
            raise VmcError(f"{path} has the column {min(twice)!r} twice: remove one of them")
        for row in reader:
            cells = [" ".join(cell.splitlines()).strip() for cell in row]
            if not any(cells):
                continue
            if len(rows) == MAX_ROWS:
                raise VmcError(f"{path} has more than {MAX_ROWS:,} rows: split it")
            for cell in cells:
                check_characters(cell, where=str(path))
            beyond = delimiter.join(filter(None, cells[len(header) :]))
            rows.append({**dict(zip_longest(header, cells[: len(header)], fillvalue="")), "": beyond})
    except csv.Error as error:
        raise VmcError(f"{path} does not read as a table ({error}): save it as comma-separated text") from error
    return header, rows


def check_characters(text: str, *, where: str) -> None:
    """Raise a VmcError if a caption or prompt is far longer than any text encoder reads."""
    if len(text) > MAX_CHARACTERS:
        raise VmcError(
            f"{where} holds a text of {len(text):,} characters ({shortened(text)!r}), {MAX_CHARACTERS:,} are read at "
            "most: shorten it, or close a quote that was left open"
        )


def shortened(text: str, width: int = 80) -> str:
    """Shorten a text to a number of characters, for a message."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _decoded(path: Path, content: bytes) -> str:
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None) or _guessed(content)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise VmcError(f"{path} is cut off or damaged ({encoding}, {error.reason}): save it in UTF-8") from error
    logger.warning(f"{path} is not in UTF-8 and was read as Western European text; save it in UTF-8 to be sure")
    return content.decode("cp1252", errors="replace")  # five bytes are undefined in it


def _guessed(content: bytes) -> str:
    """Guess UTF-16 without a mark, in which every other byte of European languages is zero; else UTF-8."""
    even, odd = content[0:2000:2].count(0), content[1:2000:2].count(0)
    pairs = min(len(content), 2000) // 2
    if len(content) % 2 == 0 and pairs and max(even, odd) > 0.6 * pairs and min(even, odd) < 0.1 * pairs:
        return "utf-16-le" if odd > even else "utf-16-be"
    return "utf-8"


def _names(line: str, delimiter: str) -> list[str]:
    try:
        return [_plain(cell) for row in csv.reader([line], delimiter=delimiter, skipinitialspace=True) for cell in row]
    except csv.Error:
        return []


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def normalize_label(label: str) -> str:
    """Normalize case, spaces, underscores and hyphens of a label, for comparisons."""
    return re.sub(r"[\W_]+", " ", label).strip().casefold()
