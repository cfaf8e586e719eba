"""Whether two people side by side both perform the learned motion (paper, Sec. 4.3).

Axes: B videos, P = 2 people, F frames, N = B x F, C colors, H and W.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vmc.metrics.base import Record
from vmc.metrics.motion import SuiteAccuracy, share_and_all
from vmc.metrics.networks.classifiers import GestureClassifier
from vmc.utils.errors import VmcError

PEOPLE = "people"  # name of the suite


class People(SuiteAccuracy):
    """Columns people_share and people_all: which of two people side by side perform the motion.

    A person's crop is a square around the middle of the left or right half that stands on the bottom edge, `side`
    picture heights wide; beyond the picture its edge is repeated. This is where the miniature places two people; people
    who stand elsewhere are not found.
    """

    name = suite = PEOPLE
    columns = share_and_all(PEOPLE, share="Share of people", both="Both people, %")

    def __init__(self, *, side: float = 0.667, classifier: GestureClassifier[Any] | None = None) -> None:
        super().__init__(classifier=classifier)
        if not 0 < side <= 1:
            raise VmcError(f"metrics.people.side is {side}; a crop's side lies between 0 and 1 picture heights")
        self.side = side

    def right(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Tensor:
        """Whether the person on the left performs the motion, and the one on the right."""
        assert self.target is not None
        crops = [crop_square(frames_BFCHW, center=center, side=self.side) for center in (0.25, 0.75)]
        return torch.stack([self.classify(crop) for crop in crops], dim=1).eq(self.target)

    def describe(self) -> dict[str, Any]:
        """The classifier, the class and the crops."""
        return {**super().describe(), "side": self.side}


def crop_square(frames_BFCHW: Tensor, *, center: float, side: float) -> Tensor:
    """Crop a square that stands on the bottom edge, and resize it to the height of the frames_BFCHW, uint8.

    Args:
        frames_BFCHW: uint8.
        center: of the square, in picture widths.
        side: of the square, in picture heights.
    """
    height, width = frames_BFCHW.shape[-2:]
    pixels = round(side * height)
    left = round(center * width - pixels / 2)
    frames_NCHW = F.pad(frames_BFCHW.flatten(0, 1).float(), (pixels, pixels, 0, 0), mode="replicate")
    square_NCHW = frames_NCHW[..., height - pixels :, left + pixels : left + 2 * pixels]
    resized = F.interpolate(square_NCHW, (height, height), mode="bilinear", align_corners=False, antialias=True)
    return resized.round().clamp(0, 255).byte().unflatten(0, frames_BFCHW.shape[:2])
