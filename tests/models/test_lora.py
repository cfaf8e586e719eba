"""Adapters: which layers get them, that they begin as nothing, and that merged they are the same model."""

import json

import pytest
import torch
from diffusers import UNet3DConditionModel
from safetensors import safe_open

from vmc.models.export import export_pipeline
from vmc.models.lora import LoraSubset, merged
from vmc.models.parameters import ParameterSubset
from vmc.models.token import MotionToken
from vmc.models.zeroscope import UNet3D
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator

METHOD = ["temporal", "spatial_kv"]
GROUPS = UNet3D.groups


def subset(**changes) -> LoraSubset:
    return LoraSubset(**{"rank": 4, "alpha": 8, "targets": METHOD, **changes})


def outputs(unet) -> torch.Tensor:
    latents_BCFHW = torch.randn(2, 4, 4, 8, 8, generator=generator("latents"))
    text_BLD = torch.randn(2, 77, 64, generator=generator("text"))
    return unet(latents_BCFHW, torch.tensor([10, 900]), encoder_hidden_states=text_BLD).sample


@torch.no_grad()
def train_a_little(adapters) -> None:
    for name, tensor in adapters.items():
        tensor += 0.05 * torch.randn(tensor.shape, generator=generator(name))


def test_the_methods_layers_get_adapters_and_no_others(base):
    unet = base.denoiser()
    weights = {name: tensor for name, tensor in unet.named_parameters() if tensor.ndim > 1}
    expected = {
        name.removesuffix(".weight") for name in ParameterSubset(groups=METHOD).select(unet, GROUPS) if name in weights
    }
    adapters = subset().select_trainable(unet, GROUPS)
    assert {name.rpartition(".lora_")[0] for name in adapters} == expected
    for layer in expected:
        a, b = adapters[f"{layer}.lora_A.weight"], adapters[f"{layer}.lora_B.weight"]
        assert (a.shape[0], b.shape[1], b.shape[0]) == (4, 4, weights[f"{layer}.weight"].shape[0])
        assert a.shape[1:] == weights[f"{layer}.weight"].shape[1:]


def test_the_layers_by_kind(base):
    layers = subset().layers(base.denoiser(), GROUPS)
    assert {name.rpartition("temp_convs.")[2][2:] for name in layers if "temp_convs" in name} == {
        "conv1.2",
        *("conv2.3", "conv3.3", "conv4.3"),
    }
    inside = {name.rpartition("transformer_blocks.0.")[2] for name in layers if name.startswith("transformer_in.tr")}
    attention = {f"attn{place}.to_{kind}" for place in (1, 2) for kind in ("q", "k", "v", "out.0")}
    assert inside == attention | {"ff.net.0.proj", "ff.net.2"}
    spatial = {name.rpartition(".")[2] for name in layers if ".attentions." in name}
    assert spatial == {"to_k", "to_v"}


def test_counts_on_the_published_architecture():
    with torch.device("meta"):
        unet = UNet3DConditionModel(sample_size=32, attention_head_dim=64, cross_attention_dim=1024)
    layers = subset().layers(unet, GROUPS)
    modules = dict(unet.named_modules())
    # A convolution's A has its kernel, as if it read so many more channels.
    sizes = [modules[name].weight.shape[0] + modules[name].weight[0].numel() for name in layers]
    assert (len(layers), 4 * sum(sizes)) == (324, 3_286_528)


def test_patterns_name_layers(base):
    layers = subset(targets=["*.temp_attentions.*.attn1.to_[qk]", "transformer_in.proj_out"]).layers(
        base.denoiser(), GROUPS
    )
    assert {name.rpartition(".")[2] for name in layers} == {"to_q", "to_k", "proj_out"}
    assert not any("attn2" in name or "ff" in name for name in layers)


def test_only_the_adapters_are_trained(base):
    unet = base.denoiser()
    adapters = subset().select_trainable(unet, GROUPS)
    trained = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in trained} == {id(parameter) for parameter in adapters.values()}
    assert not any(module.training for module in unet.modules())
    outputs(unet).square().mean().backward()
    for name, parameter in adapters.items():
        # While B is zero it alone has a gradient. A fresh model's conv4 is zero and hides the three before it.
        hidden = any(f".conv{number}." in name for number in (1, 2, 3))
        assert (parameter.grad.abs().max() > 0) == (".lora_B." in name and not hidden), name


def test_the_adapted_model_begins_as_the_base_to_the_bit(base):
    unet = base.denoiser()
    before = outputs(unet)
    adapters = subset().select_trainable(unet, GROUPS)
    assert torch.equal(outputs(unet), before)
    train_a_little(adapters)
    assert (outputs(unet) - before).abs().max() > 1e-2


def test_initial_weights_are_those_of_the_seed_and_the_layer(base):
    def drawn(**changes):
        return {
            name: tensor.detach()
            for name, tensor in subset(**changes).select_trainable(base.denoiser(), GROUPS).items()
        }

    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = drawn()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    other, fewer, seeded = drawn(), drawn(targets=["spatial_kv"]), drawn(seed=1)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(torch.equal(one[name], fewer[name]) for name in fewer)
    first = [name for name in one if ".lora_A." in name]
    assert not any(torch.equal(one[name], seeded[name]) for name in first)
    for name in first:
        assert 0.8 < one[name].abs().max() * one[name][0].numel() ** 0.5 <= 1
    assert all(tensor.abs().max() == 0 for name, tensor in one.items() if ".lora_B." in name)


def test_merged_it_is_the_same_model_under_the_bases_names(base):
    unet = base.denoiser()
    plain = {name: tensor.clone() for name, tensor in unet.named_parameters()}
    train_a_little(subset().select_trainable(unet, GROUPS))
    adapted, names = outputs(unet), [name for name, _ in unet.named_parameters()]
    with merged(unet):
        tensors = dict(unet.named_parameters())
        assert list(tensors) == list(plain)
        changed = {name for name in plain if not torch.equal(plain[name], tensors[name])}
        assert changed == {f"{name}.weight" for name in subset().layers(unet, GROUPS)}
        assert torch.allclose(outputs(unet), adapted, atol=1e-5)
    assert [name for name, _ in unet.named_parameters()] == names
    assert torch.equal(outputs(unet), adapted)
    for name, tensor in unet.named_parameters():
        if ".lora_" not in name:
            assert torch.equal(tensor, plain[name.replace(".base_layer", "")])


def test_merging_leaves_a_plain_model_alone(base):
    unet = base.denoiser()
    before = list(unet.parameters())
    with merged(unet):
        assert all(one is other for one, other in zip(before, unet.parameters(), strict=True))


def test_the_exported_model_is_plain_and_draws_the_same(base, tmp_path):
    unet = base.denoiser()
    train_a_little(subset().select_trainable(unet, GROUPS))
    export_pipeline(base, tmp_path / "exported", denoiser=unet, text=base.text_encoder(MotionToken()), card="")
    assert not [file for file in (tmp_path / "exported").rglob("*.json") if str(base.path) in file.read_text()]
    exported = UNet3DConditionModel.from_pretrained(tmp_path / "exported", subfolder="unet")
    assert [name for name, _ in exported.named_parameters()] == [name for name, _ in base.denoiser().named_parameters()]
    assert torch.allclose(outputs(exported), outputs(unet), atol=1e-5)
    with safe_open(tmp_path / "exported" / "unet" / "diffusion_pytorch_model.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(base.denoiser().state_dict())
    config, plain = (
        json.loads((folder / "unet" / "config.json").read_text()) for folder in (tmp_path / "exported", base.folder)
    )
    assert {key for key in config if not key.startswith("_")} == {key for key in plain if not key.startswith("_")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rank": 0}, "parameters.rank is 0; it must be"),
        ({"rank": 2.5}, "parameters.rank is 2.5"),
        ({"alpha": 0}, "parameters.alpha is 0; it must be above 0"),
        ({"alpha": "four"}, "parameters.alpha is four"),
        ({"targets": []}, "parameters.targets is ''"),
        ({"targets": "temporal"}, "parameters.targets is 'temporal'; it must be a list"),
    ],
)
def test_what_cannot_be_is_refused_at_once(changes, words):
    with pytest.raises(VmcError, match=words):
        subset(**changes)


@pytest.mark.parametrize("target", ["tmeporal", "*.attn3.*", "norm_out"])
def test_a_target_that_is_unknown_or_matches_nothing_is_refused(base, target):
    with pytest.raises(VmcError) as refused:
        subset(targets=["temporal", target]).select_trainable(base.denoiser(), GROUPS)
    for word in ("parameters.targets", f"'{target}'", "matches none", "temporal, spatial_kv"):
        assert word in str(refused.value)


def test_a_group_of_a_plain_subset_that_means_adapters_is_pointed_at_them(base):
    with pytest.raises(VmcError, match=r"names 'lora'.*parameters=lora"):
        ParameterSubset(groups=["lora"]).select(base.denoiser(), GROUPS)
