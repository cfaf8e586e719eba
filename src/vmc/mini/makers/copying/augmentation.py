"""What may happen to a picture that is copied: crop, mirroring, light, colour, blur, noise, compression.

Milder than SSCD's own, because the miniature's pictures are small and their persons differ in little but colour.

Axes: N images, C colours, H and W, P = 1 place for each of C, H and W.
"""

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Generator, Tensor
from torch.nn import functional as F

CROPPED, AREA, ASPECT = 0.8, (0.6, 1.0), 0.1
"""How often, the share of the picture that is left, and by how much its sides may part."""
MIRRORED = 0.25
BRIGHTNESS, CONTRAST, SATURATION, TINT = 0.25, 0.25, 0.3, 0.06
"""Largest changes: factors 1 +- value; tint is each colour's own."""
BLUR = (-0.5, 1.5)
"""Share of the way to the blurred picture; below 0 it is sharpened."""
NOISED, NOISE = 0.4, 0.05
COMPRESSED, COMPRESSION = 0.4, (0.02, 0.12)
"""How often, and the quantisation step of the lowest frequency, white being 1."""
_BLOCK = 8
_KERNEL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def augment(images_NCHW: Tensor, generator: Generator) -> Tensor:
    """Images of 0 to 1, each changed by its own draw; H and W are multiples of 8."""

    def uniform(low: float, high: float, *, colors: int = 1) -> Tensor:
        """One number for each image, or one for each of its colours."""
        drawn = torch.rand(len(images_NCHW), colors, 1, 1, generator=generator)
        return (low + (high - low) * drawn).to(images_NCHW.device)

    def chosen(share: float) -> Tensor:
        return uniform(0, 1) < share

    turn_NPPP = 1 - 2 * chosen(MIRRORED).float()
    images_NCHW = _crop(
        images_NCHW,
        area_NPPP=torch.where(chosen(CROPPED), uniform(*AREA), 1.0),
        aspect_NPPP=uniform(1 - ASPECT, 1 + ASPECT).sqrt(),
        place_NCPP=uniform(-1, 1, colors=2),
        turn_NPPP=turn_NPPP,
    )
    images_NCHW = _blur(images_NCHW, uniform(*BLUR) * chosen(0.7))
    images_NCHW = images_NCHW * uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS) * uniform(1 - TINT, 1 + TINT, colors=3)
    mean_NPPP = images_NCHW.mean((1, 2, 3), keepdim=True)
    images_NCHW = mean_NPPP + (images_NCHW - mean_NPPP) * uniform(1 - CONTRAST, 1 + CONTRAST)
    gray_NPHW = images_NCHW.mean(1, keepdim=True)
    images_NCHW = gray_NPHW + (images_NCHW - gray_NPHW) * uniform(1 - SATURATION, 1 + SATURATION)
    noise_NCHW = torch.randn(images_NCHW.shape, generator=generator).to(images_NCHW.device)
    images_NCHW = images_NCHW + noise_NCHW * uniform(0, NOISE) * chosen(NOISED)
    step_NPPP, compressed_N = uniform(*COMPRESSION), chosen(COMPRESSED).flatten()
    images_NCHW[compressed_N] = compress(images_NCHW[compressed_N], step_NPPP[compressed_N])
    return images_NCHW.clamp(0, 1)


def _crop(
    images_NCHW: Tensor, *, area_NPPP: Tensor, aspect_NPPP: Tensor, place_NCPP: Tensor, turn_NPPP: Tensor
) -> Tensor:
    """A part of each image at the whole's size; where it would not fit, it is as large as fits."""
    side_N = area_NPPP.sqrt().flatten()
    scales_N2 = torch.stack([side_N * aspect_NPPP.flatten(), side_N / aspect_NPPP.flatten()], 1).clamp(max=1)
    shift_N2 = place_NCPP.flatten(1) * (1 - scales_N2)
    matrices_N23 = torch.zeros(len(images_NCHW), 2, 3, device=images_NCHW.device)
    matrices_N23[:, 0, 0] = scales_N2[:, 0] * turn_NPPP.flatten()
    matrices_N23[:, 1, 1] = scales_N2[:, 1]
    matrices_N23[:, :, 2] = shift_N2
    grid_NHW2 = F.affine_grid(matrices_N23, list(images_NCHW.shape), align_corners=False)
    return F.grid_sample(images_NCHW, grid_NHW2, mode="bilinear", padding_mode="border", align_corners=False)


def _blur(images_NCHW: Tensor, share_NPPP: Tensor) -> Tensor:
    """Images moved towards their blurred selves, or away."""
    height, width = images_NCHW.shape[2:]
    padded_NCHW = F.pad(images_NCHW, (2, 2, 2, 2), mode="replicate")
    # Sums of shifted pictures: on a CPU several times faster than a convolution of each colour by itself.
    rows_NCHW = _weighted([padded_NCHW[:, :, at : at + height] for at in range(len(_KERNEL))])
    blurred_NCHW = _weighted([rows_NCHW[..., at : at + width] for at in range(len(_KERNEL))])
    return images_NCHW + share_NPPP * (blurred_NCHW - images_NCHW)


def _weighted(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0] * _KERNEL[0]
    for part, weight in zip(parts[1:], _KERNEL[1:], strict=True):
        total = total + part * weight
    return total


def compress(images_NCHW: Tensor, step_NPPP: Tensor) -> Tensor:
    """The cosine coefficients of 8x8 blocks rounded to steps that grow with the frequency, as JPEG rounds them."""
    at = torch.arange(_BLOCK, device=images_NCHW.device)
    cosines = (math.pi / _BLOCK * (at + 0.5) * at[:, None]).cos() * (2 / _BLOCK) ** 0.5
    cosines[0] /= 2**0.5
    blocks = rearrange(images_NCHW - 0.5, "n c (h a) (w b) -> n c h w a b", a=_BLOCK, b=_BLOCK)
    steps = step_NPPP[..., None, None] * (1 + 0.5 * (at + at[:, None]))
    rounded = (cosines @ blocks @ cosines.T / steps).round() * steps
    return rearrange(cosines.T @ rounded @ cosines, "n c h w a b -> n c (h a) (w b)") + 0.5
