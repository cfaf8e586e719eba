"""A GPU's memory in training: what a run will hold, counted before it starts, out-of-memory errors explained, and
activations recomputed as the first step needs it. Videos that do not fit are in `vmc.evaluation.batching`.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch

from vmc.models.activation_checkpointing import checkpoint_activations, choose_layers, measure_activations
from vmc.models.base import VideoModel
from vmc.models.parameters import Subset
from vmc.training.hardware import LOW, Hardware
from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)

GIB = 2**30
SHARE = 0.9
"""Share of the free memory that activations may take; the rest is for what the allocator cannot use."""
STATE_BYTES = {"Adam": 8, "AdamW": 8, "AdamW8bit": 2}
"""Bytes of optimizer state per trained parameter, by the optimizer's class; for other classes none are counted."""
SAVINGS = (
    "trainer.checkpoint_activations=true, trainer.precision=bf16-mixed (16-mixed without bfloat16),"
    " trainer.master_weights=false, optimizer=adamw8bit, batch_size=1, parameters=lora or a smaller data.size"
)
"""Settings that need less memory."""


class HeldMemory(NamedTuple):
    """What training holds in GPU memory after its first step; activations come on top."""

    trained: int  # parameters of the denoiser, adapters included
    frozen: int
    bytes: int  # weights, gradients and optimizer state


def count_held(
    model: VideoModel,
    subset: Subset | None,
    *,
    precision: str,
    state_bytes: int,
    beside: Sequence[str] = (),
    masters: bool = False,
) -> HeldMemory:
    """Count parameters on the meta device; only the model's config files are read.

    Args:
        model, subset: the base model, and which parameters of its denoiser are trained; None trains nothing.
        precision: precision of the frozen weights, as in `conf/trainer`.
        state_bytes: bytes of optimizer state per trained parameter.
        beside: further roles (`text`, `autoencoder`) whose networks are held as well, in float32.
        masters: whether trained parameters are held twice, in float32 and in the low precision.
    """
    denoiser = model.empty_denoiser().requires_grad_(False)
    trained = subset.select_trainable(denoiser, model.groups) if subset else {}
    frozen = [tensor for tensor in denoiser.parameters() if not tensor.requires_grad]
    parts = [part for role in beside for part in model.parts_of(role) if part in model.networks]
    others = [tensor for part in parts for tensor in model.empty(part).parameters()]
    counts = [sum(tensor.numel() for tensor in tensors) for tensors in (trained.values(), frozen, others)]
    low = LOW.get(precision, torch.float32).itemsize
    # Trained weights and their gradients are in float32.
    each = (4 + 4 + state_bytes + low * masters, low, 4)
    return HeldMemory(counts[0], counts[1], sum(count * size for count, size in zip(counts, each, strict=True)))


def check_memory(model: VideoModel, subset: Subset, hardware: Hardware, optimizer: Any, *, text_trained: bool) -> None:
    """Raise a VmcError if weights, gradients and optimizer state alone exceed the GPU's memory."""
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
    """Within, turn an out-of-memory error of the GPU into a VmcError with the settings that need less."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        total, taken = torch.cuda.mem_get_info(device)[1] / GIB, torch.cuda.max_memory_reserved(device) / GIB
        raise VmcError(
            f"this training does not fit into memory: it took {taken:.1f} GiB, and the GPU has {total:.1f};"
            f" end other programs on it, or give {SAVINGS}"
        ) from error


class FittedActivations(pl.Callback):
    """Measures before the first step what it would keep, and recomputes as few layers as let it fit into the GPU."""

    def __init__(self) -> None:
        self._done = False

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        """Measure with the first batch, which is on the GPU already."""
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
    """Bytes of GPU memory left for activations, beside the gradients and optimizer state still to come."""
    device = module.device
    reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    coming = 4 + (0 if optimizer.state else STATE_BYTES.get(type(optimizer).__name__, 0))
    trained = sum(tensor.numel() for tensor in module.trained_tensors().values())
    return torch.cuda.mem_get_info(device)[0] + reserved - coming * trained
