"""Activations that are computed again in the backward pass in place of being kept: less memory, more time, equal
gradients. Whole blocks, their layers, or only the layers that hold most, so many that the step fits into memory.
"""

import functools
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.utils.checkpoint import checkpoint

from vmc.training.memory import GIB, STATE_BYTES
from vmc.training.module import MotionModule

log = logging.getLogger(__name__)

SHARE = 0.9
"""Of the free memory that activations may take; the rest is for what the allocator cannot use."""


# Modules are wrapped from outside: diffusers' 3D UNet refuses `enable_gradient_checkpointing()`, and its blocks ignore
# the flag.


def checkpoint_activations(modules: Iterable[Any]) -> None:
    """Wrap blocks or layers of a denoiser (`VideoModel.blocks`); gradients stay the same, sampling is as before."""
    for module in modules:
        module.forward = functools.partial(_recomputed, module, module.forward)


def _recomputed(block: Module, forward: Any, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    trained = {parameter for parameter in block.parameters() if parameter.requires_grad}
    # No layer draws random numbers (dropout is off), so the generators need not be saved and restored.
    return checkpoint(
        forward,
        *args,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (nullcontext(), _frozen_but(block, trained)),
        **kwargs,
    )


@contextmanager
def _frozen_but(block: Module, trained: Collection[Parameter]) -> Iterator[None]:
    """Within, gradients are recorded for the parameters for which the first forward pass recorded them.

    Clips that may move a part of what is trained go through the denoiser while the rest is frozen.
    """
    before = {parameter: parameter.requires_grad for parameter in block.parameters()}
    try:
        for parameter in before:
            parameter.requires_grad_(parameter in trained)
        yield
    finally:
        for parameter, was_trained in before.items():
            parameter.requires_grad_(was_trained)


# --- as much as memory asks for --------------------------------------------------------------------------------------


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


def free_memory(module: MotionModule, optimizer: torch.optim.Optimizer) -> int:
    """Bytes of a GPU that are left for activations, once gradients and the optimizer's state are there."""
    device = module.device
    reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    coming = 4 + (0 if optimizer.state else STATE_BYTES.get(type(optimizer).__name__, 0))
    trained = sum(tensor.numel() for tensor in module.trained_tensors().values())
    return torch.cuda.mem_get_info(device)[0] + reserved - coming * trained


def measure_activations(network: Module, layers: Sequence[Module], forward: Callable[[], Any]) -> tuple[int, list[int]]:
    """Bytes that a forward pass keeps for the backward pass, in all and by layer; in truth nothing is kept.

    A layer's are those that recomputing it saves: its inputs stay.
    """
    weights = {_place(tensor) for tensor in network.parameters()}
    held, outside = [0] * len(layers), 0
    inside: list[int] = []  # the layer that is computed
    seen: dict[int, Tensor] = {}  # what is counted or stays, alive, so that no other comes to lie in its place

    def enter(number: int, layer: Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        nonlocal outside
        inside.append(number)
        for given in (*args, *kwargs.values()):
            if isinstance(given, Tensor):
                seen[_place(given)] = given
                outside += _bytes(given) if given.requires_grad else 0

    def leave(*_: Any) -> None:
        inside.clear()
        seen.clear()

    def keep(tensor: Tensor) -> None:
        nonlocal outside
        if _place(tensor) in weights or _place(tensor) in seen:
            return
        if inside:
            seen[_place(tensor)] = tensor
            held[inside[0]] += _bytes(tensor)
        else:
            outside += _bytes(tensor)

    with ExitStack() as stack:
        for number, layer in enumerate(layers):
            before = layer.register_forward_pre_hook(functools.partial(enter, number), with_kwargs=True)
            stack.enter_context(before)
            stack.enter_context(layer.register_forward_hook(leave))
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(keep, lambda nothing: nothing))
        forward()
    return outside + sum(held), held


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _bytes(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


def choose_layers(held: Sequence[int], *, kept: int, room: int) -> list[int]:
    """The fewest layers whose recomputation lets a step fit, those that hold most first; all where none is enough.

    Args:
        held: bytes that recomputing each layer saves; one of them is there while it is recomputed.
        kept: bytes that a step keeps in all.
        room: bytes that it may.
    """
    chosen: list[int] = []
    for number in sorted(range(len(held)), key=lambda number: -held[number]):
        if kept + (held[chosen[0]] if chosen else 0) <= room:
            break
        chosen.append(number)
        kept -= held[number]
    return chosen
