"""The motion that a run learns, and its data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmc.data.augmentation import Augmentation
from vmc.data.clips import ClipSource
from vmc.data.frames import ClipTransform, Start
from vmc.data.prompts import prompt_of
from vmc.data.video import FOLDER_RATE
from vmc.utils.errors import VmcError
from vmc.utils.files import safe_name


def default_name(*, path: str, label: str) -> str:
    """The name of a motion that was given none: that of its folder of clips, or of its class where `path` is empty."""
    if not path:
        return safe_name(label).lower() or "custom"
    place = Path(path).absolute()
    return safe_name(place.stem if 1 < len(place.suffix) <= 5 else place.name) or "custom"


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A motion to be learned."""

    name: str  # in folder names
    label: str | None = None  # its class in Jester; None for a motion that no classifier knows
    caption: str | None = None  # caption of every exemplar, with `{token}`; None takes the captions from files
    prompt: str | None = None  # of the test set, with `{subject}` and `{token}`; None derives it from the caption
    language: str | None = None  # prompt in natural language, for the untuned model (Supplement D) and text alignment
    mirror: bool = False  # whether a mirrored clip still shows the motion

    @property
    def template(self) -> str:
        """The prompt of the test set, with `{subject}` and `{token}`."""
        return prompt_of(self.caption) if self.prompt is None else self.prompt


@dataclass(frozen=True, kw_only=True)
class MotionData:
    """Where a run's clips come from and how they become frames; see `ClipTransform` for fields without a comment."""

    source: ClipSource
    path: str | Path | None = None  # not used here; the source's config refers to it
    frames: int = 16
    start: Start = "random"
    size: int = 384
    fps: float = 12.0  # frames per second at which clips are sampled and videos written
    augmentation: Augmentation | None = None  # of the exemplars
    variants: int = 32  # variants of each exemplar that are encoded and drawn from
    skip_bad: bool = False  # leave unreadable clips out with a warning, in place of an error
    frame_folder_fps: float = FOLDER_RATE

    def __post_init__(self) -> None:
        if not isinstance(self.variants, int) or self.variants < 1:
            raise VmcError(f"data.variants is {self.variants}; it must be a whole number of at least 1")
        self.transform(augmented=True, mirror=False)  # which checks the rest

    def transform(self, *, augmented: bool, mirror: bool, whole: bool = True) -> ClipTransform:
        """The transform of clips, `augmented` for exemplars, not for regularization clips.

        With `whole=False`, for clips of other motions, clips are sampled at `fps` even if exemplars are taken whole.
        """
        start: Start = "random" if self.start == "whole" and not whole else self.start
        settings: Any = {"frames": self.frames, "fps": self.fps, "start": start, "size": self.size}
        settings |= {"augmentation": self.augmentation, "mirror": mirror} if augmented else {}
        return ClipTransform(**settings, folder_fps=self.frame_folder_fps)
