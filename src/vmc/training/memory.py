"""GPU memory of a training: what it holds is counted before weights are loaded; running out of it is explained; and
so few activations are recomputed as a step fits into what is left.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch

from vmc.models.base import VideoModel
from vmc.models.parameters import Subset
from vmc.models.recomputation import checkpoint_activations, choose_layers, measure_activations
from vmc.training.hardware import LOW, Hardware
from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)

GIB = 2**30
SHARE = 0.9
"""Of the free memory that activations may take; the rest is for what the allocator cannot use."""
STATE_BYTES = {"Adam": 8, "AdamW": 8, "AdamW8bit": 2}
"""Bytes of a trained parameter's optimizer state, two moments, by the optimizer's class; of others none are counted."""
SAVINGS = (
    "trainer.checkpoint_activations=true, trainer.precision=bf16-mixed (16-mixed without bfloat16),"
    " trainer.master_weights=false, optimizer=adamw8bit, batch_size=1, parameters=lora or a smaller data.size"
)
"""Settings that need less memory."""


class HeldMemory(NamedTuple):
    """What a training holds on a GPU from the end of its first step on; activations come on top."""

    trained: int  # parameters of the denoiser, adapters among them
    frozen: int
    bytes: int  # of weights, gradients and optimizer state


def count_held(
    model: VideoModel,
    subset: Subset | None,
    *,
    precision: str,
    state_bytes: int,
    beside: Sequence[str] = (),
    masters: bool = False,
) -> HeldMemory:
    """Count the parameters on the meta device; of the model only config files are read.

    Args:
        model, subset: the base model, and what of its denoiser is trained; None trains nothing.
        precision: of the frozen weights, as in `conf/trainer`.
        state_bytes: of the optimizer's state, for a trained parameter.
        beside: further roles (`text`, `autoencoder`) whose networks lie there, in float32.
        masters: whether a trained parameter is there twice, in float32 and in the low precision.
    """
    denoiser = model.empty_denoiser().requires_grad_(False)
    trained = subset.select_trainable(denoiser, model.groups) if subset else {}
    frozen = [tensor for tensor in denoiser.parameters() if not tensor.requires_grad]
    parts = [part for role in beside for part in model.parts_of(role) if part in model.networks]
    others = [tensor for part in parts for tensor in model.empty(part).parameters()]
    counts = [sum(tensor.numel() for tensor in tensors) for tensors in (trained.values(), frozen, others)]
    low = LOW.get(precision, torch.float32).itemsize
    # What is trained is in float32, and so are its gradients.
    each = (4 + 4 + state_bytes + low * masters, low, 4)
    return HeldMemory(counts[0], counts[1], sum(count * size for count, size in zip(counts, each, strict=True)))


def check_memory(model: VideoModel, subset: Subset, hardware: Hardware, optimizer: Any, *, text_trained: bool) -> None:
    """Refuse a training whose weights, gradients and optimizer state alone are more than the GPU has."""
    if hardware.device.type != "cuda":
        return
    state_bytes = STATE_BYTES.get(getattr(getattr(optimizer, "func", optimizer), "__name__", ""), 0)
    beside, total = ["text"] if text_trained else [], torch.cuda.mem_get_info(hardware.device)[1]
    choices: dict[str, Any] = {"precision": hardware.precision, "masters": hardware.master_weights}
    held = count_held(model, subset, state_bytes=state_bytes, beside=beside, **choices).bytes
    if held > total:
        raise VmcError(
            f"this training does not fit into memory: weights, gradients and optimizer state alone take"
            f" {held / GIB:.1f} GiB, and the GPU has {total / GIB:.1f}; give {SAVINGS}, or take a larger GPU"
        )


@contextmanager
def explain_oom(device: torch.device) -> Iterator[None]:
    """Within, a GPU that has no memory left is a VmcError with the settings that need less."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        total, taken = torch.cuda.mem_get_info(device)[1] / GIB, torch.cuda.max_memory_reserved(device) / GIB
        raise VmcError(
            f"this training does not fit into memory: it took {taken:.1f} GiB, and the GPU has {total:.1f};"
            f" end other programs on it, or give {SAVINGS}"
        ) from error


class FittedActivations(pl.Callback):
    """Before the first step: measures what it would keep, and has so few layers recomputed that it fits into a GPU."""

    def __init__(self) -> None:
        self._done = False

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        """Measure by the first batch, which is on the GPU already."""
        if self._done:
            return
        self._done = True
        layers = module.model.layers(module.denoiser)
        with trainer.precision_plugin.train_step_context():
            kept, held = measure_activations(module.denoiser, layers, lambda: module.compute(batch))
        room = int(SHARE * free_memory(module, trainer.optimizers[0]))
        chosen = choose_layers(held, kept=kept, room=room)
        checkpoint_activations([layers[place] for place in chosen])
        log.info(
            "trainer.checkpoint_activations is auto: a step would keep %.2f GiB of activations, and %.2f are free;"
            " %d of %d layers are recomputed",
            *(kept / GIB, room / GIB, len(chosen), len(layers)),
        )


def free_memory(module: Any, optimizer: torch.optim.Optimizer) -> int:
    """Bytes of a GPU that are left for activations, once gradients and the optimizer's state are there."""
    device = module.device
    reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    coming = 4 + (0 if optimizer.state else STATE_BYTES.get(type(optimizer).__name__, 0))
    trained = sum(tensor.numel() for tensor in module.trained_tensors().values())
    return torch.cuda.mem_get_info(device)[0] + reserved - coming * trained
