"""What keeps the base model's knowledge while it learns the motion (paper, Eq. 3 and Table 2e), and which clips a step
draws of all that there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch

from vmc.data.clips import Clip, ClipSource
from vmc.data.folder import VideoFolder
from vmc.data.frames import ClipTransform
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator

Mix = Literal["paired", "union"]
"""`paired`: every draw joins an exemplar with a clip (the release); `union`: a draw is one of either (Eq. 3)."""
Ratio = Literal["over_clips", "balanced"]
"""Of a union: `over_clips`, every clip equally likely (10 of 110 draws are exemplars); `balanced`, half of them are."""


class RegularizationSource(Protocol):
    """Clips beside the exemplars, and how a step mixes the two. Each is made with the run's `source` of clips, its
    `seed`, and `base_videos`, the base model as a maker of videos.
    """

    @property
    def mix(self) -> Mix:
        """How draws are made of both."""

    @property
    def weight(self) -> float:
        """Of the regularization loss in a pair."""

    @property
    def ratio(self) -> Ratio:
        """Of a union."""

    @property
    def variants(self) -> int:
        """Windows of each clip that are encoded and drawn from."""

    def clips(self) -> list[Clip]:
        """All of them; equal sources give equal lists."""


@dataclass(frozen=True, kw_only=True)
class NoRegularization:
    """The exemplars alone (Table 2e, "None")."""

    source: ClipSource | None = None
    seed: int = 0
    base_videos: object = None
    mix: Mix = "union"
    weight: float = 0.0
    ratio: Ratio = "over_clips"
    variants: int = 1

    def clips(self) -> list[Clip]:
        """No clips."""
        return []


@dataclass(frozen=True, kw_only=True)
class RealRegularization:
    """Real videos of related motions: those of the folder `path`, else those that the data offers. They are not
    augmented. The release pairs, with a weight of 0.5.
    """

    source: ClipSource
    seed: int
    base_videos: object = None
    mix: Mix = "paired"
    weight: float = 0.5
    ratio: Ratio = "balanced"
    path: str | Path | None = None
    variants: int = 4

    def __post_init__(self) -> None:
        check_mix(self.mix, self.weight, self.ratio, self.variants)

    def clips(self) -> list[Clip]:
        """Raises a VmcError where there are none."""
        source = self.source if self.path is None else VideoFolder(self.path, regularization_path=self.path)
        clips = source.regularization(seed=self.seed)
        if not clips:
            raise VmcError(
                "regularization=real has no source: this data offers no related clips;"
                " set regularization.path to a folder of captioned videos, or use regularization=none"
            )
        return clips


def check_mix(mix: str, weight: float, ratio: str, variants: int) -> None:
    """Refuse settings of a regularization that cannot be."""
    if mix not in ("paired", "union"):
        raise VmcError(f"regularization.mix is '{mix}'; it must be paired or union")
    if not weight >= 0:
        raise VmcError(f"regularization.weight is {weight}; it must not be negative")
    if ratio not in ("over_clips", "balanced"):
        raise VmcError(f"regularization.ratio is '{ratio}'; it must be over_clips or balanced")
    if variants < 1:
        raise VmcError(f"regularization.variants is {variants}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One clip in a step: which, and what its loss counts."""

    clip: int  # its place among the run's clips
    variant: int
    weight: float = 1.0
    is_exemplar: bool = False
    slot: str  # tells apart the draws of the two halves of a pair
    clip_set: str | None = None  # the name of a `ClipSet`


@dataclass(frozen=True, kw_only=True)
class ClipSet:
    """Clips beside the motion's that are drawn by themselves, such as stills of a subject.

    Args:
        name: of the set; `loss_NAME` is what its clips lose.
        clips: captions may hold placeholders.
        transform: how each becomes frames; stills have one frame.
        share: of the draws that take one of these clips, above 0 and at most 1.
        variants: of each clip that are encoded and drawn from.
        groups: of the model's parameters, those that these clips may move; None for all that are trained.
        tokens: names of the tokens whose rows these clips move, and no others do.
    """

    name: str
    clips: Sequence[Clip]
    transform: ClipTransform
    share: float
    variants: int = 1
    groups: Sequence[str] | None = None
    tokens: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name in ("motion", "regularization"):
            raise VmcError(f"a set of clips is named '{self.name}'; give it a name of letters, digits and _ of its own")
        if not self.clips:
            raise VmcError(f"{self.name} has no clips; give it some, or leave it out")
        if not 0 < self.share <= 1:
            raise VmcError(f"{self.name}.share is {self.share}; it must be above 0 and at most 1, a part of the draws")
        if self.variants < 1:
            raise VmcError(f"{self.name}.variants is {self.variants}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Which clips a draw of a step takes: a pure function of the seed, the step and the draw's place in the batch.

    A run's clips are in the order exemplars, regularization clips, those of each further set.

    Args:
        exemplars, exemplar_variants: how many exemplars there are, and windows of each.
        others: how many regularization clips.
        regularization: how a step mixes the two.
        further: sets of clips with a share of their own.
    """

    exemplars: int
    exemplar_variants: int
    others: int
    regularization: RegularizationSource
    further: Sequence[ClipSet] = ()

    def __post_init__(self) -> None:
        if (shares := sum(one.share for one in self.further)) > 1:
            names = ", ".join(f"{one.name}.share" for one in self.further)
            raise VmcError(f"{names} are {shares} together; all draws are 1, so give less")

    def draw(self, *place: int) -> Sequence[Drawn]:
        """The clips of the draw at `place`, which is (run seed, step, index in the global batch)."""
        if further := self._further(*place):
            return (further,)
        if not self.others:
            return (self._exemplar(*place),)
        if self.regularization.mix == "paired":
            return self._exemplar(*place), self._regularizer(*place, weight=self.regularization.weight)
        share = self.exemplars / (self.exemplars + self.others) if self.regularization.ratio == "over_clips" else 0.5
        is_exemplar = torch.rand((), generator=generator(*place, "set")).item() < share
        return (self._exemplar(*place) if is_exemplar else self._regularizer(*place, weight=1.0),)

    def _further(self, *place: int) -> Drawn | None:
        """The clip of a draw from one of the further sets; None for a draw of exemplars and regularization clips."""
        if not self.further:
            return None
        left = torch.rand((), generator=generator(*place, "further set")).item()
        first = self.exemplars + self.others
        for one in self.further:
            if left < one.share:
                clip, variant = _clip_and_variant(len(one.clips), one.variants, *place, one.name)
                return Drawn(clip=first + clip, variant=variant, slot=one.name, clip_set=one.name)
            left, first = left - one.share, first + len(one.clips)
        return None

    def _exemplar(self, *place: int) -> Drawn:
        clip, variant = _clip_and_variant(self.exemplars, self.exemplar_variants, *place, "motion")
        return Drawn(clip=clip, variant=variant, is_exemplar=True, slot="motion")

    def _regularizer(self, *place: int, weight: float) -> Drawn:
        clip, variant = _clip_and_variant(self.others, self.regularization.variants, *place, "regularization")
        return Drawn(clip=self.exemplars + clip, variant=variant, weight=weight, slot="regularization")


def _clip_and_variant(clips: int, variants: int, *place: int | str) -> tuple[int, int]:
    """One of so many clips and one of its variants, each by a generator of its own."""
    clip = torch.randint(clips, (), generator=generator(*place, "clip"))
    return int(clip), int(torch.randint(variants, (), generator=generator(*place, "variant")))
