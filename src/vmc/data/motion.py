"""What a motion is called, and the data of a run as one object."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vmc.data.augmentation import Augmentation
from vmc.data.clips import ClipSource
from vmc.data.transform import ClipTransform
from vmc.data.video import FOLDER_RATE
from vmc.utils.errors import VmcError

SUBJECT = re.compile(
    r"\b(a|the) (person|man|woman|boy|girl|child|human|people)\b|\b(some(one|body)|people)\b", re.IGNORECASE
)
"""Whom a caption names before the motion: in a test prompt another subject stands there."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A motion to be learned.

    Args:
        name: used in folder names.
        label: its class in Jester; None for a motion that no classifier knows.
        caption: of every exemplar, with `{token}`; None takes the captions from files.
        prompt: of the test set, with `{subject}` and `{token}`; None makes it of the caption (`prompt_of`).
        language: the prompt in natural language, for the untuned model (Supplement D) and for text alignment.
        mirror: whether a mirrored clip still shows the motion.
    """

    name: str
    label: str | None = None
    caption: str | None = None
    prompt: str | None = None
    language: str | None = None
    mirror: bool = False

    @property
    def template(self) -> str:
        """The prompt of the test set, with `{subject}` and `{token}`."""
        return prompt_of(self.caption) if self.prompt is None else self.prompt


def prompt_of(caption: str | None) -> str:
    """The test prompt that fits the caption of a motion's clips.

    "a person doing the {token} dance" gives "{subject} doing the {token} dance.": `{subject}` takes the place of the
    first person named before the motion. A caption that names none follows it: "{subject}, the {token} dance." Where
    each clip has a caption of its own, the prompt is "{subject} doing the {token} motion."
    """
    if caption is None:
        return "{subject} doing the {token} motion."
    said = caption.strip().rstrip(".")
    person = SUBJECT.search(said.partition("{token}")[0])
    if person is None:
        return f"{{subject}}, {said}."
    return f"{said[: person.start()]}{{subject}}{said[person.end() :]}."


@dataclass(frozen=True, kw_only=True)
class MotionData:
    """Where a run's clips come from and how they become frames.

    Args:
        source: gives exemplars and regularization clips.
        path: of the source; here for the configuration alone, where the source refers to it.
        frames: F, frames of a training clip.
        start: first frame of the window: random, first or centre.
        size: px, height and width of a training clip.
        fps: frames a second at which clips are sampled by their timestamps, and of the videos that are written.
        augmentation: of the exemplars; None for none.
        variants: of each exemplar that are encoded and drawn from.
        skip_bad: leave unreadable clips out, saying so, in place of stopping.
        frame_folder_fps: frames a second of clips that are folders of frames, which do not say.
    """

    source: ClipSource
    path: str | Path | None = None
    frames: int = 16
    start: Literal["random", "first", "centre"] = "random"
    size: int = 384
    fps: float = 12.0
    augmentation: Augmentation | None = None
    variants: int = 32
    skip_bad: bool = False
    frame_folder_fps: float = FOLDER_RATE

    def __post_init__(self) -> None:
        if not isinstance(self.variants, int) or self.variants < 1:
            raise VmcError(f"data.variants is {self.variants}; it must be a whole number of at least 1")
        self.transform(augmented=True, mirror=False)  # which checks the rest

    def transform(self, *, augmented: bool, mirror: bool) -> ClipTransform:
        """Clip file to frames: with the augmentation for exemplars, without for regularization clips."""
        return ClipTransform(
            frames=self.frames,
            fps=self.fps,
            start=self.start,
            size=self.size,
            augmentation=self.augmentation if augmented else None,
            mirror=mirror and augmented,
            folder_fps=self.frame_folder_fps,
        )
