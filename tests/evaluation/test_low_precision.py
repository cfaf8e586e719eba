"""Videos in the low precision, and by the steps of a CUDA graph, which a CPU runs as they are."""

import logging

import pytest
import torch
from diffusers import AutoencoderKL
from torch.nn import Linear, Sequential

from vmc.data.prompts import Prompt
from vmc.diffusion.sampling import Sampler
from vmc.evaluation.generation import TunedModel
from vmc.models.latent_diffusion import ImageAutoencoder
from vmc.models.pretrained_weights import low_precision_copy
from vmc.models.token import MotionToken
from vmc.training.hardware import Hardware, compile_layers

PROMPTS = [Prompt(text="a man", seed=seed) for seed in range(2)]


def frames(base, **choices):
    model = TunedModel.load(base, MotionToken(), None, hardware=Hardware(**choices))
    return model.generator(sampler=Sampler(steps=2, guidance=2.0), batch_size=2).frames(PROMPTS).float()


@pytest.fixture(scope="module")
def plain(base):
    return frames(base)


def test_a_copy_in_the_low_precision_shares_what_is_held_so_and_leaves_the_network_alone():
    network = Sequential(Linear(2, 2), Linear(2, 2).to(torch.bfloat16))
    copy, before = low_precision_copy(network, torch.bfloat16), network[0].weight.detach().clone()
    assert {parameter.dtype for parameter in copy.parameters()} == {torch.bfloat16}
    assert copy[1].weight is network[1].weight and not copy[0].weight.requires_grad
    assert network[0].weight.dtype == torch.float32 and torch.equal(network[0].weight, before)
    assert network[0].weight.requires_grad
    assert torch.equal(copy[0].weight, before.to(torch.bfloat16))
    assert low_precision_copy(copy, torch.bfloat16) is copy


def test_a_copy_of_compiled_layers_computes_with_its_own_weights(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda forward, **words: lambda *given: forward(*given))
    network = Sequential(Linear(2, 2))
    compile_layers([network[0]])
    copy = low_precision_copy(network, torch.bfloat16)
    assert copy(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert network(torch.ones(2)).dtype == torch.float32


def test_low_precision_sampling_is_near_and_without_a_mixed_precision_changes_nothing(base, plain):
    low = frames(base, precision="bf16-mixed", low_precision_sampling=True)
    assert not torch.equal(low, plain) and (low - plain).abs().mean() < 8
    assert torch.equal(frames(base, low_precision_sampling=True, low_precision_decoding=True), plain)


def test_low_precision_decoding_is_near(base, plain):
    low = frames(base, precision="bf16-mixed", low_precision_decoding=True)
    mixed = frames(base, precision="bf16-mixed")
    assert not torch.equal(low, mixed) and (low - mixed).abs().mean() < 2


def test_autoencoders_overflow_in_float16_and_not_in_bfloat16():
    """Its largest number is 65,504: activations beyond it become infinite, and the frame black."""
    torch.manual_seed(0)
    sizes = {"block_out_channels": (8,), "layers_per_block": 1, "norm_num_groups": 4, "latent_channels": 4}
    network = AutoencoderKL(**sizes, mid_block_add_attention=False).eval()
    network.decoder.conv_in.weight.data *= 1e5  # what follows is normalized again
    latents_BCFHW = torch.randn(1, 4, 1, 8, 8)
    decoded = {
        dtype: ImageAutoencoder(network.to(dtype)).decode(latents_BCFHW).float()
        for dtype in (torch.float32, torch.bfloat16, torch.float16)
    }
    assert not decoded[torch.float16].any() and decoded[torch.float32].any()
    assert (decoded[torch.bfloat16] - decoded[torch.float32]).abs().mean() < 4


def test_float16_decodes_in_float32_and_the_log_says_so(monkeypatch, caplog):
    assert Hardware(precision="bf16-mixed", low_precision_decoding=True).decoding_dtype == torch.bfloat16
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with caplog.at_level(logging.INFO):
        hardware = Hardware(accelerator="gpu", precision="16-mixed", low_precision_decoding=True)
    assert hardware.decoding_dtype == torch.float32 and hardware.overlaps
    assert "the autoencoder decodes in float32, as float16 would overflow" in caplog.text


def test_choices_that_change_pixels_are_told_apart():
    low = {"low_precision_sampling": True, "low_precision_decoding": True}
    assert Hardware().video_choices == Hardware(**low).video_choices == ()
    assert Hardware(decode_tile=64).video_choices == (64,)
    told = ("sampling in the low precision", "decoding in the low precision")
    assert Hardware(precision="bf16-mixed", **low).video_choices == told


def test_a_graphs_steps_give_the_same_frames(base, plain, caplog, monkeypatch):
    with caplog.at_level(logging.INFO):
        assert torch.equal(frames(base, cuda_graph=True), plain)
        assert "steps of the sampler run without CUDA graphs, which a cpu does not have" in caplog.text
        monkeypatch.setattr("vmc.evaluation.generation.LARGEST", 10)
        assert torch.equal(frames(base, cuda_graph=True), plain)
    assert "too many to gain by a graph" in caplog.text
