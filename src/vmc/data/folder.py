"""Clips of a folder: which files are clips, with captions from a table or from text files beside them."""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmc.data.captions import TABLE, FolderNames, caption_file, caption_name, caption_of, read_captions
from vmc.data.clips import Clip, Role
from vmc.data.completeness import numbers
from vmc.data.images import IMAGE_SUFFIXES, count_images
from vmc.data.limits import checked_path, entries, is_folder
from vmc.data.video import VIDEO_SUFFIXES, is_visible, natural_order
from vmc.utils.errors import VmcError

logger = logging.getLogger(__name__)

MAX_ENTRIES, MAX_DEPTH = 200_000, 30
"""Files and folders that are looked at; more are somebody's whole disk."""
_SYSTEM = {"@eadir", "@recycle", "#recycle", "__macosx", "$recycle.bin", "lost+found", "thumbs.db", "desktop.ini"}
"""What storage boxes and operating systems put beside one's files."""
_SHOWN = 5
_BESIDE = "an image beside clips, see data.source.stills"


@dataclass(frozen=True, kw_only=True)
class Folder:
    """What lies in a folder, in natural order, without hidden files and what systems put there.

    Args:
        path: of it.
        videos: files of videos and animated images.
        images: files of one picture.
        others: all other files.
        inner: its sub-folders.
    """

    path: Path
    videos: list[Path] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    inner: list["Folder"] = field(default_factory=list)

    def walk(self) -> Iterator["Folder"]:
        """This folder and all below it."""
        yield self
        for folder in self.inner:
            yield from folder.walk()

    @property
    def is_clip(self) -> bool:
        """Whether its files are the frames of one clip: images alone, with names that differ in a number."""
        return bool(self.images) and not self.videos and numbers(self.images) is not None


def scan(path: Path, *, key: str) -> Folder:
    """Look through a folder and those below it.

    Raises:
        VmcError: a folder that cannot be listed, or too many files, naming `key`, the setting that `path` came from.
    """
    budget = [MAX_ENTRIES]
    seen: set[Path] = set()

    def look(folder: Path, depth: int) -> Folder:
        found = Folder(path=folder)
        seen.add(folder.resolve())  # a link may lead back
        for entry in sorted(entries(folder), key=lambda entry: natural_order(entry.name)):
            budget[0] -= 1
            if budget[0] < 0 or depth > MAX_DEPTH:
                raise VmcError(
                    f"{key} is {path}, which holds more than {MAX_ENTRIES:,} files, or {MAX_DEPTH} folders in each "
                    "other: give a folder of clips"
                )
            if not is_visible(entry) or entry.name.casefold() in _SYSTEM:
                continue
            suffix = entry.suffix.lower()
            if is_folder(entry):
                found.inner.extend([] if entry.resolve() in seen else [look(entry, depth + 1)])
            elif suffix in VIDEO_SUFFIXES:
                found.videos.append(entry)
            else:
                (found.images if suffix in IMAGE_SUFFIXES else found.others).append(entry)
        _part_animations(found)
        return found

    return look(path, 0)


def choose(found: Folder, *, key: str, stills: bool, named: Collection[Path]) -> list[Path]:
    """The clips of a folder in natural order.

    Args:
        found: the folder.
        key: the setting that it came from.
        stills: whether single images are clips too.
        named: images that are clips in any case, because a caption names them.

    Raises:
        VmcError: there are none, or images of which it cannot be told what they are.
    """
    frames = [folder.path for folder in found.walk() if folder.is_clip and folder is not found]
    videos = [video for folder in found.walk() for video in folder.videos]
    images = [image for folder in found.walk() if folder.path not in frames for image in folder.images]
    taken = images if stills else [image for image in images if image in named]
    clips = sorted([*frames, *videos, *taken], key=_place(found.path))
    if clips:
        return clips
    if found.is_clip:
        return [found.path]
    if len(images) == 1:
        return images
    if images:
        raise VmcError(
            f"{key} is {found.path}, whose {len(images)} images ({images[0].name}, {images[1].name}, ...) look like "
            "photographs: set data.source.stills=true where each is a clip of its own, or number them (0001.png, "
            "0002.png, ...) where they are the frames of one clip"
        )
    raise VmcError(
        f"{key} is {found.path}, which holds no clips: "
        f"put {', '.join(VIDEO_SUFFIXES)} files, images or folders of frames into it"
    )


def report(found: Folder, clips: Collection[Path], *, key: str, beside: Collection[Path]) -> None:
    """Say in one line how many clips of how many files are used, and which are left out.

    Args:
        found: the folder.
        clips: those used.
        key: the setting that the folder came from.
        beside: captions, which do not count.
    """
    used, captions = set(clips), set(beside)
    files = [file for folder in found.walk() for file in (*folder.videos, *folder.images, *folder.others)]
    files = [file for file in files if file not in captions]
    left_out = [file for file in files if file not in used and file.parent not in used]
    said = f"{key}: {_count(clips, 'clip')} of {_count(files, 'file')} in {found.path}"
    if inner := {clip.parent for clip in clips} - {found.path, found.path.parent}:
        within = sum(clip.parent in inner for clip in clips)
        part = "" if within == len(clips) else f"{within} of them "
        said += f", {part}in {_count(inner, 'subfolder')}"
    if left_out:
        named = [
            f"{file.relative_to(found.path)} ({_BESIDE if file.suffix.lower() in IMAGE_SUFFIXES else 'no clip'})"
            for file in left_out[:_SHOWN]
        ]
        more = f" and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
        said += f"; left out {len(left_out)}: {', '.join(named)}{more}"
    logger.info(said)


def _count(things: Collection[Path], name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"


def _part_animations(found: Folder) -> None:
    """Animated images are videos. Of numbered ones the first tells: a long clip's frames are not opened one by one."""
    candidates = [image for image in found.images if image.suffix.lower() in (".png", ".webp")]
    if numbers(found.images) is not None and not _is_animated(found.images[0]):
        return
    for image in filter(_is_animated, candidates):
        found.images.remove(image)
        found.videos.append(image)
    found.videos.sort(key=lambda video: natural_order(video.name))


def _is_animated(image: Path) -> bool:
    try:
        return count_images(image) > 1
    except VmcError:  # told when all clips are checked
        return False


def _place(root: Path) -> Callable[[Path], list[object]]:
    return lambda path: [natural_order(part) for part in path.relative_to(root).parts]


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
