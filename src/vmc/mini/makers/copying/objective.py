"""SSCD's objective (Pizzi et al., 2022, Sec. 4.2-4.3): instances apart, and evenly over the sphere.

Axes: N pictures, D descriptor width; descriptors have length one.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 0.05
"""The paper's."""


def contrast(first_ND: Tensor, second_ND: Tensor, *, temperature: float = TEMPERATURE) -> Tensor:
    """InfoNCE over both views: each finds its partner among all others (NT-Xent; Chen et al., 2020)."""
    similarity, partner_N = _similarities(first_ND, second_ND)
    return F.cross_entropy(similarity / temperature, partner_N)


def crowding(first_ND: Tensor, second_ND: Tensor) -> Tensor:
    """The differential entropy, negated: minus the mean log distance to the nearest descriptor of another picture."""
    similarity, partner_N = _similarities(first_ND, second_ND)
    nearest_N = similarity.scatter(1, partner_N[:, None], -torch.inf).amax(1)
    # A floor under the square keeps the gradient finite where two descriptors meet.
    return -0.5 * (2 - 2 * nearest_N).clamp(min=1e-6).log().mean()


def _similarities(first_ND: Tensor, second_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Of all with all, oneself left out, and the place of each one's partner."""
    descriptors_ND = torch.cat([first_ND, second_ND])
    count = len(descriptors_ND)
    own = torch.eye(count, dtype=torch.bool, device=descriptors_ND.device)
    similarity = (descriptors_ND @ descriptors_ND.T).masked_fill(own, -torch.inf)
    return similarity, torch.arange(count, device=descriptors_ND.device).roll(-(count // 2))
