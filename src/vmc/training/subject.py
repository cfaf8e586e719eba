"""A person or thing that is learned from stills beside the motion (paper, Sec. 3.2 and Fig. 6).

A still is a video of one frame, with the subject's word in its caption. It trains the row of that word, and of the
run's trained parameters the spatial layers; temporal layers get no gradient from it.
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
"""The augmentation of stills that are only mirrored."""


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
        source: where the stills come from.
        path: not used here; the source's config refers to it.
        caption: caption of every still, with `{subject_token}`; None takes the captions from files.
        share: share of the draws that take a still in place of the motion's clips; above 0 and at most 1.
        start: first step, counted from 0, that may draw stills; before it, only the motion is learned.
        groups: parameter groups that stills train, as far as the run trains them.
        augment: whether stills are augmented like the exemplars; else each is center-cropped.
        mirror: whether half of a still's variants are mirrored.
        variants: variants of each still that are encoded and drawn from, if it is augmented or mirrored.
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
        """Number of variants of a still."""
        return self.variants if self.augment or self.mirror else 1

    def takes(self, step: int, drawn: float) -> bool:
        """Whether a draw of a step, counted from 0, takes a still; `drawn` is uniform from 0 to 1."""
        return step >= self.start and drawn < self.share

    def clips(self) -> list[Clip]:
        """The stills; a VmcError if there are none."""
        clips = self.source.stills(caption=self.caption)
        if not clips:
            raise VmcError("subject has no stills: give others, or leave it out with subject=none")
        return clips

    def check(self, model: VideoModel, *, objective: Objective, size: int, steps: int) -> None:
        """Raise a VmcError for stills that no step would draw, or that model or objective cannot use; `size` in px."""
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
        """How a still becomes a video of one frame, of the size of the run's clips."""
        augmentation = (data.augmentation if self.augment else None) or (UNCHANGED if self.mirror else None)
        return ClipTransform(frames=1, start="first", size=data.size, augmentation=augmentation, mirror=self.mirror)
