"""How a TRN is trained and read, whatever the clips: the miniature's classifier and one of Jester's have it in common.

Axes: B or N clips, S = 8 segments, F frames, C colours, H and W, K classes.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
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
ZOOM, SHIFT = 0.08, 0.07
"""Largest change of scale, as a factor beyond 1, and of place, in picture widths."""
GAIN, CHANNEL_GAIN, BRIGHTNESS, SATURATION = 0.2, 0.06, 20.0, 0.3
"""Largest changes of contrast, of a single channel, of all pixels in 255ths, and of distance from grey."""
BLUR, NOISE = 0.8, 6.0
"""Largest deviations of the blur, in pixels, and of the noise, in 255ths; half of the clips have neither."""


class ClipBatch(NamedTuple):
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


def loss_of(network: nn.Module, batch: ClipBatch, *, device: str) -> Tensor:
    """The cross-entropy with smoothed labels."""
    logits_BK = network(batch.frames_BSCHW.to(device))
    return F.cross_entropy(logits_BK, batch.labels_B.to(device), label_smoothing=SMOOTHING)


@torch.no_grad()
def classes_of(network: nn.Module, frames_NSHWC: NDArray[np.uint8], *, device: str) -> NDArray[np.int64]:
    """The class that a network in eval mode reads in each clip."""
    parts = [frames_NSHWC[start : start + AT_ONCE] for start in range(0, len(frames_NSHWC), AT_ONCE)]
    return np.concatenate([network(to_frames(part).to(device)).argmax(1).cpu().numpy() for part in parts])


# --- augmentation ---


def augment(frames_BFCHW: Tensor, random: Generator) -> Tensor:
    """Move, color and blur clips of 0..255 and add noise; never flipped, for that would be another gesture.

    All frames of a clip are changed alike, but for the noise. Draws are made on the CPU, so they are the same whatever
    device the frames are on.
    """
    count, frames, colors = frames_BFCHW.shape[:3]
    device = frames_BFCHW.device

    def uniform(size: float, values: int = count) -> Tensor:
        return ((torch.rand(values, generator=random) * 2 - 1) * size).to(device)

    # Moved.
    scale_B, x_B, y_B = 1 / (1 + uniform(ZOOM)), 2 * uniform(SHIFT), 2 * uniform(SHIFT)
    zero_B = torch.zeros(count, device=device)
    rows = (torch.stack([scale_B, zero_B, x_B], 1), torch.stack([zero_B, scale_B, y_B], 1))
    pictures = frames_BFCHW.flatten(1, 2)
    grid = F.affine_grid(torch.stack(rows, 1), list(pictures.shape), align_corners=False)
    moved = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False).unflatten(1, (frames, -1))

    # Colored.
    gain_B, brightness_B, saturation_B = (uniform(size).view(-1, 1, 1, 1, 1) for size in (GAIN, BRIGHTNESS, SATURATION))
    gain_BC = 1 + uniform(CHANNEL_GAIN, 3 * count).view(-1, 1, 3, 1, 1)
    gray = moved.mean(2, keepdim=True)
    saturated = gray + (1 + saturation_B) * (moved - gray)
    colored = (saturated - 127.5) * (gain_BC * (1 + gain_B)) + (127.5 + brightness_B)

    # Blurred by a Gaussian of a deviation of its own for each clip.
    deviation_B = uniform(BLUR).clamp(min=1e-3)
    offsets = torch.arange(-2.0, 3.0, device=device)
    kernel_B5 = torch.softmax(-(offsets**2) / (2 * deviation_B[:, None] ** 2), 1).repeat_interleave(frames * colors, 0)
    maps = colored.reshape(1, -1, *colored.shape[3:])
    for shape, padding in (((-1, 1, 5, 1), (0, 0, 2, 2)), ((-1, 1, 1, 5), (2, 2, 0, 0))):
        maps = F.conv2d(F.pad(maps, padding, mode="replicate"), kernel_B5.view(shape), groups=maps.shape[1])

    noise_B = uniform(NOISE).clamp(min=0).view(-1, 1, 1, 1, 1)
    noisy = maps.view_as(colored) + noise_B * torch.randn(colored.shape, generator=random).to(device)
    return noisy.clamp(0, 255)
