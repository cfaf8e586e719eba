"""Clips of a folder, with captions from a table or from text files beside them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmc.data.captions import TABLE, FolderNames, caption_file, caption_name, caption_of, read_captions
from vmc.data.clips import Clip, Role
from vmc.data.finding import Folder, choose, report, scan
from vmc.data.limits import checked_path, is_folder
from vmc.errors import VmcError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoFolder:
    """The clips of a folder: exemplars, and where a second folder is given, regularization clips.

    A folder's clips are its video files and its sub-folders of frames, sorted by name, also those in further
    sub-folders. Frames are images whose names differ in a number alone. A folder that holds frames and nothing else is
    one clip, unless `stills` says otherwise. A path to a video file or a still is that one clip.

    A single image, a clip of one frame, is taken where a caption beside it is its own or `stills` is set: else it is
    a cover or a preview.

    Captions are the one that is asked for, else a row of `captions.csv` (columns `file,caption`) in the clip's folder
    or one above it, else a `.txt` beside it with its name.

    Args:
        path: of the exemplars.
        regularization_path: of the regularization clips, or None.
        stills: every single image is a clip, and a folder of images alone holds as many as images.
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
        files, captions = find_clips(checked_path(path, key=key), key=key, stills=self.stills, caption=caption)
        for file, found in zip(files, captions, strict=True):
            if found is None:
                remedies = f"add a row to {file.parent / TABLE} or write {file.parent / caption_name(file)}"
                remedies = f"set motion.caption, {remedies}" if role == "exemplar" else remedies
                raise VmcError(f"clip {file} has no caption: {remedies}")
        return [Clip(path=file, caption=str(text), role=role) for file, text in zip(files, captions, strict=True)]


def find_clips(path: Path, *, key: str, stills: bool, caption: str | None) -> tuple[list[Path], list[str | None]]:
    """The clips of a folder in natural order, and the caption of each; see `VideoFolder`. The log says how many.

    Args:
        path: of the folder, or of one clip.
        key: the setting that it came from.
        stills: whether single images are clips.
        caption: of every clip; None looks for captions beside them.

    Raises:
        VmcError: no clips, or captions that cannot be read or name what is no clip.
    """
    names = FolderNames()
    if not is_folder(path):
        logger.info(f"{key}: 1 clip, {path}")
        tables = {} if caption is not None else {path.parent: read_captions(path.parent, names)}
        return [path], [caption if caption is not None else caption_of(path, tables, names)]
    found = scan(path, key=key)
    tables = {}
    if caption is None:
        folders = [folder.path for folder in found.walk()]
        tables = {folder: read_captions(folder, names) for folder in folders}
    clips = choose(found, key=key, stills=stills, named=_captioned(found, tables, names))
    for folder, table in tables.items():
        if wrong := [clip for clip in table if clip not in clips]:
            raise VmcError(f"{folder / TABLE} names {wrong[0].name!r}, which is no clip: correct or remove that row")
    if caption is None and clips == [path]:
        tables[path.parent] = read_captions(path.parent, names)
    texts = [file for clip in clips if (file := caption_file(clip, names))]
    used = [names.find(folder.path, TABLE) for folder in found.walk()]
    report(found, clips, key=key, beside=[*texts, *filter(None, used)])
    return clips, [caption if caption is not None else caption_of(clip, tables, names) for clip in clips]


def _captioned(found: Folder, tables: dict[Path, dict[Path, str]], names: FolderNames) -> set[Path]:
    """Images that have a caption of their own."""
    images: Sequence[Path] = [image for folder in found.walk() for image in folder.images]
    named = {clip for table in tables.values() for clip in table}
    return {image for image in images if image in named or (tables and caption_file(image, names))}
