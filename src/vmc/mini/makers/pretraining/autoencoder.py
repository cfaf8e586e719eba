"""Training the autoencoder on single frames, and bringing its latents to mean 0 and deviation 1.

Axes: B frames of a batch, N windows, F frames of a window, C colours or latent channels, H and W.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from vmc.mini.makers.pretraining.clips import FRAMES, Clips
from vmc.utils.randomness import generator

RATE = 0.04
"""Of Muon."""
KL_WEIGHT = 1e-6
"""Of the mean divergence of one latent value; at 1e-4 a channel of eight was given up in the first steps."""
NOISE = 0.05
"""Noise on latents in training, at least, as a share of a channel's deviation: one a little off must decode well."""
EDGE_WEIGHT = 0.5
"""Of the error in the differences between neighbouring pixels, which keeps fingers apart."""
MOTION_WEIGHT = 4.0
"""How much more a pixel counts that changes within its clip: hands are small and move."""
MOTION_SCALE = 0.25
"""Change, on the scale of -1..1, from which a pixel has the full weight."""


@dataclass(frozen=True)
class PictureBatch:
    """Frames in -1..1 and what each of their pixels counts."""

    pixels_BCHW: Tensor
    weight_B1HW: Tensor

    def to(self, device: str) -> "PictureBatch":
        """The same on a device."""
        return PictureBatch(self.pixels_BCHW.to(device), self.weight_B1HW.to(device))


def draw_batch(clips: Clips, seed: int, step: int, count: int) -> PictureBatch:
    """Frames of windows drawn with replacement, half of them mirrored."""
    random = generator(seed, step, "vae batch")
    windows = torch.randint(len(clips), (count,), generator=random).tolist()
    chosen = torch.randint(FRAMES, (count,), generator=random).tolist()
    mirrored_B = torch.rand(count, generator=random) < 0.5
    batch = batch_of(clips.frames(windows), chosen)
    turned_B111 = mirrored_B[:, None, None, None]
    return PictureBatch(
        *(torch.where(turned_B111, part.flip(-1), part) for part in (batch.pixels_BCHW, batch.weight_B1HW))
    )


def batch_of(frames_NFHWC: NDArray[np.uint8], chosen: Sequence[int]) -> PictureBatch:
    """One frame of each window, weighted by how far it is from the mean of its window."""
    pixels_NFCHW = torch.from_numpy(frames_NFHWC).permute(0, 1, 4, 2, 3).float() / 127.5 - 1
    pixels_BCHW = pixels_NFCHW[torch.arange(len(chosen)), torch.as_tensor(chosen)].contiguous()
    change_B1HW = (pixels_BCHW - pixels_NFCHW.mean(1)).abs().mean(1, keepdim=True)
    return PictureBatch(pixels_BCHW, 1 + MOTION_WEIGHT * (change_B1HW / MOTION_SCALE).clamp(max=1))


def reconstruction_loss(vae: AutoencoderKL, batch: PictureBatch, noise_BCHW: Tensor) -> Tensor:
    """Weighted absolute error of pixels and of edges, and the divergence from the unit Gaussian."""
    posterior = vae.encode(batch.pixels_BCHW).latent_dist
    least_C11 = NOISE * posterior.mean.detach().std((0, 2, 3), keepdim=True)[0]
    decoded_BCHW = vae.decode(posterior.mean + posterior.std.maximum(least_C11) * noise_BCHW).sample.float()
    error_BCHW, weight_B1HW = decoded_BCHW - batch.pixels_BCHW, batch.weight_B1HW
    edges = (error_BCHW.diff(dim=2).abs() * weight_B1HW[:, :, 1:]).mean()
    edges = edges + (error_BCHW.diff(dim=3).abs() * weight_B1HW[:, :, :, 1:]).mean()
    divergence = posterior.kl().mean() / posterior.mean[0].numel()
    return (error_BCHW.abs() * weight_B1HW).mean() + EDGE_WEIGHT * edges + KL_WEIGHT * divergence


@torch.no_grad()
def reconstruction_error(vae: AutoencoderKL, batch: PictureBatch) -> tuple[float, float]:
    """Mean absolute error on the scale of -1..1: of all pixels, and of those that move."""
    error_B1HW = (reconstruct(vae, batch.pixels_BCHW) - batch.pixels_BCHW).abs().mean(1, keepdim=True)
    moving_B1HW = (batch.weight_B1HW - 1) / MOTION_WEIGHT
    return float(error_B1HW.mean()), float((error_B1HW * moving_B1HW).sum() / moving_B1HW.sum().clamp(min=1e-6))


def reconstruct(vae: AutoencoderKL, pixels_BCHW: Tensor) -> Tensor:
    """What is left of frames after the autoencoder, without noise."""
    return torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample for part in pixels_BCHW.split(64)])


@torch.no_grad()
def settle(vae: AutoencoderKL, pixels_BCHW: Tensor) -> list[float]:
    """Bring every latent channel to mean 0 and deviation 1, and write what is left as `scaling_factor`.

    The change is folded into the 1x1 convolutions before and after the latents, so that pictures stay as they are.

    Returns:
        deviation_C: the posterior's own mean deviation of every channel, on the new scale.
    """
    mean_C, deviation_C, _ = _statistics(vae, pixels_BCHW)
    channels = len(mean_C)
    before, after = vae.quant_conv, vae.post_quant_conv
    after.bias += torch.einsum("oi,i->o", after.weight[:, :, 0, 0], mean_C)
    after.weight *= deviation_C[None, :, None, None]
    before.weight[:channels] /= deviation_C[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - mean_C) / deviation_C
    before.bias[channels:] -= 2 * deviation_C.log()
    _, deviation_C, own_C = _statistics(vae, pixels_BCHW)
    factor = round(1 / float(deviation_C.square().mean().sqrt()), 6)
    vae.register_to_config(scaling_factor=factor)
    return (own_C * factor).tolist()


def _statistics(vae: AutoencoderKL, pixels_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of every latent channel the mean and the deviation over frames, and the posterior's own mean deviation."""
    posteriors = [vae.encode(part).latent_dist for part in pixels_BCHW.split(64)]
    mean_BCHW = torch.cat([posterior.mean for posterior in posteriors])
    own_BCHW = torch.cat([posterior.std for posterior in posteriors])
    return mean_BCHW.mean((0, 2, 3)), mean_BCHW.std((0, 2, 3)), own_BCHW.mean((0, 2, 3))
