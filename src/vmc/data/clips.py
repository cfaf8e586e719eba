"""Clips with captions, the interface of clip sources, and which clips can be read."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

from tqdm import tqdm

from vmc.data.video import check_clip
from vmc.utils.errors import VmcError

logger = logging.getLogger(__name__)

Role = Literal["exemplar", "regularization", "subject"]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip on disk with its caption and role."""

    path: Path  # a video file, an animated image, a folder of frames or a still image
    caption: str  # with placeholders until `fill` replaces them
    role: Role  # exemplars teach the motion, subjects a person or thing, regularization clips preserve the rest
    fault: str | None = None  # what its source knows to be wrong with it, a clause

    @property
    def name(self) -> str:
        """Its name in tables and pictures."""
        return clip_name(self.path)


def clip_name(path: Path) -> str:
    """The name of a clip's file or folder; for CO3D's `SEQUENCE/images` that of the sequence."""
    return path.parent.name if path.name == "images" else path.name


class ClipSource(Protocol):
    """Where clips come from. Equal arguments give equal lists."""

    def exemplars(self, *, label: str | None, caption: str | None, seed: int) -> list[Clip]:
        """Clips that show the motion.

        Args:
            label: the motion's class, for sources with several.
            caption: caption of every clip; None takes the captions that the source has.
            seed: seed of the draw, for sources with more clips than are wanted.
        """
        return []

    def regularization(self, *, seed: int) -> list[Clip]:
        """Clips that show other motions; empty if the source has none."""
        return []


class StillSource(Protocol):
    """Where stills of a subject come from. Equal arguments give equal lists."""

    def stills(self, *, caption: str | None) -> list[Clip]:
        """Images of the role `subject`, each with `caption`; None takes the captions that the source has."""
        return []


class NoClips(ClipSource):
    """No clips, for generating videos only."""


def check_readable(
    clips: Sequence[Clip], *, skip_bad: bool, remedy: str = " (data.skip_bad=true leaves such clips out)"
) -> list[Clip]:
    """Decode clips completely and return those that can be read and have no fault. With `skip_bad` the others are left
    out with a warning, unless none is left; without it the first is an error that ends with `remedy`.
    """
    readable, skipped = list[Clip](), list[VmcError]()
    for clip in tqdm(clips, desc="checking clips", unit="clip", disable=None, leave=False, delay=3):
        try:
            if clip.fault is not None:
                raise VmcError(f"clip {clip.path} {clip.fault}")
            check_clip(clip.path)
            readable.append(clip)
        except VmcError as error:
            if not skip_bad:
                raise VmcError(f"{error}{remedy}") from error
            skipped.append(error)
    for reason in skipped:
        logger.warning(f"skipped, {len(readable)} of {len(clips)} clips remain: {reason}")
    if skipped and not readable:
        raise VmcError(f"none of {len(clips)} clips can be read, the last because {skipped[-1]}")
    return readable


def readable(clips: Sequence[Clip], *, skip_bad: bool) -> list[Clip]:
    """Keep the clips that can be read, exemplars first and stills of a subject last.

    Raises:
        VmcError: one cannot be read, or with `skip_bad` none of a role.
    """
    parts = ([clip for clip in clips if clip.role == role] for role in get_args(Role))
    return [clip for part in parts if part for clip in check_readable(part, skip_bad=skip_bad)]
