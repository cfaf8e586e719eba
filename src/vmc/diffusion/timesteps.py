"""Densities over diffusion timesteps, and samplers that draw from them.

Axes: T timesteps of the noise schedule (0 = clean, T-1 = noise), B clips in a batch.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from vmc.errors import VmcError


def coarse_noise_density(timesteps: int, *, alpha: float) -> Tensor:
    """Probability of each timestep, tilted towards noise.

    f(t) = (1 - alpha * cos(pi * t / T)) / T, normalised over t = 0..T-1 (paper, Sec. 3.2).
    The early denoising steps settle a video's layout and motion, the late ones its appearance.

    Args:
        timesteps: T, the length of the noise schedule.
        alpha: skew, 0 (uniform) to 1 (timestep 0 is never drawn). The paper uses 0.5.

    Returns:
        probabilities_T, float64, summing to 1.

    Raises:
        VmcError: alpha outside [0, 1], or no timesteps.
    """
    if not 0 <= alpha <= 1:
        raise VmcError(f"timesteps.alpha is {alpha}; it must lie between 0 (uniform) and 1")
    if timesteps < 1:
        raise VmcError(f"the noise schedule has {timesteps} timesteps; it needs at least 1")
    phase_T = math.pi * torch.arange(timesteps, dtype=torch.float64) / timesteps
    density_T = 1 - alpha * phase_T.cos()
    return density_T / density_T.sum()


@dataclass(frozen=True, kw_only=True)
class CoarseNoise:
    """Draws timesteps from `coarse_noise_density`; `alpha=0` is the uniform sampler."""

    alpha: float = 0.5

    def __post_init__(self) -> None:
        coarse_noise_density(1, alpha=self.alpha)

    def density(self, timesteps: int) -> Tensor:
        """probabilities_T."""
        return coarse_noise_density(timesteps, alpha=self.alpha)

    def sample(self, count: int, *, timesteps: int, generator: Generator) -> Tensor:
        """timesteps_B, int64, on the generator's device."""
        density_T = self.density(timesteps).to(generator.device)
        return torch.multinomial(density_T, count, replacement=True, generator=generator)


class Uniform(CoarseNoise):
    """Every timestep equally likely (Table 2d, "Uniform", and all baselines of Table 1)."""

    def __init__(self) -> None:
        super().__init__(alpha=0.0)
