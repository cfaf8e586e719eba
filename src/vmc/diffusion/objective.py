"""The losses of each clip that training minimizes: the denoising objective (paper, Eq. 1) and alternatives to it.

An objective is a subclass of `Objective` and a YAML in `conf/objective`.

Axes: B clips, C latent channels, F frames, H and W of the latent.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from vmc.diffusion.process import NoiseProcess
from vmc.utils.errors import VmcError

Losses = Tensor | Mapping[str, Tensor]
"""losses_B, or several by name, whose sum is the loss of a clip."""
TAKEN = ("motion", "regularization", "subject")
"""Names of the losses of exemplars, of regularization clips and of stills in `train.csv`."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What an objective may use beside prediction and target.

    Args:
        process: the noise process; `process.clean_estimate` is the x_0 that a prediction implies.
        latents_BCFHW: clean latents.
        noisy_BCFHW: the denoiser's input.
        times_B: diffusion times in [0, 1].
        generators_B: a CPU generator for each clip. An objective must draw from it, so that ranks, micro-batches and
            resuming do not change a draw.
    """

    process: NoiseProcess
    latents_BCFHW: Tensor
    noisy_BCFHW: Tensor
    times_B: Tensor
    generators_B: Sequence[Generator]


class Objective(ABC):
    """The loss of a denoiser's prediction."""

    static: ClassVar[bool] = False
    """Whether all batches take the same operations, without random draws, so that a CUDA graph can repeat them."""

    @abstractmethod
    def __call__(self, prediction_BCFHW: Tensor, target_BCFHW: Tensor, context: Context) -> Losses:
        """losses_B, or a mapping of names to losses_B; each name becomes a column `loss_NAME` of `train.csv`.

        Prediction and target (`NoiseProcess.target`) are in float32.
        """

    def check(self, *, frames: int, process: NoiseProcess) -> None:  # noqa: B027 - most can serve all
        """Raise a VmcError, before anything is loaded, if latents of `frames` frames or the process cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Denoising(Objective):
    """The mean squared error (Eq. 1)."""

    static: ClassVar[bool] = True

    def __call__(self, prediction_BCFHW: Tensor, target_BCFHW: Tensor, context: Context) -> Tensor:
        """losses_B."""
        return denoising_loss(prediction_BCFHW, target_BCFHW)


@dataclass(frozen=True, kw_only=True)
class AppearanceDebiased(Objective):
    """MotionDirector's temporal loss (Zhao et al., 2023): Eq. 1, plus the same on phi(x), which removes the appearance
    that the frames share.

    phi(x) = sqrt(beta^2 + 1) x - beta x[anchor], where the anchor is a random frame of the clip. What remains is how a
    frame differs from the anchor, which in one video is motion. The paper's beta is 1.
    """

    beta: float = 1.0

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise VmcError(f"objective.beta is {self.beta}; it must be above 0 (0 would count the same loss twice)")

    def check(self, *, frames: int, process: NoiseProcess) -> None:
        """Raise a VmcError for latents of a single frame."""
        if frames < 2:
            told = f"compares the frames of a clip, of which its latent has {frames}; give more data.frames"
            raise VmcError(f"objective is appearance_debiased, which {told}, or objective=denoising")

    def __call__(self, prediction_BCFHW: Tensor, target_BCFHW: Tensor, context: Context) -> dict[str, Tensor]:
        """`denoising` and `appearance_debiased`."""
        frames = prediction_BCFHW.shape[2]
        anchors = [int(torch.randint(frames, (), generator=source)) for source in context.generators_B]
        clips, anchors_B = torch.arange(len(anchors)), torch.tensor(anchors)

        def debiased(x_BCFHW: Tensor) -> Tensor:
            anchor_BC1HW = x_BCFHW[clips, :, anchors_B].unsqueeze(2)
            return (self.beta**2 + 1) ** 0.5 * x_BCFHW - self.beta * anchor_BC1HW

        return {
            "denoising": denoising_loss(prediction_BCFHW, target_BCFHW),
            "appearance_debiased": denoising_loss(debiased(prediction_BCFHW), debiased(target_BCFHW)),
        }


def denoising_loss(prediction_BCFHW: Tensor, target_BCFHW: Tensor) -> Tensor:
    """Eq. 1 with w_t = 1, as in the release: the mean squared error of each clip, losses_B in float32."""
    return (prediction_BCFHW.float() - target_BCFHW.float()).square().flatten(1).mean(1)


def clip_losses(losses: Losses, *, clips: int) -> tuple[Tensor, dict[str, Tensor]]:
    """losses_B of what an objective returned for B = `clips`, and its named parts; a VmcError if a name cannot be a
    column of `train.csv`, or a shape is not (B,).
    """
    named = {} if isinstance(losses, Tensor) else dict(losses)
    for name in named:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in TAKEN:
            remedy = f"give it a name of a-z, 0-9 and _ that is none of {', '.join(TAKEN)}"
            raise VmcError(f"objective returns a loss named '{name}'; {remedy}")
    parts = [losses] if isinstance(losses, Tensor) else list(named.values())
    if not parts or any(part.shape != (clips,) for part in parts):
        shapes = ", ".join(str(tuple(part.shape)) for part in parts) or "none"
        raise VmcError(f"objective returns losses of shape {shapes}; it must return one of each clip, ({clips},)")
    return sum(parts[1:], parts[0]), named
