"""Still images of a subject: those to learn from, and those that videos are compared with."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from vmc.data.checks import check_path
from vmc.data.clips import Clip
from vmc.data.folder import find_clips, scan, with_captions
from vmc.data.frames import resize_and_crop
from vmc.data.images import IMAGE_SUFFIXES
from vmc.data.video import frame_times, read_frames
from vmc.utils.errors import VmcError

STILLS = "metrics.subject_similarity.stills.path"


@dataclass(frozen=True)
class StillFolder:
    """The stills of a subject, of any size: a folder or one image file, with captions as in `VideoFolder`."""

    path: Path | str | None

    def stills(self, *, caption: str | None = None) -> list[Clip]:
        """All stills; a VmcError if there are none, one has no caption, or one is a video."""
        key = "subject.path"
        path = check_path(self.path, key=key, what="still images")
        if path.is_dir() and not any(files.images or files.videos for files in scan(path, key=key).values()):
            raise VmcError(f"{key} is {path}, which holds no stills: put {', '.join(IMAGE_SUFFIXES)} files into it")
        found = find_clips(path, key=key, stills=True, caption=caption)
        if moving := next(filter(_moves, found[0]), None):
            told = "a folder of numbered frames" if moving.is_dir() else "a video"
            raise VmcError(f"{key} is {path}, in which {moving.name} is {told}: leave still images alone there")
        return with_captions(*found, role="subject")


def _moves(clip: Path) -> bool:
    try:
        return clip.is_dir() or len(frame_times(clip)) > 1
    except VmcError:  # reported when all clips are checked
        return False


@dataclass(frozen=True)
class Stills:
    """Names and frames_FCHW, center-cropped to `size` px, of a folder's clips and single images, with which metrics
    compare videos. Each is read again in every iteration; captions are ignored.
    """

    path: Path | str | None
    size: int

    def __post_init__(self) -> None:
        check_path(self.path, key=STILLS)

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        for file in find_clips(check_path(self.path, key=STILLS), key=STILLS, stills=True, caption="")[0]:
            yield file.name, resize_and_crop(read_frames(file), self.size)
