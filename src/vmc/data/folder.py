"""Clips of a folder, with captions from a table or from text files beside them."""

import csv
from dataclasses import dataclass
from pathlib import Path

from vmc.data.clips import Clip, Role
from vmc.data.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES, frame_files, is_visible, natural_order
from vmc.errors import VmcError

CAPTIONS = "captions.csv"


@dataclass(frozen=True)
class VideoFolder:
    """The clips of a folder: exemplars, and where a second folder is given, regularization clips.

    A folder's clips are its video files, its sub-folders of frames and its still images, each of these a clip of one
    frame, sorted by name. A folder that holds images alone is one clip, whose frames they are, unless `stills` says
    otherwise. A path to a video file or a still is that one clip.

    Captions are the one that is asked for, else a row of `captions.csv` (columns `file,caption`) beside the clip,
    else a `.txt` beside it with its name.

    Args:
        path: of the exemplars.
        regularization_path: of the regularization clips, or None.
        stills: also a folder of images alone is a clip of one frame for each.
    """

    path: Path | str | None
    regularization_path: Path | str | None = None
    stills: bool = False

    def exemplars(self, *, label: str | None = None, caption: str | None = None, seed: int = 0) -> list[Clip]:
        """All clips of `path`; `label` and `seed` change nothing, as a folder holds one motion and all is taken.

        Raises:
            VmcError: no folder, no clips, or no caption for one of them.
        """
        return self._clips("data.path", self.path, caption, "exemplar")

    def regularization(self, *, seed: int = 0) -> list[Clip]:
        """All clips of `regularization_path`, none without one.

        Raises:
            VmcError: no folder, no clips, or no caption for one of them.
        """
        if self.regularization_path is None:
            return []
        return self._clips("regularization.path", self.regularization_path, None, "regularization")

    def _clips(self, key: str, path: Path | str | None, caption: str | None, role: Role) -> list[Clip]:
        if path is None or not str(path):
            raise VmcError(f"{key} is not set: give a folder of clips or a video file")
        files = find_clips(Path(path).expanduser(), key=key, stills=self.stills)
        if caption is not None:
            return [Clip(path=file, caption=caption, role=role) for file in files]
        table = read_captions(files[0].parent)
        return [Clip(path=file, caption=_caption(file, table, role), role=role) for file in files]


def find_clips(path: Path, *, key: str, stills: bool = False) -> list[Path]:
    """The clips of a folder in natural order of their names; see `VideoFolder`.

    Raises:
        VmcError: naming `key`, the setting that `path` came from.
    """
    if not path.exists():
        raise VmcError(f"{key} is {path}, which does not exist: give a folder of clips or a video file")
    if path.is_file():
        return [path]
    entries = sorted(filter(is_visible, path.iterdir()), key=lambda entry: natural_order(entry.name))
    images = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES]
    others = [entry for entry in entries if _is_video(entry) or (entry.is_dir() and frame_files(entry))]
    if not images and not others:
        raise VmcError(
            f"{key} is {path}, which holds no clips: "
            f"put {', '.join(VIDEO_SUFFIXES)} files, images or folders of frames into it"
        )
    if not others and not stills:
        return [path]
    return [entry for entry in entries if entry in set(images + others)]


def read_captions(folder: Path) -> dict[str, str]:
    """File names and captions of a folder's `captions.csv`; empty without one.

    Raises:
        VmcError: the table lacks a column, names a file that is absent, or one file twice.
    """
    table = folder / CAPTIONS
    if not table.is_file():
        return {}
    captions: dict[str, str] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.DictReader(stream, skipinitialspace=True)
            if not {"file", "caption"} <= set(rows.fieldnames or ()):
                raise VmcError(f"{table} has the columns {rows.fieldnames}: its first line must be file,caption")
            for row in rows:
                name, caption = (row["file"] or "").strip(), (row["caption"] or "").strip()
                if row.get(None):  # type: ignore[call-overload]
                    raise VmcError(f"{table} has too many columns for {name!r}: quote captions that hold commas")
                if not name or not (folder / name).exists():
                    raise VmcError(f"{table} names {name!r}, which is not in {folder}: correct or remove that row")
                if name in captions:
                    raise VmcError(f"{table} names {name!r} twice: remove one of the rows")
                captions[name] = caption
    except (UnicodeDecodeError, csv.Error) as error:
        raise VmcError(f"{table} cannot be read ({error}): save it as comma-separated text in UTF-8") from error
    return captions


def _caption(clip: Path, table: dict[str, str], role: Role) -> str:
    if caption := table.get(clip.name):
        return caption
    # A folder's name may hold dots that are no suffix.
    text = clip.parent / f"{clip.name if clip.is_dir() else clip.stem}.txt"
    if text.is_file() and (caption := " ".join(text.read_text(encoding="utf-8-sig").split())):
        return caption
    remedies = f"add a row to {clip.parent / CAPTIONS} or write {text}"
    if role == "exemplar":
        remedies = f"set motion.caption, {remedies}"
    raise VmcError(f"clip {clip} has no caption: {remedies}")


def _is_video(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES
