"""Clips of a folder: which files are clips, and their captions from a table or from text files beside them."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vmc.data.captions import TABLE, caption_file, caption_name, index_of, meant_by, read_caption, table_rows
from vmc.data.checks import check_path, explain_permissions, frame_numbers
from vmc.data.clips import Clip, Role
from vmc.data.images import IMAGE_SUFFIXES, count_images
from vmc.data.video import VIDEO_SUFFIXES, is_visible, natural_order
from vmc.utils.errors import VmcError

logger = logging.getLogger(__name__)

MAX_ENTRIES, MAX_DEPTH = 200_000, 30
"""Limits on the entries of a folder; one with more is a whole disk."""
_SYSTEM = {"@eadir", "@recycle", "#recycle", "__macosx", "$recycle.bin", "lost+found", "thumbs.db", "desktop.ini"}
"""Folders and files that storage boxes and operating systems add."""
_SHOWN = 5


@dataclass(frozen=True)
class VideoFolder:
    """The clips of a folder as exemplars, and of a second folder, if one is given, as regularization clips.

    Clips are the video files and sub-folders of frames in a folder and in those below it, sorted by name. Frames are
    images whose names differ only in a number. A folder with nothing but frames is one clip, unless `stills` is set.
    The path of a video file or a still is that one clip.

    A single image, a clip of one frame, counts only if it has a caption of its own or `stills` is set; otherwise it is
    taken for a cover or a preview.

    The caption is the one that is asked for, else a row of `captions.csv` (columns `file,caption`) in the clip's folder
    or one above it, else a `.txt` file beside the clip with its name.

    Args:
        path: folder of the exemplars.
        regularization_path: folder of the regularization clips, or None.
        stills: whether every single image is a clip, and every image directly in `path`, numbered or not.
        held_out_path: folder of further clips of the motion, from which no run learns, or None.
    """

    path: Path | str | None
    regularization_path: Path | str | None = None
    stills: bool = False
    held_out_path: Path | str | None = None

    def exemplars(self, *, label: str | None = None, caption: str | None = None, seed: int = 0) -> list[Clip]:
        """All clips of `path`, whatever `label` and `seed`; a VmcError if there are none, or one has no caption."""
        return self._clips("data.path", self.path, caption, "exemplar")

    def regularization(self, *, seed: int = 0) -> list[Clip]:
        """All clips of `regularization_path`, none if that is None; errors as for `exemplars`."""
        if self.regularization_path is None:
            return []
        return self._clips("regularization.path", self.regularization_path, None, "regularization")

    def held_out(self, *, label: str | None, seed: int) -> list[Clip]:
        """The clips of `held_out_path`, whatever `label` and `seed`: how good real videos of the motion score."""
        return self._clips("data.source.held_out_path", self.held_out_path, "", "exemplar")

    def _clips(self, key: str, path: Path | str | None, caption: str | None, role: Role) -> list[Clip]:
        found = find_clips(check_path(path, key=key), key=key, stills=self.stills, caption=caption)
        return with_captions(*found, role=role)


_CAPTION_KEYS = {"exemplar": "motion.caption", "subject": "subject.caption"}
"""The setting of one caption for all clips of a role."""


def with_captions(files: Sequence[Path], captions: Sequence[str | None], *, role: Role) -> list[Clip]:
    """Clips of a role; a VmcError if one has no caption."""
    clips = []
    for file, caption in zip(files, captions, strict=True):
        if caption is None:
            remedy = f"set {_CAPTION_KEYS[role]}, " if role in _CAPTION_KEYS else ""
            remedy += f"add a row to {file.parent / TABLE} or write {file.parent / caption_name(file)}"
            raise VmcError(f"clip {file} has no caption: {remedy}")
        clips.append(Clip(path=file, caption=caption, role=role))
    return clips


@explain_permissions()
def find_clips(path: Path, *, key: str, stills: bool, caption: str | None) -> tuple[list[Path], list[str | None]]:
    """The clips of a folder in natural order, and the caption of each or None, as `VideoFolder` defines them. `key` is
    the setting of the path. A VmcError if there are no clips, or captions that cannot be read or belong to no clip.
    """
    found = scan(path, key=key) if path.is_dir() else {}
    names = index_of([*found, *(file for files in found.values() for kind in files for file in kind)])
    rows = [row for folder in found for row in table_rows(folder, names)] if caption is None else []
    named = {clip for _, clip, _ in rows}
    if caption is None:
        # A caption file that belongs to a video or a folder of frames does not make its cover a clip too.
        moving = {video for files in found.values() for video in files.videos}
        moving |= {folder for folder, files in found.items() if files.are_frames}
        images = [image for files in found.values() for image in files.images if caption_file(image, names)]
        named |= {image for image in images if moving.isdisjoint(meant_by(names, image.parent, image.stem))}
    clips = _choose(path, found, key=key, stills=stills, named=named) if found else [path]
    used = {*clips}
    if wrong := [(table, clip.name) for table, clip, _ in rows if clip not in used]:
        raise VmcError(f"{wrong[0][0]} names {wrong[0][1]!r}, which is no clip: correct or remove that row")
    if caption is None and clips == [path]:
        names = {**names, **index_of(path.parent.iterdir())}
        rows += table_rows(path.parent, names, deeper=False)
    texts = [caption_file(clip, names) for clip in clips]
    beside = {*texts, *(table for folder in found for table in meant_by(names, folder, TABLE))}
    logger.info(f"{key}: {_summary(path, found, clips, beside) if found else f'1 clip, {path}'}")
    if caption is not None:
        return clips, [caption] * len(clips)
    captions = {clip: text for _, clip, text in rows if text}  # of two tables, the nearer one counts
    pairs = zip(clips, texts, strict=True)
    return clips, [read_caption(captions.get(clip), file) for clip, file in pairs]


class _Files(NamedTuple):
    """The files directly in a folder, in natural order: videos and animated images, single images, all others."""

    videos: list[Path]
    images: list[Path]
    others: list[Path]

    @property
    def are_frames(self) -> bool:
        """Whether they are the frames of one clip: images whose names differ in a number, and no videos."""
        return bool(self.images) and not self.videos and frame_numbers(self.images) is not None


def scan(path: Path, *, key: str) -> Mapping[Path, _Files]:
    """A folder and those below it, each before its sub-folders, without hidden and system files."""
    found: dict[Path, _Files] = {}
    pending, seen, total = [(path, 0)], set(), 0
    while pending:
        folder, depth = pending.pop()
        if folder.resolve() in seen:  # a link may lead back
            continue
        seen.add(folder.resolve())
        files, inner = _Files([], [], []), []
        for entry in sorted(folder.iterdir(), key=lambda entry: natural_order(entry.name)):
            total += 1
            if total > MAX_ENTRIES or depth > MAX_DEPTH:
                most = f"{MAX_ENTRIES:,} files, or {MAX_DEPTH} folders in each other"
                raise VmcError(f"{key} is {path}, which holds more than {most}: give a folder of clips")
            if not is_visible(entry) or entry.name.casefold() in _SYSTEM:
                continue
            if entry.is_dir():
                inner.append((entry, depth + 1))
            else:
                suffix = entry.suffix.lower()
                images = files.images if suffix in IMAGE_SUFFIXES else files.others
                (files.videos if suffix in VIDEO_SUFFIXES else images).append(entry)
        pending += reversed(inner)
        # Animated images are videos. Of numbered images only the first is opened, as a clip may have thousands.
        if frame_numbers(files.images) is None or _is_animated(files.images[0]):
            for image in filter(_is_animated, list(files.images)):
                files.images.remove(image)
                files.videos.append(image)
        found[folder] = files
    return found


def _is_animated(image: Path) -> bool:
    try:
        return image.suffix.lower() in (".png", ".webp") and count_images(image) > 1
    except VmcError:  # reported when all clips are checked
        return False


def _choose(path: Path, found: Mapping[Path, _Files], *, key: str, stills: bool, named: Collection[Path]) -> list[Path]:
    """The clips of a folder in natural order; single images only with `stills`, or if `named` by a caption."""
    frames = [folder for folder, files in found.items() if files.are_frames and folder != path]
    images = [image for folder, files in found.items() if folder not in frames for image in files.images]
    clips = [*frames, *(video for files in found.values() for video in files.videos)]
    clips += [image for image in images if stills or image in named]
    if clips:
        return sorted(clips, key=lambda clip: [natural_order(part) for part in clip.relative_to(path).parts])
    if found[path].are_frames:
        return [path]
    if len(images) == 1:
        return images
    if images:
        told = f"{len(images)} images ({images[0].name}, {images[1].name}, ...) look like photographs"
        each = "set data.source.stills=true"
        if key == "regularization.path":
            each = f"write the caption of each into a text file beside it ({caption_name(images[0])}, ...)"
        remedy = f"{each} where each is a clip, or number them where they are frames (0001.png, ...)"
        raise VmcError(f"{key} is {path}, whose {told}: {remedy}")
    kinds = ", ".join(VIDEO_SUFFIXES)
    raise VmcError(f"{key} is {path}, which holds no clips: put {kinds} files, images or folders of frames into it")


def _summary(path: Path, found: Mapping[Path, _Files], clips: Collection[Path], beside: Collection[Path | None]) -> str:
    """The message on how many files are used as clips and which are left out; captions are `beside` the clips."""
    files = [file for kinds in found.values() for kind in kinds for file in kind if file not in beside]
    used = {*clips}
    left_out = [file for file in files if not {file, file.parent} & used]
    said = f"{_count(clips, 'clip')} of {_count(files, 'file')} in {path}"
    if inner := {clip.parent for clip in clips} - {path, path.parent}:
        within = sum(clip.parent in inner for clip in clips)
        said += f", {'' if within == len(clips) else f'{within} of them '}in {_count(inner, 'subfolder')}"
    if left_out:
        why = {True: "an image beside clips, see data.source.stills", False: "no clip"}
        shown = [f"{file.relative_to(path)} ({why[file.suffix.lower() in IMAGE_SUFFIXES]})" for file in left_out]
        more = f" and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
        said += f"; left out {len(left_out)}: {', '.join(shown[:_SHOWN])}{more}"
    return said


def _count(things: Collection[Path], name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"
