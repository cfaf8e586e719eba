"""The denoising objective (paper, Eq. 1) and its sum over exemplars and regularization clips (Eq. 3).

Axes: B clips, C latent channels, F frames, H and W of the latent.
"""

import torch
from torch import Tensor


def denoising_loss(prediction_BCFHW: Tensor, target_BCFHW: Tensor) -> Tensor:
    """Eq. 1 with w_t = 1, as the release has it: the mean squared error of each clip, losses_B in float32."""
    return (prediction_BCFHW.float() - target_BCFHW.float()).square().flatten(1).mean(1)


def weighted_loss(losses_B: Tensor, weights_B: Tensor, draws: int) -> Tensor:
    """Eq. 3 over a batch of `draws` draws.

    `paired`: a draw is an exemplar (weight 1) and a regularization clip (weight lambda), so this is
    mean(L_m) + lambda * mean(L_r). `union`: a draw is one clip of either kind, all of weight 1: the plain mean.
    """
    return torch.dot(losses_B, weights_B) / draws
