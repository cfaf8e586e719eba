"""Densities over diffusion time, and samplers that draw from them: one time for each clip of a step
(`StepPlan.time` of `vmc.training.batches`).

Axes: T times of the process's grid, ascending in [0, 1] (0 = clean, 1 = noise); B clips in a batch.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from vmc.diffusion.process import NoiseProcess
from vmc.utils.errors import VmcError


class TimestepSampler(ABC):
    """Draws the times of training from a noise process; a subclass defines how likely each time is."""

    @abstractmethod
    def density(self, times_T: Tensor) -> Tensor:
        """The unnormalized density_T at these times, float64, at least 0."""

    def probabilities(self, times_T: Tensor) -> Tensor:
        """The density normalized to probabilities_T; a VmcError if none of the times can be drawn."""
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

    The early denoising steps determine a video's layout and motion, the late ones its appearance. `alpha` is the skew,
    from 0 (uniform) to 1 (time 0 is never drawn); the paper uses 0.5.
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


@dataclass(frozen=True, kw_only=True)
class TimeRange(TimestepSampler):
    """Every time from `low` to `high` equally likely, and no other.

    It trains one end of the process alone: MotionMatcher (2025) takes the noisier half, and Wan 2.2 has a network for
    [0.875, 1].
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise VmcError(f"timesteps.low is {self.low} and timesteps.high {self.high}; they must rise within 0 to 1")

    def density(self, times_T: Tensor) -> Tensor:
        """1 within the range, 0 outside."""
        return ((times_T >= self.low) & (times_T <= self.high)).double()


@dataclass(frozen=True, kw_only=True)
class LogitNormal(TimestepSampler):
    """log(t / (1 - t)) is normally distributed, so that both ends are rare (Esser et al., 2024, Sec. 3.1).

    Args:
        mean: of log(t / (1 - t)); above 0 tilts towards noise. Adding log s shifts by s (`Shifted`).
        std: its standard deviation.
    """

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean):
            raise VmcError(f"timesteps.mean is {self.mean}; it must be a finite number")
        if not 0 < self.std < math.inf:
            raise VmcError(f"timesteps.std is {self.std}; it must be a finite number above 0")

    def density(self, times_T: Tensor) -> Tensor:
        """exp(-(logit(t) - mean)^2 / (2 std^2)) / (t (1 - t)), 0 at both ends."""
        inner_T = times_T.clamp(1e-9, 1 - 1e-9)
        density_T = (-((inner_T.logit() - self.mean) ** 2) / (2 * self.std**2)).exp() / (inner_T * (1 - inner_T))
        return density_T * ((times_T > 0) & (times_T < 1))


@dataclass(frozen=True, kw_only=True)
class Shifted(TimestepSampler):
    """Uniform times u moved to t = s u / (1 + (s - 1) u), as solvers of flow models move theirs (Esser et al., 2024,
    Sec. 5.3.2); a shift s above 1 moves towards noise, 1 is uniform.
    """

    shift: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.shift < math.inf:
            raise VmcError(f"timesteps.shift is {self.shift}; it must be a finite number above 0 (1 is uniform)")

    def density(self, times_T: Tensor) -> Tensor:
        """du / dt = s / (s + (1 - s) t)^2."""
        return self.shift / (self.shift + (1 - self.shift) * times_T) ** 2
