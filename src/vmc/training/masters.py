"""Trained weights twice: in float32 for the optimizer, and in a low precision for the network (Micikevicius et al.,
2018, Sec. 3.1), where autocast would cast them in every forward pass, and again where activations are recomputed.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter, ParameterList


class MasterWeights(Module):
    """The float32 weights of a network's trained parameters, which stay where they are and hold a copy.

    Args:
        copies: the network's parameters, in float32; who makes this casts them afterwards.
    """

    def __init__(self, copies: Iterable[Parameter]) -> None:
        super().__init__()
        self._copies = list(copies)  # not parameters of this module
        self.masters = ParameterList(Parameter(copy.detach().float().clone()) for copy in self._copies)

    def take_gradients(self) -> None:
        """Add the copies' gradients to those of the masters, in float32, and free them."""
        sums: list[Tensor] = []
        gradients: list[Tensor] = []
        for copy, master in zip(self._copies, self.masters, strict=True):
            if copy.grad is not None:
                master.grad = torch.zeros_like(master) if master.grad is None else master.grad
                sums.append(master.grad)
                gradients.append(copy.grad)
                copy.grad = None
        if sums:
            torch._foreach_add_(sums, gradients)

    @torch.no_grad()
    def write_copies(self, *_: Any) -> None:
        """Round the masters into the copies; also a hook of an optimizer's step."""
        torch._foreach_copy_(list[Tensor](self._copies), list[Tensor](self.masters))
