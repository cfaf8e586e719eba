"""What keeps the base model's knowledge while it learns the motion (paper, Eq. 3 and Table 2e)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vmc.data.clips import Clip
from vmc.data.folder import VideoFolder
from vmc.data.webvid import WebVid
from vmc.utils.errors import VmcError

Mix = Literal["paired", "union"]
"""`paired`: every draw joins an exemplar with a clip (the release); `union`: a draw is one of either (Eq. 3)."""
Ratio = Literal["over_clips", "balanced"]
"""Of a union: `over_clips`, every clip equally likely (10 of 110 draws are exemplars); `balanced`, half of them are."""


@dataclass(frozen=True, kw_only=True)
class Regularization:
    """Clips beside the exemplars, and how a step mixes the two.

    Args:
        source: the run's clips, a `ClipSource`.
        seed: of the run; equal sources and seeds give equal clips.
        base_videos: the base model as a maker of videos.
        mix: how a step draws from both.
        weight: of the regularization loss in a pair.
        ratio: of a union.
        variants: windows of each clip that are encoded and drawn from.
    """

    source: Any = None
    seed: int = 0
    base_videos: Any = None
    mix: Mix = "paired"
    weight: float = 0.5
    ratio: Ratio = "balanced"
    variants: int = 4

    def __post_init__(self) -> None:
        for name, value, least in (("weight", self.weight, 0), ("variants", self.variants, 1)):
            if not value >= least:
                raise VmcError(f"regularization.{name} is {value}; it must be at least {least}")

    def clips(self) -> list[Clip]:
        """All of them: here none."""
        return []


@dataclass(frozen=True, kw_only=True)
class NoRegularization(Regularization):
    """The exemplars alone (Table 2e, "None")."""


@dataclass(frozen=True, kw_only=True)
class RealRegularization(Regularization):
    """Real videos of related motions: those of the folder `path`, else those that the data offers. They are not
    augmented. The release pairs, with a weight of 0.5.
    """

    path: str | Path | None = None

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
class WebVidRegularization(Regularization):
    """Real videos of all kinds, drawn by the run's seed from a table as WebVid has it (paper, for motions of internet
    videos). See `WebVid` for path, csv, count, words and skip_bad.
    """

    path: str | Path | None = None
    csv: str | Path | None = None
    count: int = 100
    words: Sequence[str] = ()
    skip_bad: bool = False

    def clips(self) -> list[Clip]:
        """Raises a VmcError where the table or a drawn video is missing."""
        drawn = WebVid(self.path, csv=self.csv, count=self.count, words=self.words, skip_bad=self.skip_bad)
        return drawn.regularization(seed=self.seed)
