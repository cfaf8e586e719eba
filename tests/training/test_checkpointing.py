"""Recomputing activations changes memory, never gradients."""

import torch

from vmc.models.parameters import ParameterSubset
from vmc.training.memory import checkpoint_activations


def gradients(base, *, checkpointed: bool) -> tuple[dict[str, torch.Tensor], int]:
    unet = base.denoiser()
    trained = ParameterSubset().select_trainable(unet, base.groups)
    if checkpointed:
        checkpoint_activations(base.blocks(unet))
    calls = []
    unet.mid_block.resnets[0].register_forward_hook(lambda *_: calls.append(1))
    source = torch.Generator().manual_seed(0)
    latents, text = torch.randn(2, 4, 4, 8, 8, generator=source), torch.randn(2, 77, 64, generator=source)
    unet(latents, torch.tensor([10, 900]), encoder_hidden_states=text).sample.square().mean().backward()
    return {name: parameter.grad for name, parameter in trained.items()}, len(calls)


def test_gradients_are_the_same_and_blocks_run_twice(base):
    plain, once = gradients(base, checkpointed=False)
    recomputed, twice = gradients(base, checkpointed=True)
    assert (once, twice) == (1, 2)
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        assert torch.allclose(gradient, recomputed[name], rtol=1e-5, atol=1e-7), name
    assert any(gradient.abs().max() > 0 for gradient in plain.values())


def test_sampling_is_not_recomputed(base):
    unet = base.denoiser()
    checkpoint_activations(base.blocks(unet))
    with torch.no_grad():
        sample = unet(torch.zeros(1, 4, 2, 8, 8), 5, encoder_hidden_states=torch.zeros(1, 77, 64)).sample
    assert sample.shape == (1, 4, 2, 8, 8)
