"""What the classifier learns from: views drawn from rendered and decoded clips.

Axes: B views, S = 8 segments, C colours, H and W.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vmc.mini.makers.classifier.clips import WHOLE, WINDOW, labeled_clip
from vmc.mini.makers.classifier.decoded import clip_and_view
from vmc.tools.learning.learner import ClipBatch, augment, to_frames
from vmc.tools.learning.shards import Shards
from vmc.utils.randomness import generator

DECODED, WHOLE_SHARE = 0.5, 0.4
"""Shares of views that are decoded, and of rendered views that show the whole clip."""


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Training batches, each a function of the seed and the step.

    Args:
        clips: rendered, a window and a whole view each.
        decoded: views of `clip_and_view`.
        seed: of the draws.
        size: views in a batch.
    """

    clips: Shards
    decoded: Shards
    seed: int
    size: int

    @cached_property
    def labels(self) -> Tensor:
        """Of every clip."""
        return torch.tensor([labeled_clip(number).label for number in range(len(self.clips))])

    def __call__(self, step: int) -> ClipBatch:
        """The batch of a step, augmented."""
        random = generator(self.seed, step, "classifier batch")
        views, clips = [], []
        for place_3 in torch.rand(self.size, 3, generator=random).tolist():
            frames, clip = self._view(*place_3)
            views.append(frames)
            clips.append(clip)
        return ClipBatch(augment(to_frames(np.stack(views)), random), self.labels[clips])

    def _view(self, source: float, place: float, kind: float) -> tuple[NDArray[np.uint8], int]:
        """frames_FHWC and the number of the clip they are of."""
        if source < DECODED:
            index = int(place * len(self.decoded))
            return self.decoded.items([index])[0], clip_and_view(index)[0]
        clip = int(place * len(self.clips))
        return self.clips.items([clip])[0, WHOLE if kind < WHOLE_SHARE else WINDOW], clip
