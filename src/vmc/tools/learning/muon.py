"""Muon (Jordan et al., 2024): momentum whose every matrix is made orthogonal before it is applied.

With the small batches that two cores allow it needs several times fewer steps than AdamW alone.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic Newton-Schulz iteration, as published: singular values end between 0.7 and 1.2."""
_ITERATIONS = 5


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with singular values near 1; of a convolution's weights, each filter is a row."""
    rows = matrix.flatten(1)
    tall = rows.shape[0] > rows.shape[1]
    rows = rows.T if tall else rows
    rows = rows / (rows.norm() + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        square = rows @ rows.T
        rows = a * rows + (b * square + c * square @ square) @ rows
    return (rows.T if tall else rows).reshape(matrix.shape)


class Muon(torch.optim.Optimizer):
    """For weights of two and more dimensions that are neither first nor last layers nor embeddings.

    Args:
        parameters: weights or groups of them.
        lr: change of a weight matrix in a step, as a share of an orthogonal matrix.
        momentum: Nesterov's.
        weight_decay: times `lr`, as in AdamW.
    """

    def __init__(
        self, parameters: Iterable[Any], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of all weights that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                momentum = state.setdefault("momentum", torch.zeros_like(weight))
                momentum.mul_(group["momentum"]).add_(weight.grad)
                change = orthogonal(weight.grad + group["momentum"] * momentum)
                longer = max(1.0, len(weight) / weight[0].numel()) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(change, alpha=-group["lr"] * longer)
