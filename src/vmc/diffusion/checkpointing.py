"""Activation checkpointing for the 3D UNet: recompute each block in the backward pass in place of keeping it.

diffusers' `UNet3DConditionModel` refuses `enable_gradient_checkpointing()` and its blocks ignore the flag, so the
blocks are wrapped from outside.
"""

import functools
from collections.abc import Callable
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


def checkpoint_activations(unet: Any) -> None:
    """Wrap the blocks of a `UNet3DConditionModel`; gradients stay the same."""
    for block in blocks(unet):
        block.forward = checkpointed(block.forward)


def blocks(unet: Any) -> tuple[Any, ...]:
    """What is recomputed at a time: `transformer_in` and every down, mid and up block."""
    return (unet.transformer_in, *unet.down_blocks, unet.mid_block, *unet.up_blocks)
