"""Passes through the denoiser are timed on a GPU and on a CPU."""

from types import SimpleNamespace

import torch

from vmc.tools.bench import measure
from vmc.tools.bench.measure import timed_passes


def test_a_pass_is_timed_and_the_gpu_waited_for_before_and_after_it(base, monkeypatch):
    waited: list[int] = []
    cuda = SimpleNamespace(is_initialized=lambda: True, synchronize=lambda: waited.append(1))
    monkeypatch.setattr(measure.torch, "cuda", cuda)
    unet = base.denoiser()
    inputs = torch.zeros(1, 4, 2, 8, 8), 5, torch.zeros(1, 77, unet.config.cross_attention_dim)
    with torch.no_grad():
        with timed_passes() as passes:
            unet(*inputs)
        unet(*inputs)  # and no longer
    assert len(waited) == 2 and len(passes) == 1
