"""What a motion is called, and the data of a run as one object."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmc.data.augmentation import Augmentation
from vmc.data.clips import ClipSource
from vmc.data.frames import ClipTransform, Start
from vmc.data.video import FOLDER_RATE
from vmc.utils.errors import VmcError

_PERSON = r"(?i)\b(a|the) (person|man|woman|boy|girl|child|human|people)\b|\b(some(one|body)|people)\b"
"""Whom a caption names before the motion: in a test prompt another subject stands there."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A motion to be learned."""

    name: str  # in folder names
    label: str | None = None  # its class in Jester; None for a motion that no classifier knows
    caption: str | None = None  # of every exemplar, with `{token}`; None takes the captions from files
    prompt: str | None = None  # of the test set, with `{subject}` and `{token}`; None makes it of the caption
    language: str | None = None  # the prompt in natural language, for the untuned model (Supplement D) and alignment
    mirror: bool = False  # whether a mirrored clip still shows the motion

    @property
    def template(self) -> str:
        """The prompt of the test set, with `{subject}` and `{token}`."""
        return prompt_of(self.caption) if self.prompt is None else self.prompt


def prompt_of(caption: str | None) -> str:
    """The test prompt that fits the caption of a motion's clips; None where each clip has a caption of its own.

    "a person doing the {token} dance" gives "{subject} doing the {token} dance.": `{subject}` takes the place of the
    first person named before the motion. A caption that names none follows it: "{subject}, the {token} dance."
    """
    if caption is None:
        return "{subject} doing the {token} motion."
    said = caption.strip().rstrip(".")
    person = re.search(_PERSON, said.partition("{token}")[0])
    return f"{said[: person.start()]}{{subject}}{said[person.end() :]}." if person else f"{{subject}}, {said}."


@dataclass(frozen=True, kw_only=True)
class MotionData:
    """Where a run's clips come from and how they become frames; see `ClipTransform` for what has no comment."""

    source: ClipSource
    path: str | Path | None = None  # here for the configuration alone, where the source refers to it
    frames: int = 16
    start: Start = "random"
    size: int = 384
    fps: float = 12.0  # frames a second at which clips are sampled, and of the videos that are written
    augmentation: Augmentation | None = None  # of the exemplars
    variants: int = 32  # of each exemplar that are encoded and drawn from
    skip_bad: bool = False  # leave unreadable clips out, saying so, in place of stopping
    frame_folder_fps: float = FOLDER_RATE

    def __post_init__(self) -> None:
        if not isinstance(self.variants, int) or self.variants < 1:
            raise VmcError(f"data.variants is {self.variants}; it must be a whole number of at least 1")
        self.transform(augmented=True, mirror=False)  # which checks the rest

    def transform(self, *, augmented: bool, mirror: bool, whole: bool = True) -> ClipTransform:
        """Clip file to frames: with the augmentation for exemplars, without for regularization clips.

        `whole` is False for clips of other motions, which are sampled at `fps` where exemplars are taken as wholes.
        """
        start: Start = "random" if self.start == "whole" and not whole else self.start
        settings: Any = {"frames": self.frames, "fps": self.fps, "start": start, "size": self.size}
        settings |= {"augmentation": self.augmentation, "mirror": mirror} if augmented else {}
        return ClipTransform(**settings, folder_fps=self.frame_folder_fps)
