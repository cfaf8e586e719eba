"""Training batches of decoded Jester clips, and how well a network reads those of the validation split.

Axes: B or N clips, F frames, S = 8 segments, C colours, H and W.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from vmc.metrics.networks.trn import SEGMENTS
from vmc.tools.classifier.augmentation import changed
from vmc.tools.classifier.clips import Split
from vmc.tools.classifier.trn import AT_ONCE, Batch, classes_of, to_frames
from vmc.utils.randomness import generator


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Every clip once in an order drawn for each epoch; a batch is a function of the seed and the step.

    Args:
        clips: of the training split.
        seed: of the draws.
        size: clips in a batch. The last of an epoch is filled from the next one.
        device: where clips are augmented.
    """

    clips: Split
    seed: int
    size: int
    device: str = "cpu"

    @property
    def per_epoch(self) -> int:
        """Batches in which every clip is seen."""
        return -(-len(self.clips.used) // self.size)

    def __call__(self, step: int) -> Batch:
        """The batch of a step, counted from 0, changed as training clips are."""
        random = generator(self.seed, step, "classifier batch")
        clips = [self._clip(step * self.size + place) for place in range(self.size)]
        which_BS = torch.randint(2, (self.size, SEGMENTS), generator=random)
        chosen_BS = (2 * torch.arange(SEGMENTS) + which_BS).numpy()
        frames_BSHWC = self.clips.shards.items(clips)[np.arange(self.size)[:, None], chosen_BS]
        frames_BSCHW = changed(to_frames(frames_BSHWC).to(self.device), random)
        return Batch(frames_BSCHW, torch.from_numpy(self.clips.labels[clips]))

    def _clip(self, place: int) -> int:
        epoch, within = divmod(place, len(self.clips.used))
        return int(self.clips.used[_order(self.seed, epoch, len(self.clips.used))[within]])


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return torch.randperm(count, generator=generator(seed, epoch, "classifier order")).numpy()


def right_of(network: nn.Module, clips: Split, *, device: str) -> NDArray[np.bool_]:
    """Which of the used clips a network in eval mode reads right; few are in memory at a time."""
    parts = [clips.used[start : start + AT_ONCE] for start in range(0, len(clips.used), AT_ONCE)]
    found = [
        classes_of(network, clips.shards.items(part.tolist()), device=device) == clips.labels[part]
        for part in tqdm(parts, desc=clips.name, unit="batch", disable=None, leave=False)
    ]
    return np.concatenate(found)
