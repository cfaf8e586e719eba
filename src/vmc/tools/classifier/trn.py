"""How a TRN is trained and read, whatever the clips: the miniature's classifier and one of Jester's have it in common.

Axes: B or N clips, S = 8 segments, C colours, H and W, K classes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from vmc.metrics.networks.trn import TRN
from vmc.utils.randomness import derive_seed

RATE = 0.015
"""Of Muon, as a share of an orthogonal matrix in a step."""
SMOOTHING = 0.1
"""Share of every label that is spread over all classes."""
EDGES = ("stem.weight", "conv1_7x7_s2.weight", ".3.weight")
"""The first layer of either backbone and the last ones, as `Learner` wants them."""
AT_ONCE = 32


class Batch(NamedTuple):
    """Frames of 0..255 and labels_B."""

    frames_BSCHW: Tensor
    labels_B: Tensor


def to_frames(frames_BSHWC: NDArray[np.uint8]) -> Tensor:
    """frames_BSCHW as floats of 0..255."""
    return torch.from_numpy(frames_BSHWC).permute(0, 1, 4, 2, 3).float()


def make_network(seed: int, *, arch: str, classes: int) -> TRN:
    """The network with the weights of the first step, in training mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "classifier weights"))
        return TRN(arch=arch, classes=classes).train()


def loss_of(network: nn.Module, batch: Batch, *, device: str) -> Tensor:
    """The cross-entropy with smoothed labels."""
    logits_BK = network(batch.frames_BSCHW.to(device))
    return F.cross_entropy(logits_BK, batch.labels_B.to(device), label_smoothing=SMOOTHING)


@torch.no_grad()
def classes_of(network: nn.Module, frames_NSHWC: NDArray[np.uint8], *, device: str) -> NDArray[np.int64]:
    """The class that a network in eval mode reads in each clip."""
    return np.concatenate(
        [network(to_frames(part).to(device)).argmax(1).cpu().numpy() for part in _parts(frames_NSHWC)]
    )


def _parts(frames_NSHWC: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(frames_NSHWC), AT_ONCE):
        yield frames_NSHWC[start : start + AT_ONCE]
