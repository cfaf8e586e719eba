"""How well a descriptor tells copies from other persons doing the same.

Axes: N videos, F frames, E frames of all exemplars, H and W, C colours, D descriptor width.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vmc.mini.makers.copying.people import EXEMPLARS, OTHERS

_AT_ONCE = 200

Describe = Callable[[Tensor], Tensor]
"""uint8 frames_NCHW -> descriptors_ND."""


def describe_all(describe: Describe, frames_NFHWC: NDArray[np.uint8]) -> Tensor:
    """descriptors_NFD of videos."""
    frames = torch.from_numpy(np.ascontiguousarray(frames_NFHWC)).flatten(0, 1).permute(0, 3, 1, 2)
    return torch.cat([describe(part) for part in frames.split(_AT_ONCE)]).unflatten(0, frames_NFHWC.shape[:2])


def copy_similarity(videos_NFD: Tensor, exemplars_ED: Tensor) -> Tensor:
    """One value for each video: its nearest frame's similarity to the nearest frame of any exemplar."""
    return (videos_NFD @ exemplars_ED.T).amax((1, 2))


def area(copies_N: Tensor, others_N: Tensor) -> float:
    """The probability that a copy lies above another video (area under the ROC curve), ties counting half."""
    above = (copies_N[:, None] > others_N).double() + 0.5 * (copies_N[:, None] == others_N).double()
    return float(above.mean())


def set_similarities(describe: Describe, validation_NVFHWC: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Of the validation's sets: similarities of re-encoded exemplars, and of re-encoded other persons."""
    copies, others = [], []
    size = EXEMPLARS + OTHERS
    for start in range(0, len(validation_NVFHWC), size):
        part = validation_NVFHWC[start : start + size]
        exemplars_ED = describe_all(describe, part[:EXEMPLARS, 0]).flatten(0, 1)
        similarity_N = copy_similarity(describe_all(describe, part[:, 1]), exemplars_ED)
        copies.append(similarity_N[:EXEMPLARS])
        others.append(similarity_N[EXEMPLARS:])
    return torch.cat(copies), torch.cat(others)
