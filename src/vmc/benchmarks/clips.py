"""Clips of noise: speed and memory do not depend on what a clip shows.

Axes: F frames, C colours, H and W.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from vmc.randomness import generator


def noise_clips(role: str, count: int, *, frames: int, size: int) -> Iterator[tuple[str, Tensor]]:
    """Names and frames_FCHW, uint8."""
    for number in range(count):
        draw = generator("benchmark", role, number)
        yield f"{role}{number}", torch.randint(256, (frames, 3, size, size), generator=draw, dtype=torch.uint8)
