"""Activation checkpointing: activations of a denoiser's layers are computed again in the backward pass, not kept (less
memory, more time, equal gradients); and which layers have to be for a step to fit.
"""

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.utils.checkpoint import checkpoint

# Modules are wrapped from outside: diffusers' 3D UNet refuses `enable_gradient_checkpointing()`, and its blocks ignore
# the flag.


def checkpoint_activations(modules: Iterable[Any]) -> None:
    """Recompute the activations of modules (`VideoModel.blocks`) in the backward pass; gradients stay the same."""
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
    """Within, record gradients for the same parameters as the first forward pass did."""
    # Some clips train only a part of the parameters, and pass through the denoiser while the others are frozen.
    before = {parameter: parameter.requires_grad for parameter in block.parameters()}
    try:
        for parameter in before:
            parameter.requires_grad_(parameter in trained)
        yield
    finally:
        for parameter, was_trained in before.items():
            parameter.requires_grad_(was_trained)


def measure_activations(network: Module, layers: Sequence[Module], forward: Callable[[], Any]) -> tuple[int, list[int]]:
    """Bytes that a forward pass keeps for the backward pass: in total, and for each layer besides its inputs."""
    weights = {_place(tensor) for tensor in network.parameters()}
    held = [0] * (len(layers) + 1)  # the last entry is for tensors outside of layers
    inside = [-1]  # the layer that is computed now
    seen: dict[int, Tensor] = {}  # counted tensors, kept alive so that no other gets the same address

    def enter(number: int, layer: Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        inside[0] = number
        for given in (*args, *kwargs.values()):
            if isinstance(given, Tensor):
                seen[_place(given)] = given
                held[-1] += _bytes(given) if given.requires_grad else 0

    def leave(*_: Any) -> None:
        inside[0] = -1
        seen.clear()

    def keep(tensor: Tensor) -> None:
        if _place(tensor) not in weights and _place(tensor) not in seen:
            held[inside[0]] += _bytes(tensor)
            if inside[0] >= 0:
                seen[_place(tensor)] = tensor

    with ExitStack() as stack:
        for number, layer in enumerate(layers):
            before = layer.register_forward_pre_hook(functools.partial(enter, number), with_kwargs=True)
            stack.enter_context(before)
            stack.enter_context(layer.register_forward_hook(leave))
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(keep, lambda nothing: nothing))
        forward()
    return sum(held), held[:-1]


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _bytes(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


def choose_layers(held: Sequence[int], *, kept: int, room: int) -> list[int]:
    """The fewest layers whose recomputation lets a step fit, largest first; all of them if that is not enough.

    Args:
        held: bytes that recomputing each layer saves; one layer's are needed while it is recomputed.
        kept: bytes that a step keeps without recomputation.
        room: bytes that are available.
    """
    chosen: list[int] = []
    for number in sorted(range(len(held)), key=lambda number: -held[number]):
        if kept + (held[chosen[0]] if chosen else 0) <= room:
            break
        chosen.append(number)
        kept -= held[number]
    return chosen
