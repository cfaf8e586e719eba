"""What keeps the base model's knowledge while it learns the motion (paper, Eq. 3 and Table 2e)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from vmc.data.clips import Clip, ClipSource
from vmc.data.folder import VideoFolder
from vmc.data.webvid import WebVid
from vmc.utils.errors import VmcError

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


@dataclass(frozen=True, kw_only=True)
class WebVidRegularization:
    """Real videos of all kinds, drawn by the run's seed from a table as WebVid has it (paper, for motions of internet
    videos). See `WebVid` for path, csv, count, words and skip_bad.
    """

    source: ClipSource
    seed: int
    path: str | Path | None = None
    csv: str | Path | None = None
    count: int = 100
    words: Sequence[str] = ()
    skip_bad: bool = False
    base_videos: object = None
    mix: Mix = "paired"
    weight: float = 0.5
    ratio: Ratio = "balanced"
    variants: int = 4

    def __post_init__(self) -> None:
        check_mix(self.mix, self.weight, self.ratio, self.variants)

    def clips(self) -> list[Clip]:
        """Raises a VmcError where the table or a drawn video is missing."""
        drawn = WebVid(self.path, csv=self.csv, count=self.count, words=self.words, skip_bad=self.skip_bad)
        return drawn.regularization(seed=self.seed)


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
