"""Attention of all frames of a clip to one text."""

import dataclasses

import pytest
import torch
from torch.nn import Conv3d
from torch.utils.flop_counter import FlopCounterMode

from vmc.diffusion.sampling import Conditioning
from vmc.mini.shipped import shipped
from vmc.models.zeroscope import ClipAttention, FrameConv3d, UNet3D, is_temporal

FRAMES = 4


@pytest.fixture(scope="module")
def models():
    fused = UNet3D(path=shipped("pipeline"), frames=FRAMES, size=64, fps=3.0)
    return {"fused": fused, "plain": dataclasses.replace(fused, attention="plain")}


def drawn(model):
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(2, *model.latent_shape(frames=FRAMES, size=64), generator=generator)
    text = torch.randn(2, 9, 64, generator=generator)  # another text for each clip
    return noisy, torch.tensor([300, 700]), Conditioning(text)


def test_keys_and_values_of_a_text_are_computed_once_a_clip_with_equal_results(models):
    predictions, flops = {}, {}
    for name, model in models.items():
        denoiser = model.denoiser()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            predictions[name] = model.predict(denoiser, *drawn(model))
        flops[name] = counter.get_flop_counts()["Global"][torch.ops.aten.mm]
    assert torch.allclose(predictions["fused"], predictions["plain"], atol=1e-5)
    assert all(isinstance(one, ClipAttention) for one in models["fused"].denoiser().attn_processors.values())
    spatial = [(key, one) for key, one in denoiser.named_parameters() if not is_temporal(key)]
    reading = [one.numel() for key, one in spatial if key.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))]
    repeated = 2 * (FRAMES - 1) * 9  # of the positions of two clips' texts
    assert flops["plain"] - flops["fused"] == 2 * repeated * sum(reading) > 0


def test_a_convolution_over_frames_is_that_of_diffusers_with_its_gradients(models):
    denoiser = models["fused"].denoiser()
    found = [one for one in denoiser.modules() if isinstance(one, Conv3d)]
    assert found and all(type(one) is FrameConv3d for one in found)
    ours = found[0]
    plain = Conv3d(ours.in_channels, ours.out_channels, ours.kernel_size, padding=ours.padding)
    plain.load_state_dict(ours.state_dict())
    clips = torch.randn(2, FRAMES, ours.in_channels, 4, 3, generator=torch.Generator().manual_seed(0)).transpose(1, 2)
    for one in (ours, plain):
        one.weight.requires_grad_(True)
        one(clips).square().sum().backward()
    assert torch.allclose(ours(clips), plain(clips), rtol=1e-4, atol=1e-6)
    assert torch.allclose(ours.weight.grad, plain.weight.grad, rtol=1e-3, atol=1e-4)


def test_gradients_of_keys_and_values_are_those_of_the_plain_attention(models):
    gradients = {}
    for name, model in models.items():
        denoiser = model.denoiser()
        chosen = {key: one for key, one in denoiser.named_parameters() if "attn2.to_k" in key or "attn2.to_v" in key}
        for parameter in chosen.values():
            parameter.requires_grad_(True)
        model.predict(denoiser, *drawn(model)).square().mean().backward()
        gradients[name] = {key: one.grad for key, one in chosen.items()}
    assert gradients["fused"]
    for key, gradient in gradients["fused"].items():
        assert torch.allclose(gradient, gradients["plain"][key], rtol=1e-3, atol=1e-7), key
