"""Clips with captions, the interface of clip sources, and which clips can be read."""

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
"""Placeholders of captions and prompts: the motion's word, the subject's word, the test subject's phrase."""
_TAUGHT = {"exemplar": ("motion", "token"), "subject": ("subject", "subject_token")}
"""What clips of a role teach, and the placeholder that their captions need; regularization clips need none."""


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
