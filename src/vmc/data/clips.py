"""Clips with their captions, what every source of clips offers, and which of them can be read."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tqdm import tqdm

from vmc.data.video import check_clip
from vmc.utils.errors import VmcError
from vmc.utils.text_files import shortened

logger = logging.getLogger(__name__)

Role = Literal["exemplar", "regularization", "subject"]

PLACEHOLDERS = ("token", "subject_token", "subject")
"""What captions and prompts may hold in braces: the motion's word, the subject's word, the test subject's phrase."""


_TAUGHT = {"exemplar": ("motion", "token"), "subject": ("subject", "subject_token")}
"""What clips of a role teach, and the placeholder of its word; regularization clips need no word."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip on disk, what it shows and what it is for."""

    path: Path  # a video file, an animated image, a folder of frames or a still image
    caption: str  # what it shows, with placeholders until `fill` has replaced them
    role: Role  # exemplars teach the motion, subjects a person or thing, regularization clips hold on to the rest
    fault: str | None = None  # what its source knows to be wrong with it, a clause

    @property
    def name(self) -> str:
        """What it is called in tables and pictures."""
        return clip_name(self.path)


def clip_name(path: Path) -> str:
    """The name of a clip's file or folder; that of its sequence where CO3D keeps frames, in `SEQUENCE/images`."""
    return path.parent.name if path.name == "images" else path.name


class ClipSource(Protocol):
    """Where clips come from. Equal arguments give equal lists."""

    def exemplars(self, *, label: str | None, caption: str | None, seed: int) -> list[Clip]:
        """Clips that show the motion.

        Args:
            label: the motion's class, for sources that hold several.
            caption: caption of every clip; None leaves it to what the source knows of each clip.
            seed: seed of the draw, for sources that hold more clips than are wanted.
        """
        return []

    def regularization(self, *, seed: int) -> list[Clip]:
        """Clips that show other motions; empty when the source has none."""
        return []


class StillSource(Protocol):
    """Where stills of a subject come from. Equal arguments give equal lists."""

    def stills(self, *, caption: str | None) -> list[Clip]:
        """Still images of one frame, of the role `subject`.

        Args:
            caption: of every still, with `{subject_token}`; None leaves it to what the source knows of each.
        """
        return []


class NoClips(ClipSource):
    """No clips: videos are only generated."""


def fill(caption: str, **values: str | None) -> str:
    """The caption with `{token}`, `{subject_token}` and `{subject}` replaced by the values of those names.

    Raises:
        VmcError: a placeholder that is unknown or has no value, or a brace that belongs to none.
    """
    for brace in re.findall(r"\{\w*\}|[{}]", caption):
        holds = f"the caption {shortened(caption)!r} holds {brace!r}"
        if brace[1:-1] not in PLACEHOLDERS:
            known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            raise VmcError(f"{holds}: only {known} may stand in braces")
        if values.get(brace[1:-1]) is None:
            raise VmcError(f"{holds}, which has no value here: take it out")
    # In one pass, so that braces inside a value stay what they are.
    return re.sub(r"\{(\w+)\}", lambda match: str(values[match[1]]), caption)


def check_token(clips: Sequence[Clip], **words: str) -> None:
    """Refuse exemplars and stills of a subject whose captions, after `fill`, lack the word for what they teach, in
    upper or lower case as for CLIP; `words` are those of the placeholders.
    """
    for clip in clips:
        thing, name = _TAUGHT.get(clip.role, ("", ""))
        word = words.get(name)
        if word and not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", clip.caption, re.IGNORECASE):
            told = f"the caption {shortened(clip.caption)!r} of clip {clip.path} lacks the {thing}'s token {word!r}"
            raise VmcError(f"{told}: write {{{name}}} into the caption where the {thing} is named")


def check_readable(
    clips: Sequence[Clip], *, skip_bad: bool, remedy: str = " (data.skip_bad=true leaves such clips out)"
) -> list[Clip]:
    """Decode clips from their first frame to their last; give those that can be read and have no fault.

    Args:
        clips: clips in any order.
        skip_bad: leave out a clip that cannot be read, with a warning, where otherwise it is an error.
        remedy: what the error ends with.

    Raises:
        VmcError: a clip cannot be read; with `skip_bad`, none of the clips can.
    """
    readable = []
    skipped: list[VmcError] = []
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
