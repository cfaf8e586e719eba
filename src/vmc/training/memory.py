"""GPU memory that a training needs, computed from its networks' shapes before any weights are loaded."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet3DConditionModel
from torch.optim import Adam, AdamW
from transformers import CLIPTextConfig, CLIPTextModel

from vmc.errors import VmcError
from vmc.models.activations import StepMemory, step_activations
from vmc.models.base import VideoModel
from vmc.models.lora import LoraSubset
from vmc.models.parameters import Subset
from vmc.models.unet3d import UNet3D
from vmc.training.hardware import LOW, Hardware, Precision, has_bfloat16
from vmc.training.optimizers import AdamW8bit

GIB = 2**30
FROZEN: dict[str, torch.dtype] = {"32-true": torch.float32, **LOW}
"""Of the weights that are not trained, by `trainer.precision`."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes that a training holds on a GPU.

    Args:
        trained, frozen: parameters of the UNet, adapters among the trained.
        precision: of the frozen ones, as in `conf/trainer`.
        moments: bytes of a trained parameter's moments.
        beside: parameters of other networks, in float32.
    """

    trained: int
    frozen: int
    precision: str
    moments: int
    beside: int = 0

    @property
    def weights(self) -> int:
        """What is trained is in float32."""
        return self.trained * 4 + self.frozen * FROZEN[self.precision].itemsize + self.beside * 4

    @property
    def held(self) -> int:
        """All the time but for moments between steps: weights, gradients and moments."""
        return self.weights + self.trained * (4 + self.moments)

    def estimate(self, step: StepMemory) -> int:
        """With the activations of a step; what kernels need for a moment and CUDA's own part come on top."""
        return self.held + step.peak

    def least(self, step: StepMemory, *, steps: int) -> int:
        """Without so much no training of these steps can be done, however the memory is laid out.

        Lightning drops the gradients of the step before when the forward pass is over, so they lie beside what it keeps
        and not beside what is recomputed. In a first step they come as activations go, and moments after both.
        """
        gradients, moments = self.trained * 4, self.trained * self.moments
        if steps == 1:
            return self.weights + max(step.kept, step.least, gradients + moments)
        return self.weights + moments + max(gradients + step.kept, step.least)


def moment_bytes(optimizer: Any) -> int:
    """Of a trained parameter, by the optimiser's factory; none for an optimiser that is not known here."""
    made = optimizer.func if isinstance(optimizer, partial) else optimizer
    if made is AdamW8bit or isinstance(made, AdamW8bit):
        return 2
    return 8 if made in (Adam, AdamW) else 0


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a training puts on a GPU. Nothing is loaded for it; the counts are those of networks without storage.

    Args:
        unet: arguments of `UNet3DConditionModel`.
        subset: what is trained of it.
        moments: see `moment_bytes`.
        precision: as in `conf/trainer`.
        latent_shape: (C, F, h, w) of a clip.
        draws: of a micro-batch.
        paired: each draw is of two clips.
        recomputed: as `trainer.checkpoint_activations`.
        text_trained: the token's row is trained too, through the text encoder.
        beside: parameters of other networks that lie there.
        steps: of the training.
    """

    unet: Mapping[str, Any]
    subset: Subset
    moments: int
    precision: Precision
    latent_shape: Sequence[int]
    draws: int
    paired: bool
    recomputed: bool
    text_trained: bool = False
    beside: int = 0
    steps: int = 2

    @cached_property
    def need(self) -> Need:
        """What is held."""
        with torch.device("meta"):
            unet: Any = UNet3DConditionModel.from_config(dict(self.unet))
        trained = sum(tensor.numel() for tensor in self.subset.freeze_rest(unet, UNet3D.groups).values())
        frozen = sum(tensor.numel() for tensor in unet.parameters() if not tensor.requires_grad)
        return Need(trained=trained, frozen=frozen, precision=self.precision, moments=self.moments, beside=self.beside)

    @cached_property
    def activations(self) -> StepMemory:
        """What a step keeps."""
        return step_activations(
            self.unet,
            self.subset,
            latent_shape=self.latent_shape,
            clips=self.draws * (2 if self.paired else 1),
            frozen=FROZEN[self.precision],
            recomputed=self.recomputed,
            text_trained=self.text_trained,
        )

    @property
    def least(self) -> int:
        """Bytes without which it cannot be done."""
        return self.need.least(self.activations, steps=self.steps)

    @property
    def estimate(self) -> int:
        """Bytes that it should have."""
        return self.need.estimate(self.activations)

    def savings(self, *, bf16: bool = True) -> str:
        """The settings that would need less, those left out that are chosen already."""
        settings = {
            "trainer.checkpoint_activations=true": not self.recomputed,
            f"trainer.precision={'bf16' if bf16 else '16'}-mixed": self.precision == "32-true",
            "optimizer=adamw8bit": self.moments > 2 and self.need.trained > 0,
            "batch_size=1 or more trainer.accumulate": self.draws > 1,
            "parameters=lora": self.need.trained > 0 and not isinstance(self.subset, LoraSubset),
            "a smaller data.size": True,
        }
        return ", or ".join(name for name, helps in settings.items() if helps)


def micro_batch(batch_size: int, *, devices: int, accumulate: int) -> int:
    """Draws at a time; what cannot be shared equally is refused elsewhere."""
    return max(1, batch_size // (devices * accumulate))


def part_config(folder: Path, part: str) -> dict[str, Any]:
    """Of a network in a pipeline's folder."""
    return json.loads((folder / part / "config.json").read_text(encoding="utf-8"))


def text_parameters(config: Mapping[str, Any]) -> int:
    """Of a text encoder, by its config."""
    with torch.device("meta"):
        encoder = CLIPTextModel(CLIPTextConfig.from_dict(dict(config)))
    return sum(tensor.numel() for tensor in encoder.parameters())


def fitting_load(
    base: VideoModel,
    *,
    hardware: Hardware,
    subset: Subset,
    optimizer: Any,
    video: tuple[int, int],
    batch_size: int,
    paired: bool,
    text_trained: bool,
    steps: int,
) -> Load | None:
    """What a run puts on its GPU; None on a CPU.

    Args:
        base: the model, of which only config files are read.
        hardware: where it is trained.
        subset, paired, text_trained, steps: see `Load`.
        optimizer: its factory.
        video: frames and px of a clip.
        batch_size: draws of a step.

    Raises:
        VmcError: the GPU cannot hold it.
    """
    if hardware.device.type != "cuda" or base.family != UNet3D.family:
        return None
    load = Load(
        unet=part_config(base.folder, "unet"),
        subset=subset,
        moments=moment_bytes(optimizer),
        precision=hardware.precision,
        latent_shape=base.latent_shape(frames=video[0], size=video[1]),
        draws=micro_batch(batch_size, devices=hardware.devices, accumulate=hardware.accumulate),
        paired=paired,
        recomputed=hardware.checkpoint_activations,
        text_trained=text_trained,
        beside=text_parameters(part_config(base.folder, "text_encoder")) if text_trained else 0,
        steps=steps,
    )
    check_fits(load, hardware.device)
    return load


def check_fits(load: Load, device: torch.device) -> None:
    """Refuse a training that the GPU cannot hold.

    Raises:
        VmcError: what it certainly needs is more than the GPU has, other programs' part included.
    """
    total = torch.cuda.mem_get_info(device)[1]
    if load.least > total:
        raise VmcError(
            f"this training does not fit into memory: it needs at least {load.least / GIB:.1f} GiB (computed;"
            f" {load.need.held / GIB:.1f} for weights, gradients and moments), and the GPU has {total / GIB:.1f};"
            f" give {load.savings(bf16=has_bfloat16())}, or take a larger GPU"
        )


@contextmanager
def told_in_a_sentence(load: Load | None, device: torch.device) -> Iterator[None]:
    """Within, a GPU that has no memory left is an error with its remedy.

    Raises:
        VmcError: in place of PyTorch's error.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        if load is None:
            raise
        total, taken = torch.cuda.mem_get_info(device)[1] / GIB, torch.cuda.max_memory_reserved(device) / GIB
        raise VmcError(
            f"this training does not fit into memory: it took {taken:.1f} GiB, and the GPU has {total:.1f};"
            f" end other programs on it, or give {load.savings(bf16=has_bfloat16())}"
        ) from error
