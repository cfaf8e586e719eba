"""Densities over diffusion time, and samplers that draw from them.

Axes: T times of the process's grid, ascending in [0, 1] (0 = clean, 1 = noise); B clips in a batch.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from vmc.diffusion.process import NoiseProcess
from vmc.errors import VmcError


class TimestepSampler(ABC):
    """Draws times of a noise process; a sampler says how likely each is."""

    @abstractmethod
    def density(self, times_T: Tensor) -> Tensor:
        """density_T at these times, float64, at least 0, of any scale."""

    def probabilities(self, times_T: Tensor) -> Tensor:
        """probabilities_T: the density, summing to 1.

        Raises:
            VmcError: none of the times can be drawn.
        """
        density_T = self.density(times_T)
        if not (density_T.sum() > 0 and torch.isfinite(density_T).all()):
            raise VmcError(f"timesteps is {self}, which draws none of the process's {len(times_T)} times; widen it")
        return density_T / density_T.sum()

    def sample(self, count: int, *, process: NoiseProcess, generator: Generator) -> Tensor:
        """times_B, float64, on the generator's device."""
        probabilities_T = self.probabilities(process.times).to(generator.device)
        drawn_B = torch.multinomial(probabilities_T, count, replacement=True, generator=generator)
        return process.times.to(generator.device)[drawn_B]


@dataclass(frozen=True, kw_only=True)
class CoarseNoise(TimestepSampler):
    """Tilted towards noise: f(t) = 1 - alpha * cos(pi * t), t in [0, 1] (paper, Sec. 3.2).

    The early denoising steps settle a video's layout and motion, the late ones its appearance.

    Args:
        alpha: skew, 0 (uniform) to 1 (time 0 is never drawn). The paper uses 0.5.

    Raises:
        VmcError: alpha outside [0, 1].
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise VmcError(f"timesteps.alpha is {self.alpha}; it must lie between 0 (uniform) and 1")

    def density(self, times_T: Tensor) -> Tensor:
        """1 - alpha * cos(pi * t)."""
        return 1 - self.alpha * (math.pi * times_T).cos()


@dataclass(frozen=True, kw_only=True)
class Uniform(TimestepSampler):
    """Every time equally likely (Table 2d, "Uniform", and all baselines of Table 1)."""

    def density(self, times_T: Tensor) -> Tensor:
        """1 everywhere."""
        return torch.ones_like(times_T)
