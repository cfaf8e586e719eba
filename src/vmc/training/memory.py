"""GPU memory that a training holds, counted from its networks' shapes before any weights are loaded."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn import Module
from torch.optim import Adam, AdamW

from vmc.models.base import VideoModel
from vmc.models.lora import LoraSubset
from vmc.models.parameters import Subset
from vmc.training.hardware import LOW, Hardware, Precision, has_bfloat16
from vmc.utils.errors import VmcError

GIB = 2**30
FROZEN: dict[str, torch.dtype] = {"32-true": torch.float32, **LOW}
"""Of the weights that are not trained, by `trainer.precision`."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a training holds on a GPU when its first step ends, and ever after: weights, gradients, optimizer state.

    Activations come on top. How much they take is measured, not computed: `python -m vmc.doctor --memory`.

    Args:
        trained, frozen: parameters of the denoiser, adapters among the trained.
        beside: parameters of other networks that lie there, in float32.
        precision: of the frozen ones, as in `conf/trainer`.
        state_bytes: of the optimizer's state, for a trained parameter.
        draws: of a micro-batch.
        recomputed: as `trainer.checkpoint_activations`.
        adapters: what is trained are adapters.
    """

    trained: int
    frozen: int
    beside: int = 0
    precision: Precision
    state_bytes: int
    draws: int = 1
    recomputed: bool = False
    adapters: bool = False

    @classmethod
    def of(cls, model: VideoModel, subset: Subset | None, *, beside: Sequence[str] = (), **settings: Any) -> "Load":
        """Count the parameters on the meta device; of the model only config files are read.

        Args:
            model: the base model.
            subset: what is trained of its denoiser; None trains nothing.
            beside: roles whose networks lie on the GPU, too: `text`, `autoencoder`.
            settings: the other fields.
        """
        denoiser = model.empty_denoiser().requires_grad_(False)
        trained = subset.select_trainable(denoiser, model.groups) if subset else {}
        others = [part for role in beside for part in model.parts_of(role) if part in model.networks]
        return cls(
            trained=sum(tensor.numel() for tensor in trained.values()),
            frozen=sum(tensor.numel() for tensor in denoiser.parameters() if not tensor.requires_grad),
            beside=sum(count(model.empty(part)) for part in others),
            adapters=isinstance(subset, LoraSubset),
            **settings,
        )

    @property
    def held(self) -> int:
        """Bytes; what is trained is in float32, and so are its gradients."""
        weights = self.trained * 4 + self.frozen * FROZEN[self.precision].itemsize + self.beside * 4
        return weights + self.trained * (4 + self.state_bytes)

    def savings(self, *, bf16: bool = True) -> str:
        """The settings that would need less, those left out that are chosen already."""
        settings = {
            "trainer.checkpoint_activations=true": not self.recomputed,
            f"trainer.precision={'bf16' if bf16 else '16'}-mixed": self.precision == "32-true",
            "optimizer=adamw8bit": self.state_bytes > 2 and self.trained > 0,
            "batch_size=1 or more trainer.accumulate": self.draws > 1,
            "parameters=lora": self.trained > 0 and not self.adapters,
            "a smaller data.size": True,
        }
        return ", or ".join(name for name, helps in settings.items() if helps)


def count(network: Module) -> int:
    """Parameters of a network."""
    return sum(tensor.numel() for tensor in network.parameters())


def state_bytes(optimizer: Any) -> int:
    """Of a trained parameter's optimizer state, by the optimizer's factory; none for one that is not known here."""
    made = optimizer.func if isinstance(optimizer, partial) else optimizer
    if getattr(made, "__name__", "") == "AdamW8bit":
        return 2
    return 8 if made in (Adam, AdamW) else 0


def micro_batch(batch_size: int, *, devices: int, accumulate: int) -> int:
    """Draws at a time; what cannot be shared equally is refused elsewhere."""
    return max(1, batch_size // (devices * accumulate))


def fitting_load(
    base: VideoModel, *, hardware: Hardware, subset: Subset, optimizer: Any, batch_size: int, text_trained: bool
) -> Load | None:
    """What a run holds on its GPU; None on a CPU.

    Args:
        base: the model, of which only config files are read.
        hardware: where it is trained.
        subset: what is trained of the denoiser.
        optimizer: its factory.
        batch_size: draws of a step.
        text_trained: the token's row is trained too, through the text encoder.

    Raises:
        VmcError: the GPU has less memory than that.
    """
    if hardware.device.type != "cuda":
        return None
    load = Load.of(
        base,
        subset,
        beside=("text",) if text_trained else (),
        precision=hardware.precision,
        state_bytes=state_bytes(optimizer),
        draws=micro_batch(batch_size, devices=hardware.devices, accumulate=hardware.accumulate),
        recomputed=hardware.checkpoint_activations,
    )
    total = torch.cuda.mem_get_info(hardware.device)[1]
    if load.held > total:
        raise VmcError(
            f"this training does not fit into memory: weights, gradients and optimizer state alone take"
            f" {load.held / GIB:.1f} GiB, and the GPU has {total / GIB:.1f}; give {load.savings(bf16=has_bfloat16())},"
            " or take a larger GPU"
        )
    return load


@contextmanager
def explain_oom(load: Load | None, device: torch.device) -> Iterator[None]:
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
