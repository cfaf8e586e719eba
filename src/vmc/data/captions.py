"""Captions: where they are read, from a table or from text files beside clips, and what replaces their placeholders."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from vmc.data.clips import Clip
from vmc.data.images import IMAGE_SUFFIXES
from vmc.data.video import VIDEO_SUFFIXES
from vmc.utils.errors import VmcError
from vmc.utils.text_files import check_characters, read_table, read_text, shortened

PLACEHOLDERS = ("token", "subject_token", "subject")
"""Placeholders of captions and prompts: the motion's word, the subject's word, the test subject's phrase."""
_TAUGHT = {"exemplar": ("motion", "token"), "subject": ("subject", "subject_token")}
"""What clips of a role teach, and the placeholder that their captions need; regularization clips need none."""


def fill(caption: str, **values: str | None) -> str:
    """The caption with `{token}`, `{subject_token}` and `{subject}` replaced by their values; a VmcError for unknown
    placeholders, those without a value, and stray braces.
    """
    for brace in re.findall(r"\{\w*\}|[{}]", caption):
        holds = f"the caption {shortened(caption)!r} holds {brace!r}"
        if brace[1:-1] not in PLACEHOLDERS:
            raise VmcError(f"{holds}: only {{{'}, {'.join(PLACEHOLDERS)}}} may stand in braces")
        if values.get(brace[1:-1]) is None:
            raise VmcError(f"{holds}, which has no value here: take it out")
    # In one pass, so that braces in values are kept.
    return re.sub(r"\{(\w+)\}", lambda match: str(values[match[1]]), caption)


def check_token(clips: Sequence[Clip], **words: str) -> None:
    """Raise a VmcError if a filled caption lacks the word for what its clip teaches; `words` are by placeholder."""
    for clip in clips:
        thing, name = _TAUGHT.get(clip.role, ("", ""))
        word = words.get(name)
        if word and not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", clip.caption, re.IGNORECASE):
            told = f"the caption {shortened(clip.caption)!r} of clip {clip.path} lacks the {thing}'s token {word!r}"
            raise VmcError(f"{told}: write {{{name}}} into the caption where the {thing} is named")


TABLE = "captions.csv"
_SUFFIXES = VIDEO_SUFFIXES + IMAGE_SUFFIXES

Index = Mapping[str, list[Path]]
"""Paths by how people may write them: in another case or Unicode form, or without the suffix."""


def index_of(paths: Iterable[Path]) -> Index:
    """Index paths, so that `meant_by` finds them."""
    index = defaultdict(list)
    for path in paths:
        for name in {path, path.with_suffix("")} if path.suffix.lower() in _SUFFIXES else {path}:
            index[_plain(name)].append(path)
    return index


def meant_by(index: Index, folder: Path, name: str) -> list[Path]:
    """The paths in a folder that a name, with slashes of either kind, may mean; one if it is clear."""
    wanted = folder / name.replace("\\", "/")
    alike = index.get(_plain(wanted), []) if wanted != folder else []
    return [path for path in alike if path == wanted] or sorted(alike)


def _plain(path: Path) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()


def table_rows(folder: Path, index: Index, *, deeper: bool = True) -> list[tuple[Path, Path, str]]:
    """The rows of a folder's table, if it has one: table, clip and caption. A VmcError if the table lacks a column, or
    names what is missing, ambiguous, no clip, or named twice.
    """
    table = next(iter(meant_by(index, folder, TABLE)), None)
    if table is None:
        return []
    columns, rows = read_table(table, wanted=("file", "caption"))
    if not {"file", "caption"} <= set(columns):
        raise VmcError(f"{table} has the columns {', '.join(columns) or 'none'}: its first line must be file,caption")
    captions: dict[Path, str] = {}
    for row in rows:
        name, meant = row["file"], meant_by(index, folder, row["file"])
        if row[""]:
            raise VmcError(f"{table} has too many columns for {name!r}: quote captions that hold commas")
        if not deeper and len(PurePosixPath(name.replace("\\", "/")).parts) > 1:
            continue
        if not meant:
            raise VmcError(f"{table} names {name!r}, which is not in {folder}: correct or remove that row")
        if len(meant) > 1:
            several = " or ".join(path.name for path in meant)
            raise VmcError(f"{table} names {name!r}, which may be {several}: write the name as it is, with its suffix")
        clip = meant[0]
        if clip in captions:
            raise VmcError(f"{table} names {name!r} twice: remove one of the rows")
        if not clip.is_dir() and clip.suffix.lower() not in _SUFFIXES:
            raise VmcError(f"{table} names {name!r}, which is no video or image that is read: convert it to mp4 or png")
        captions[clip] = " ".join(row["caption"].split())
    return [(table, clip, caption) for clip, caption in captions.items()]


def caption_name(clip: Path) -> str:
    """The name of a clip's text file; dots in a folder's name are no suffix."""
    return f"{clip.name if clip.is_dir() else clip.stem}.txt"


def caption_file(clip: Path, index: Index) -> Path | None:
    """The text file beside a clip; None where there is none, or several are alike."""
    meant = meant_by(index, clip.parent, caption_name(clip))
    return meant[0] if len(meant) == 1 else None


def read_caption(row: str | None, file: Path | None) -> str | None:
    """A clip's caption: that of its row in a table, else that of the text file beside it; None where both are empty."""
    if row or file is None:
        return row or None
    caption = " ".join(read_text(file).split())
    check_characters(caption, where=str(file))
    return caption or None
