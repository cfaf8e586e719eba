"""Which tensors each subset trains, by name, and how many there are in the published architecture."""

import pytest
import torch
from diffusers import UNet3DConditionModel

from vmc.models.parameters import ParameterSubset, select_names
from vmc.models.zeroscope import UNet3D
from vmc.utils.errors import VmcError

GROUPS = UNet3D.groups


@pytest.fixture(scope="module")
def zeroscope() -> UNet3DConditionModel:
    """ZeroScope's UNet without storage: its class defaults are ZeroScope's config."""
    with torch.device("meta"):
        return UNet3DConditionModel(sample_size=32, attention_head_dim=64, cross_attention_dim=1024)


@pytest.mark.parametrize(
    ("groups", "tensors", "parameters"),
    [
        (["all"], 1480, 1_411_233_860),
        (["temporal"], 794, 545_323_136),
        (["spatial_kv"], 32, 25_559_040),
        (["temporal", "spatial_kv"], 826, 570_882_176),
        (["spatial"], 686, 865_910_724),
        (["temporal", "spatial"], 1480, 1_411_233_860),
        ([], 0, 0),
    ],
)
def test_counts_on_the_published_architecture(zeroscope, groups, tensors, parameters):
    names = ParameterSubset(groups=groups).select(zeroscope, GROUPS)
    sizes = dict(zeroscope.named_parameters())
    assert len(names) == tensors
    assert sum(sizes[name].numel() for name in names) == parameters


def test_the_parts_of_the_temporal_group(zeroscope):
    sizes = {name: parameter.numel() for name, parameter in zeroscope.named_parameters()}
    temporal = ParameterSubset(groups=["temporal"]).select(zeroscope, GROUPS)

    def total(part: str) -> int:
        return sum(sizes[name] for name in temporal if part in name.split("."))

    assert [total(part) for part in ("transformer_in", "temp_convs", "temp_attentions")] == [
        5_580_736,
        266_891_520,
        272_850_880,
    ]


def test_spatial_kv_is_exactly_the_cross_attention_of_the_spatial_layers(base):
    places = ["down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.0", "up_blocks.1"]
    layers = [1, 1, 1, 2, 2]
    expected = {
        f"{place}.attentions.{layer}.transformer_blocks.0.attn2.to_{kind}.weight"
        for place, count in zip(places, layers, strict=True)
        for layer in range(count)
        for kind in "kv"
    }
    assert set(ParameterSubset(groups=["spatial_kv"]).select(base.denoiser(), GROUPS)) == expected


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("transformer_in.proj_in.weight", {"temporal", "all"}),
        ("mid_block.temp_convs.0.conv1.2.weight", {"temporal", "all"}),
        # Self-attention over frames, whose name ends like that of the text's cross-attention.
        ("mid_block.temp_attentions.0.transformer_blocks.0.attn2.to_k.weight", {"temporal", "all"}),
        ("mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", {"spatial_kv", "spatial", "all"}),
        ("mid_block.attentions.0.transformer_blocks.0.attn2.to_q.weight", {"spatial", "all"}),
        ("mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight", {"spatial", "all"}),
        ("conv_in.weight", {"spatial", "all"}),
    ],
)
def test_groups_of_single_names(name, groups):
    others = ["transformer_in.x", "mid_block.attentions.9.transformer_blocks.0.attn2.to_v.weight", "conv_out.bias"]
    found = {
        group
        for group in ("temporal", "spatial_kv", "spatial", "all")
        if name in select_names([name, *others], [group], GROUPS)
    }
    assert found == groups


def test_freezing_leaves_gradients_to_the_subset_alone(base):
    unet = base.denoiser()
    trained = ParameterSubset().select_trainable(unet, GROUPS)
    assert {name for name, parameter in unet.named_parameters() if parameter.requires_grad} == set(trained)


@pytest.mark.parametrize(("groups", "words"), [(["temporal"], "matches none"), (["tmeporal"], "temporal, spatial_kv")])
def test_a_group_that_is_unknown_or_matches_nothing_is_refused(groups, words):
    with pytest.raises(VmcError, match=words):
        ParameterSubset(groups=groups).select(torch.nn.Linear(2, 2), GROUPS)
