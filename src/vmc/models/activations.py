"""What a training step keeps for its backward pass, counted without a GPU: on tensors that have shapes and no bytes.

The forward pass runs on PyTorch's fake tensors as it would on a GPU, autocast included, and autograd says which tensors
it keeps. So the count is that of the real network; what kernels need for themselves for a moment is not in it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from diffusers import UNet3DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import Module, Parameter
from torch.utils._pytree import tree_leaves

from vmc.models.parameters import Subset
from vmc.models.unet3d import UNet3D, blocks

DEVICE = "cuda"
POSITIONS = 77
FUSED: dict[torch.dtype, Callable[..., Any]] = {
    torch.bfloat16: lambda *qkv: torch.ops.aten._scaled_dot_product_flash_attention(*qkv)[0],
    torch.float16: lambda *qkv: torch.ops.aten._scaled_dot_product_flash_attention(*qkv)[0],
    torch.float32: lambda *qkv: torch.ops.aten._scaled_dot_product_efficient_attention(*qkv, None, True)[0],
}
"""The kernel that PyTorch takes for fused attention on a GPU in each precision."""


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """Bytes that a step keeps for its backward pass, with the low-precision copies of trained weights among them.

    Args:
        kept: when the forward pass ends.
        peak: at most: with blocks that are recomputed what is kept and the activations of the largest, else `kept`.
        least: of the peak, what certainly lies there at one time: what a block's backward pass finds kept from before
            it, and its own activations.
    """

    kept: int
    peak: int
    least: int


class Kept:
    """Storages that are held, each counted once; parameters are left out."""

    def __init__(self, parameters: set[int]) -> None:
        self.parameters = parameters
        self.storages: dict[int, torch.UntypedStorage] = {}  # held, so that no other takes a number again

    def add(self, tensor: Tensor) -> Tensor:
        """Count a tensor's storage."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self.parameters:
            self.storages[storage._cdata] = storage
        return tensor

    def bytes(self, *, besides: "Kept | None" = None) -> int:
        """In all, those that others hold left out."""
        held = besides.storages if besides else {}
        return sum(storage.nbytes() for number, storage in self.storages.items() if number not in held)


def step_activations(
    config: Mapping[str, Any],
    subset: Subset,
    *,
    latent_shape: Sequence[int],
    clips: int,
    frozen: torch.dtype,
    recomputed: bool,
    text_trained: bool = False,
) -> StepMemory:
    """What a step keeps, counted by a forward pass.

    Args:
        config: arguments of `UNet3DConditionModel`; those that it does not know are left out.
        subset: what is trained.
        latent_shape: (C, F, h, w) of a clip.
        clips: in a micro-batch.
        frozen: the precision of the frozen weights, in which the pass is made; float32 is no mixed precision.
        recomputed: activations of a block are made anew in its backward pass, and its inputs are kept.
        text_trained: gradients go on to the texts, whose token is trained.
    """
    with torch.device("meta"):
        unet: Any = UNet3DConditionModel.from_config(dict(config)).eval()
        subset.freeze_rest(unet, UNet3D.groups)
    unet.set_attn_processor(AttnProcessor2_0())
    with _without_a_gpu(), FakeTensorMode(), _autocast(frozen):
        _place(unet, frozen)
        with torch.device(DEVICE):
            noisy = torch.empty(clips, *latent_shape)
            text = torch.empty(clips, POSITIONS, unet.config.cross_attention_dim, requires_grad=text_trained)
            timesteps = torch.empty(clips, dtype=torch.long)
        kept = Kept({parameter.untyped_storage()._cdata for parameter in unet.parameters()})
        inside = [_watch(block, kept) for block in blocks(unet)] if recomputed else []
        with saved_tensors_hooks(kept.add, lambda tensor: tensor):
            unet(noisy, timesteps, encoder_hidden_states=text)
        total, own = kept.bytes(), [block.own.bytes(besides=kept) for block in inside]
        least = max((block.before + size for block, size in zip(inside, own, strict=True)), default=total)
        return StepMemory(kept=total, peak=total + max(own, default=0), least=least)


def _place(unet: Module, frozen: torch.dtype) -> None:
    """Put fake parameters in place of those without storage: what is trained in float32, the rest as it is held."""
    for module in unet.modules():
        for name, parameter in module.named_parameters(recurse=False):
            dtype, trained = (torch.float32, True) if parameter.requires_grad else (frozen, False)
            empty = torch.empty(parameter.shape, dtype=dtype, device=DEVICE)
            module.register_parameter(name, Parameter(empty, requires_grad=trained))


@dataclass
class _Watched:
    """A block's own activations, and the bytes that are kept when it begins, its inputs among them."""

    own: Kept
    before: int = 0


def _watch(block: Any, kept: Kept) -> _Watched:
    """What goes into a block is kept, what is kept within it is counted by itself."""
    forward, seen = block.forward, _Watched(Kept(kept.parameters))

    def watched(*inputs: Any, **named: Any) -> Any:
        for leaf in tree_leaves((inputs, named)):
            if isinstance(leaf, Tensor):
                kept.add(leaf)
        seen.before = kept.bytes()
        with saved_tensors_hooks(seen.own.add, lambda tensor: tensor):
            return forward(*inputs, **named)

    block.forward = watched
    return seen


def _fused(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **options: Any) -> Tensor:
    # Without a GPU PyTorch would take the plain product, which keeps the whole matrix.
    dtype = torch.get_autocast_dtype(DEVICE) if torch.is_autocast_enabled(DEVICE) else query.dtype
    return FUSED[dtype](*(part.to(dtype) for part in (query, key, value)))


@contextmanager
def _without_a_gpu() -> Iterator[None]:
    """Counted alike on all machines, and no GPU is touched where there is one."""
    with (
        patch("torch.cuda.is_available", return_value=False),
        patch("torch.nn.functional.scaled_dot_product_attention", _fused),
    ):
        yield


@contextmanager
def _autocast(dtype: torch.dtype) -> Iterator[None]:
    """A GPU's autocast; `torch.autocast` itself turns it off where there is no GPU."""
    before = torch.is_autocast_enabled(DEVICE), torch.get_autocast_dtype(DEVICE)
    torch.set_autocast_enabled(DEVICE, dtype != torch.float32)
    if dtype != torch.float32:
        torch.set_autocast_dtype(DEVICE, dtype)
    try:
        yield
    finally:
        torch.clear_autocast_cache()
        torch.set_autocast_enabled(DEVICE, before[0])
        torch.set_autocast_dtype(DEVICE, before[1])
