"""Activation checkpointing: recompute each block of a denoiser in the backward pass in place of keeping it.

The blocks are wrapped from outside: diffusers' `UNet3DConditionModel` refuses `enable_gradient_checkpointing()`, and
its blocks ignore the flag.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


def checkpointed(forward: Callable[..., Any]) -> Callable[..., Any]:
    """`forward`, recomputed in backward; unchanged where no gradient is recorded (sampling)."""

    @functools.wraps(forward)
    def recomputed(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        # No layer draws random numbers (dropout is off), so the generators need not be saved and restored.
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return recomputed


def checkpoint_activations(blocks: Iterable[Any]) -> None:
    """Wrap the blocks of a denoiser (`VideoModel.blocks`); gradients stay the same."""
    for block in blocks:
        block.forward = checkpointed(block.forward)
