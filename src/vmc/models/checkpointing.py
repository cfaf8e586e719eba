"""Activation checkpointing: recompute each block of a denoiser in the backward pass in place of keeping it.

The blocks are wrapped from outside: diffusers' `UNet3DConditionModel` refuses `enable_gradient_checkpointing()`, and
its blocks ignore the flag.
"""

import functools
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.nn import Module, Parameter
from torch.utils.checkpoint import checkpoint


def checkpoint_activations(blocks: Iterable[Any]) -> None:
    """Wrap the blocks of a denoiser (`VideoModel.blocks`); gradients stay the same, sampling is as before."""
    for block in blocks:
        block.forward = functools.partial(_recomputed, block, block.forward)


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
