"""Videos from noise: a solver with classifier-free guidance, a batch at a time, and the text conditioning.

Axes: B texts, L positions of the text encoder, D its width; B videos, C latent channels, F frames, H and W of the
latent, M = 2 posterior moments (mean and deviation).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from vmc.diffusion.process import NoiseProcess, Solver, VariancePreserving, noise_levels
from vmc.utils.errors import VmcError


@dataclass(frozen=True)
class Conditioning:
    """Texts as a denoiser reads them: embeddings, and a mask that is True at positions with text, None for a denoiser
    that attends to all positions.
    """

    embeddings_BLD: Tensor
    mask_BL: Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeddings_BLD)

    def to(self, device: torch.device | str) -> "Conditioning":
        """The same on another device."""
        return Conditioning.of({name: tensor.to(device) for name, tensor in self.tensors().items()})

    def repeated(self, count: int) -> "Conditioning":
        """The same text for each of `count` videos, without copying it."""
        return Conditioning.of({name: one.expand(count, *one.shape[1:]) for name, one in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {name: tensor for name, tensor in vars(self).items() if tensor is not None}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "Conditioning":
        """The inverse of `tensors`."""
        return cls(tensors["embeddings_BLD"], tensors.get("mask_BL"))

    @classmethod
    def cat(cls, parts: Sequence["Conditioning"]) -> "Conditioning":
        """Concatenate texts, either all with masks or none."""
        names = parts[0].tensors()
        return cls.of({name: torch.cat([part.tensors()[name] for part in parts]) for name in names})


Predict = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""prediction_BCFHW of noisy_BCFHW, a timestep and texts."""
TILE = 32
"""px of which the side of a tile is a multiple, because a quarter of it overlaps and a latent stands for 8 px."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Sampler:
    """How videos are sampled.

    Args:
        steps: steps of the solver; the release uses 25 during training, 50 otherwise.
        guidance: scale of classifier-free guidance; the release uses 9. At 1 the empty prompt is not evaluated.
        guidance_interval: noise levels (`noise_levels`) low and high: only steps with low < level <= high are guided
            (Kynkäänniemi et al., 2024, Sec. 3), and in the others the empty prompt is not evaluated; None guides all.
    """

    steps: int = 25
    guidance: float = 9.0
    guidance_interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise VmcError(f"sampler.steps is {self.steps}; it must be at least 1")
        if self.guidance < 1:
            raise VmcError(f"sampler.guidance is {self.guidance}; it must be at least 1 (no guidance)")
        if self.guidance_interval is not None:
            object.__setattr__(self, "guidance_interval", low_high := tuple(self.guidance_interval))
            if len(low_high) != 2 or not 0 <= low_high[0] < low_high[1]:
                wanted = "two noise levels in order, from 0 on, such as [0.3, 5.4], or null to guide every step"
                raise VmcError(f"sampler.guidance_interval is {list(low_high)}; it must be {wanted}")

    def describe(self) -> dict[str, Any]:
        """The settings that videos depend on, without those that are None."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.describe().items())
        return f"{type(self).__name__}({told})"

    def is_guided(self, solver: Solver) -> list[bool]:
        """Whether each step of a solver, whose steps are set, is guided and evaluates the empty prompt."""
        if self.guidance == 1 or self.guidance_interval is None:
            return [self.guidance > 1] * len(solver.timesteps)
        (low, high), levels = self.guidance_interval, noise_levels(solver)
        guided = [low < level <= high for level in levels]
        if not any(guided):
            told = f"none of the {self.steps} steps lies, whose noise levels go from {max(levels):.3g} to"
            remedy = f"{min(levels):.3g}; give others, or null to guide every step"
            raise VmcError(f"sampler.guidance_interval is {[low, high]}, in which {told} {remedy}")
        return guided

    @torch.no_grad()
    def __call__(
        self,
        predict: Predict,
        solver: Solver,
        *,
        noise_BCFHW: Tensor,
        text: Conditioning,
        empty: Conditioning,
    ) -> Tensor:
        """Sample latents_BCFHW; the prompt and the empty prompt share one forward pass.

        Args:
            predict: the model.
            solver: a new solver.
            noise_BCFHW: standard normal values.
            text: the prompt of each video.
            empty: the empty prompt, one for all videos.
        """
        solver.set_timesteps(self.steps, device=noise_BCFHW.device)
        guided = self.is_guided(solver)
        both = Conditioning.cat([empty.repeated(len(text)), text]) if any(guided) else text
        # Otherwise the step is looked up by its timestep, which two steps may share. DDIM has no such method.
        getattr(solver, "set_begin_index", lambda index: None)(0)
        # Solvers of flow matching alone neither scale the noise nor the network's input.
        latents_BCFHW = noise_BCFHW * getattr(solver, "init_noise_sigma", 1.0)
        scale_input = getattr(solver, "scale_model_input", lambda sample, timestep: sample)
        for timestep, with_empty in zip(solver.timesteps, guided, strict=True):
            input_BCFHW = torch.cat([latents_BCFHW] * 2) if with_empty else latents_BCFHW
            prediction = predict(scale_input(input_BCFHW, timestep), timestep, both if with_empty else text).float()
            if with_empty:
                unguided, prompted = prediction.chunk(2)
                prediction = unguided + self.guidance * (prompted - unguided)
            latents_BCFHW = solver.step(prediction, timestep, latents_BCFHW).prev_sample
        return latents_BCFHW


@dataclass(frozen=True, kw_only=True, repr=False)
class InvertedSampler(Sampler):
    """Starts each video at an inverted clip of the run: the noise from which the solver, without guidance, would
    generate the clip again (Song et al., 2021, Sec. 4.3; Wu et al., 2022, Sec. 4.2).
    """

    def invert(self, predict: Predict, process: NoiseProcess, *, latents_BCFHW: Tensor, text: Conditioning) -> Tensor:
        """Invert clips with their captions to noise_BCFHW, in as many steps as videos are sampled in.

        Each step goes to the next noisier time by the noise that the model predicts for that time from the latents of
        the current one, as in Tune-A-Video's repository. The process needs an inverse solver.
        """
        solver = process.inverse_solver()
        assert isinstance(process, VariancePreserving)  # no other has one

        def see_noise(noisy_BCFHW: Tensor, timestep: Tensor, text: Conditioning) -> Tensor:
            times_B = (timestep.double() / len(process.signal_T)).expand(len(noisy_BCFHW))
            return process.noise_estimate(predict(noisy_BCFHW, timestep, text).float(), noisy_BCFHW, times_B)

        unguided = Sampler(steps=self.steps, guidance=1.0)
        return unguided(see_noise, solver, noise_BCFHW=latents_BCFHW, text=text, empty=text)


def check_tile(tile: int | None) -> None:
    """Raise a VmcError for a tile whose side is no multiple of `TILE`."""
    if tile is not None and (tile < TILE or tile % TILE):
        raise VmcError(f"trainer.decode_tile is {tile}; it must be a multiple of {TILE} px, or null for whole frames")


@contextmanager
def on_device(module: Module, device: torch.device) -> Iterator[Module]:
    """Move a network to `device` for the length of a block, unless it is there already."""
    before = next(module.parameters()).device
    if before == device:
        yield module
        return
    try:
        yield module.to(device)
    finally:
        module.to(before)


def sample_posterior(moments_MCFHW: Tensor, noise_CFHW: Tensor) -> Tensor:
    """latents_CFHW = mean + deviation * noise."""
    return moments_MCFHW[0] + moments_MCFHW[1] * noise_CFHW
