"""The denoising objective (paper, Eq. 1) and its sum over exemplars and regularization clips (Eq. 3).

Axes: B clips, C latent channels, F frames, H and W of the latent, T timesteps of the schedule.
"""

from dataclasses import dataclass

import torch
from diffusers import SchedulerMixin
from torch import Tensor

from vmc.errors import VmcError

PREDICTION_TYPES = ("epsilon", "v_prediction")


@dataclass(frozen=True, kw_only=True)
class NoiseSchedule:
    """The forward process q(x_t | x_0) = N(sqrt(a_t) x_0, (1 - a_t) I), a_t the cumulated product of 1 - beta."""

    signal_T: Tensor  # a_t, float32
    prediction_type: str

    def __post_init__(self) -> None:
        if self.prediction_type not in PREDICTION_TYPES:
            raise VmcError(
                f"the model's scheduler predicts '{self.prediction_type}'; supported are {', '.join(PREDICTION_TYPES)}"
            )

    @classmethod
    def of(cls, scheduler: SchedulerMixin) -> "NoiseSchedule":
        """The schedule of a diffusers scheduler, with the prediction type of its config."""
        return cls(signal_T=scheduler.alphas_cumprod.float(), prediction_type=scheduler.config["prediction_type"])

    @property
    def timesteps(self) -> int:
        """T, the length of the schedule."""
        return len(self.signal_T)

    def add_noise(self, latents_BCFHW: Tensor, noise_BCFHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise, noisy_BCFHW."""
        signal, deviation = self._coefficients(latents_BCFHW, timesteps_B)
        return signal * latents_BCFHW + deviation * noise_BCFHW

    def target(self, latents_BCFHW: Tensor, noise_BCFHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """What the UNet is to predict: the noise, or v = sqrt(a_t) noise - sqrt(1 - a_t) x_0 (Salimans & Ho, 2022)."""
        if self.prediction_type == "epsilon":
            return noise_BCFHW
        signal, deviation = self._coefficients(latents_BCFHW, timesteps_B)
        return signal * noise_BCFHW - deviation * latents_BCFHW

    def _coefficients(self, latents: Tensor, timesteps_B: Tensor) -> tuple[Tensor, Tensor]:
        signal_B = self.signal_T.to(latents.device)[timesteps_B]
        shape = (-1,) + (1,) * (latents.ndim - 1)
        return signal_B.sqrt().view(shape).to(latents.dtype), (1 - signal_B).sqrt().view(shape).to(latents.dtype)


def denoising_loss(prediction_BCFHW: Tensor, target_BCFHW: Tensor) -> Tensor:
    """Eq. 1 with w_t = 1, as the release has it: the mean squared error of each clip, losses_B in float32."""
    return (prediction_BCFHW.float() - target_BCFHW.float()).square().flatten(1).mean(1)


def weighted_loss(losses_B: Tensor, weights_B: Tensor, draws: int) -> Tensor:
    """Eq. 3 over a batch of `draws` draws.

    `paired`: a draw is an exemplar (weight 1) and a regularization clip (weight lambda), so this is
    mean(L_m) + lambda * mean(L_r). `union`: a draw is one clip of either kind, all of weight 1: the plain mean.
    """
    return torch.dot(losses_B, weights_B) / draws
