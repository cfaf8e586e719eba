"""Passes through a network are timed on a GPU and on a CPU, and those that only count memory are not."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet3DConditionModel
from torch._guards import active_fake_mode

from vmc.fullsize import measured
from vmc.fullsize.measured import Passes
from vmc.models.activations import step_activations
from vmc.models.parameters import ParameterSubset


@pytest.fixture
def waits(monkeypatch) -> list[int]:
    """A GPU is in use, each time that it is waited for is noted.

    Within a count, which hides the GPU from PyTorch, it cannot be waited for.
    """
    waited = []

    def synchronize() -> None:
        if active_fake_mode() is not None:
            raise RuntimeError("invalid argument to exchangeDevice")
        waited.append(1)

    cuda = SimpleNamespace(is_initialized=lambda: True, synchronize=synchronize)
    monkeypatch.setattr(measured, "torch", SimpleNamespace(cuda=cuda))
    return waited


def test_a_count_of_activations_on_fake_tensors_is_neither_waited_for_nor_timed(tiny, waits):
    latent_shape = (4, 2, 8, 8)
    with Passes() as passes:
        for recomputed in (False, True):
            step_activations(
                tiny.unet,
                ParameterSubset(),
                latent_shape=latent_shape,
                clips=2,
                frozen=torch.bfloat16,
                recomputed=recomputed,
            )
        assert not waits and passes.seconds == []
        unet = UNet3DConditionModel.from_config(dict(tiny.unet))
        text = torch.zeros(1, 77, unet.config.cross_attention_dim)
        with torch.no_grad():
            unet(torch.zeros(1, *latent_shape), 5, encoder_hidden_states=text)
    assert len(waits) == 2 and len(passes.seconds) == 1  # before and after the pass
    with torch.no_grad():
        unet(torch.zeros(1, *latent_shape), 5, encoder_hidden_states=text)
    assert len(passes.seconds) == 1
