"""A person or thing that is learned beside the motion, from stills (paper, Sec. 3.2 and Fig. 6).

A still is a video of one frame, with the subject's word in its caption. What it moves is the row of that word and the
spatial layers among what the run trains; temporal layers get no gradient from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmc.data.augmentation import Augmentation
from vmc.data.clips import Clip, StillSource
from vmc.data.frames import ClipTransform
from vmc.data.motion import MotionData
from vmc.diffusion.objective import Objective
from vmc.models.base import VideoModel
from vmc.models.parameters import check_groups
from vmc.utils.errors import VmcError

UNCHANGED = Augmentation(
    crop_scale=(1, 1), crop_ratio=(1, 1), translate=0, rotate=0, brightness=0, contrast=0, saturation=0, hue=0
)
"""Of stills that are mirrored and not changed otherwise."""


@dataclass(frozen=True, kw_only=True)
class NoSubject:
    """The motion alone."""

    def clips(self) -> list[Clip]:
        """No stills."""
        return []


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Stills beside the motion's clips.

    Args:
        source: of the stills.
        path: here for the configuration alone, where the source refers to it.
        caption: of every still, with `{subject_token}`; None takes the captions from files.
        share: of the draws that take a still, the others being of the motion; above 0 and at most 1.
        start: the step, counted from 0, from which on stills are drawn: before it, the motion is learned alone.
        groups: of the model's parameters, those that stills may move where the run trains them.
        augment: whether stills are changed as the exemplars are; else each is taken at its centre crop.
        mirror: whether left and right are swapped in half of a still's variants.
        variants: of each still that are encoded and drawn from, where it is augmented or mirrored.
    """

    source: StillSource
    path: str | Path | None = None
    caption: str | None = None
    share: float = 0.5
    start: int = 0
    groups: Sequence[str] = ("spatial",)
    augment: bool = False
    mirror: bool = False
    variants: int = 16

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise VmcError(f"subject.share is {self.share}; it must be above 0 and at most 1, a part of the draws")
        for name, value, least in (("start", self.start, 0), ("variants", self.variants, 1)):
            if value < least:
                raise VmcError(f"subject.{name} is {value}; it must be at least {least}")

    @property
    def versions(self) -> int:
        """How many variants of a still there are."""
        return self.variants if self.augment or self.mirror else 1

    def clips(self) -> list[Clip]:
        """The stills; a VmcError where there are none."""
        clips = self.source.stills(caption=self.caption)
        if not clips:
            raise VmcError("subject has no stills: give others, or leave it out with subject=none")
        return clips

    def check(self, model: VideoModel, *, objective: Objective, size: int, steps: int) -> None:
        """Refuse stills that no step would draw, or that model or objective cannot serve; `size` in px."""
        check_groups(self.groups, model.groups, key="subject.groups")
        if self.start >= steps:
            raise VmcError(
                f"subject.start is {self.start}, but steps is {steps}, so that no still would be drawn; give an earlier"
                " start, or more steps"
            )
        try:
            objective.check(frames=model.latent_shape(frames=1, size=size)[1], process=model.process)
        except VmcError as error:
            raise VmcError(f"subject has stills, videos of one frame, which cannot be trained on: {error}") from error

    def transform(self, data: MotionData) -> ClipTransform:
        """Still to the one frame of a video of the size that the run's clips have."""
        augmentation = data.augmentation if self.augment else UNCHANGED if self.mirror else None
        return ClipTransform(frames=1, start="first", size=data.size, augmentation=augmentation, mirror=self.mirror)
