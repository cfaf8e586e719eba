"""How a video becomes noise, and what a denoiser predicts: variance-preserving diffusion and flow matching.

Times lie in [0, 1], from the clean video to noise, whatever number a network reads for them.

Axes: B videos, C latent channels, F frames, H and W of the latent, T times that training draws from, S steps
of a solver.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from vmc.utils.errors import VmcError

PREDICTION_TYPES = ("epsilon", "v_prediction")
Solver = Any
"""A scheduler of diffusers that steps from noise to a video: `set_timesteps`, `set_begin_index`, `step`."""


class NoiseProcess(ABC):
    """q(x_t | x_0), the training target, and the solver of the reverse process."""

    make_solver: Callable[[], Solver] | None
    """Makes a solver of this process; None for a process that only adds noise."""
    make_inverse: Callable[[], Solver] | None = None

    @property
    @abstractmethod
    def times(self) -> Tensor:
        """The times_T that training draws from, ascending, float64."""

    @abstractmethod
    def timesteps(self, times_B: Tensor) -> Tensor:
        """The network's own numbers for these times."""

    @abstractmethod
    def add_noise(self, latents_BCFHW: Tensor, noise_BCFHW: Tensor, times_B: Tensor) -> Tensor:
        """noisy_BCFHW at these times."""

    @abstractmethod
    def target(self, latents_BCFHW: Tensor, noise_BCFHW: Tensor, times_B: Tensor) -> Tensor:
        """What the network should predict."""

    @abstractmethod
    def clean_estimate(self, prediction_BCFHW: Tensor, noisy_BCFHW: Tensor, times_B: Tensor) -> Tensor:
        """The x_0 that a prediction implies."""

    def solver(self) -> Solver:
        """A new solver, which keeps the state of one batch of videos."""
        if self.make_solver is None:
            raise VmcError("this noise process was made without a solver; give it make_solver")
        return self.make_solver()

    def inverse_solver(self) -> Solver:
        """A new solver from a video to the noise from which `solver` generates it again."""
        if self.make_inverse is None:
            remedy = "choose a model that samples by DDIM (+baseline=tune_a_video), or vmc.diffusion.sampling.Sampler"
            raise VmcError(
                f"sampler is one that inverts clips, from which this model's solver cannot go back; {remedy}"
            )
        return self.make_inverse()


def _each(values_B: Tensor, latents: Tensor) -> Tensor:
    """A number for each video, shaped so that it multiplies the video's latents."""
    return values_B.view(-1, *[1] * (latents.ndim - 1)).to(latents)


@dataclass(frozen=True, kw_only=True)
class VariancePreserving(NoiseProcess):
    """x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise, a_t the cumulated product of 1 - beta (Ho et al., 2020).

    Args:
        signal_T: a_t, float32.
        prediction_type: `epsilon`, the noise, or `v_prediction` (Salimans & Ho, 2022).
        make_solver: makes the solver.
        make_inverse: makes a solver from a video to noise, which takes predictions of noise; None if there is none.
    """

    signal_T: Tensor
    prediction_type: str
    make_solver: Callable[[], Solver] | None = None
    make_inverse: Callable[[], Solver] | None = None

    def __post_init__(self) -> None:
        if self.prediction_type not in PREDICTION_TYPES:
            known = ", ".join(PREDICTION_TYPES)
            raise VmcError(f"the model's scheduler predicts '{self.prediction_type}'; supported are {known}")

    @property
    def times(self) -> Tensor:
        """t / T for t = 0..T-1."""
        return torch.arange(len(self.signal_T), dtype=torch.float64) / len(self.signal_T)

    def timesteps(self, times_B: Tensor) -> Tensor:
        """t = 0..T-1, int64."""
        return (times_B * len(self.signal_T)).round().long()

    def add_noise(self, latents_BCFHW: Tensor, noise_BCFHW: Tensor, times_B: Tensor) -> Tensor:
        """x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise."""
        signal, deviation = self._coefficients(latents_BCFHW, times_B)
        return signal * latents_BCFHW + deviation * noise_BCFHW

    def target(self, latents_BCFHW: Tensor, noise_BCFHW: Tensor, times_B: Tensor) -> Tensor:
        """The noise, or v = sqrt(a_t) noise - sqrt(1 - a_t) x_0."""
        if self.prediction_type == "epsilon":
            return noise_BCFHW
        signal, deviation = self._coefficients(latents_BCFHW, times_B)
        return signal * noise_BCFHW - deviation * latents_BCFHW

    def clean_estimate(self, prediction_BCFHW: Tensor, noisy_BCFHW: Tensor, times_B: Tensor) -> Tensor:
        """(x_t - sqrt(1 - a_t) epsilon) / sqrt(a_t), or sqrt(a_t) x_t - sqrt(1 - a_t) v."""
        signal, deviation = self._coefficients(noisy_BCFHW, times_B)
        if self.prediction_type == "epsilon":
            return (noisy_BCFHW - deviation * prediction_BCFHW) / signal
        return signal * noisy_BCFHW - deviation * prediction_BCFHW

    def noise_estimate(self, prediction_BCFHW: Tensor, noisy_BCFHW: Tensor, times_B: Tensor) -> Tensor:
        """The noise that a prediction implies: epsilon, or sqrt(a_t) v + sqrt(1 - a_t) x_t."""
        if self.prediction_type == "epsilon":
            return prediction_BCFHW
        signal, deviation = self._coefficients(noisy_BCFHW, times_B)
        return signal * prediction_BCFHW + deviation * noisy_BCFHW

    @cached_property
    def _signals(self) -> dict[torch.device, Tensor]:
        return {}

    def _coefficients(self, latents: Tensor, times_B: Tensor) -> tuple[Tensor, Tensor]:
        if latents.device not in self._signals:  # copied once: copying waits for the GPU, and breaks CUDA graphs
            self._signals[latents.device] = self.signal_T.to(latents.device)
        signal_B = self._signals[latents.device][self.timesteps(times_B).to(latents.device)]
        return _each(signal_B.sqrt(), latents), _each((1 - signal_B).sqrt(), latents)


@dataclass(frozen=True, kw_only=True)
class FlowMatching(NoiseProcess):
    """x_t = (1 - t) x_0 + t noise; the network predicts the velocity noise - x_0 (Lipman et al., 2023).

    Args:
        make_solver: makes the solver.
        shift: s in t -> s t / (1 + (s - 1) t), by which the solver, told so by its own config, moves its equally spaced
            times towards noise (Esser et al., 2024, Sec. 5.3.2); 1 leaves them. Training has its own timestep sampler.
        scale: factor from t to what the network reads.
        grid: T, the number of equally spaced times that training draws from: 1 / T .. 1.
    """

    make_solver: Callable[[], Solver] | None = None
    shift: float = 1.0
    scale: float = 1000.0
    grid: int = 1000

    def __post_init__(self) -> None:
        if not self.shift > 0:
            raise VmcError(f"the flow's shift is {self.shift}; it must be above 0 (1 leaves the times as they are)")
        if self.grid < 1:
            raise VmcError(f"the flow's grid is {self.grid}; it must be at least 1")

    @property
    def times(self) -> Tensor:
        """1 / T .. 1, without the clean video, from which nothing can be learned."""
        return torch.arange(1, self.grid + 1, dtype=torch.float64) / self.grid

    def timesteps(self, times_B: Tensor) -> Tensor:
        """t times the scale, float32."""
        return (times_B * self.scale).float()

    def add_noise(self, latents_BCFHW: Tensor, noise_BCFHW: Tensor, times_B: Tensor) -> Tensor:
        """x_t = (1 - t) x_0 + t noise."""
        time = _each(times_B, latents_BCFHW)
        return (1 - time) * latents_BCFHW + time * noise_BCFHW

    def target(self, latents_BCFHW: Tensor, noise_BCFHW: Tensor, times_B: Tensor) -> Tensor:
        """noise - x_0."""
        return noise_BCFHW - latents_BCFHW

    def clean_estimate(self, prediction_BCFHW: Tensor, noisy_BCFHW: Tensor, times_B: Tensor) -> Tensor:
        """x_t - t v."""
        return noisy_BCFHW - _each(times_B, noisy_BCFHW) * prediction_BCFHW


def noise_levels(solver: Solver) -> list[float]:
    """sigma of each step of a solver whose steps are set: the noise's deviation over the scale of the video (Karras et
    al., 2022), which is sqrt((1 - a_t) / a_t), or t / (1 - t) for flow matching.
    """
    if solver.config.get("use_flow_sigmas") or not hasattr(solver, "alphas_cumprod"):
        time_S = solver.sigmas[: len(solver.timesteps)].double()
        return (time_S / (1 - time_S)).tolist()
    signal_S = solver.alphas_cumprod[solver.timesteps.long().cpu()].double()
    return ((1 - signal_S) / signal_S).sqrt().tolist()
