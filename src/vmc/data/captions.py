"""Captions that lie beside clips: a table `captions.csv`, or a text file with a clip's name."""

import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath

from vmc.data.images import IMAGE_SUFFIXES
from vmc.data.limits import entries
from vmc.data.video import VIDEO_SUFFIXES
from vmc.utils.errors import VmcError
from vmc.utils.text_files import check_characters, read_table, read_text

TABLE = "captions.csv"


class FolderNames:
    """The names in folders, found as people write them: in another case or Unicode form, or without the suffix."""

    def __init__(self) -> None:
        self._listed = cache(self._list)

    def find(self, folder: Path, name: str) -> Path | None:
        """What a name means that is relative to a folder; None for nothing in it, or nothing alone.

        Args:
            folder: where to look; a name may lead into its sub-folders, and not out of it.
            name: with slashes of either kind.
        """
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or ".." in parts or PurePosixPath(parts[0]).is_absolute():
            return None
        for part in parts[:-1]:
            inner = self._one(folder, part, whole=True)
            if inner is None:
                return None
            folder = inner
        return self._one(folder, parts[-1], whole=True) or self._one(folder, parts[-1], whole=False)

    def several(self, folder: Path, name: str) -> list[Path]:
        """What a name that `find` finds nothing for may mean directly in a folder; empty for nothing."""
        name = PurePosixPath(name.replace("\\", "/")).name
        return sorted(self._alike(folder, name, whole=True) or self._alike(folder, name, whole=False))

    def _one(self, folder: Path, name: str, *, whole: bool) -> Path | None:
        found = self._alike(folder, name, whole=whole)
        return next((path for path in found if path.name == name), None) or (found[0] if len(found) == 1 else None)

    def _alike(self, folder: Path, name: str, *, whole: bool) -> list[Path]:
        return self._listed(folder)[0 if whole else 1].get(_plain(name), [])

    @staticmethod
    def _list(folder: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
        """Entries by their plain names, and clips by those without the suffix."""
        names: dict[str, list[Path]] = {}
        stems: dict[str, list[Path]] = {}
        for path in entries(folder) if folder.is_dir() else []:
            names.setdefault(_plain(path.name), []).append(path)
            if path.suffix.lower() in VIDEO_SUFFIXES + IMAGE_SUFFIXES:
                stems.setdefault(_plain(path.stem), []).append(path)
        return names, stems


def read_captions(folder: Path, names: FolderNames) -> dict[Path, str]:
    """Read the clips and captions of a folder's table, as a spreadsheet may have saved it; empty without one.

    Raises:
        VmcError: the table lacks a column, names a file that is absent, no clip, or twice, or a caption is too long.
    """
    table = names.find(folder, TABLE)
    if table is None or not table.exists():
        return {}
    columns, rows = read_table(table, wanted=("file", "caption"))
    if not {"file", "caption"} <= set(columns):
        raise VmcError(f"{table} has the columns {', '.join(columns) or 'none'}: its first line must be file,caption")
    captions: dict[Path, str] = {}
    for row in rows:
        name = row["file"]
        if row[""]:
            raise VmcError(f"{table} has too many columns for {name!r}: quote captions that hold commas")
        clip = names.find(folder, name)
        if clip is None and (alike := names.several(folder, name)):
            meant = " or ".join(path.name for path in alike)
            raise VmcError(f"{table} names {name!r}, which may be {meant}: write the name as it is, with its suffix")
        if clip is None:
            raise VmcError(f"{table} names {name!r}, which is not in {folder}: correct or remove that row")
        if clip in captions:
            raise VmcError(f"{table} names {name!r} twice: remove one of the rows")
        if not clip.is_dir() and clip.suffix.lower() not in VIDEO_SUFFIXES + IMAGE_SUFFIXES:
            raise VmcError(f"{table} names {name!r}, which is no video or image that is read: convert it to mp4 or png")
        captions[clip] = " ".join(row["caption"].split())
    return captions


def caption_file(clip: Path, names: FolderNames) -> Path | None:
    """The text file beside a clip with its name; None without one."""
    return names.find(clip.parent, caption_name(clip))


def caption_name(clip: Path) -> str:
    """What a clip's text file is called; a folder's name may hold dots that are no suffix."""
    return f"{clip.name if clip.is_dir() else clip.stem}.txt"


def caption_of(clip: Path, tables: Mapping[Path, Mapping[Path, str]], names: FolderNames) -> str | None:
    """The caption that lies beside a clip; None without one.

    Args:
        clip: its path.
        tables: the captions of each folder that has a table; the nearest one above the clip counts.
        names: of the folders.

    Raises:
        VmcError: a text file that cannot be read, or a caption that is too long.
    """
    for folder in clip.parents:
        if caption := tables.get(folder, {}).get(clip):
            return caption
    file = caption_file(clip, names)
    if file is None:
        return None
    caption = " ".join(read_text(file).split())
    check_characters(caption, where=str(file))
    return caption or None


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
