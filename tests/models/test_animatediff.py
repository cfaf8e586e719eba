"""AnimateDiff: the UNet and its motion adapter, where they lie, and what they are refused for."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AnimateDiffPipeline, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from safetensors.torch import load_file, save_file

from vmc.diffusion.sampling import Conditioning, Sampler
from vmc.mini.__main__ import main as mini
from vmc.mini.makers.blank import write_blank
from vmc.models.animatediff import AnimateDiff
from vmc.models.lora import LoraSubset
from vmc.models.parameters import select_names
from vmc.training.hardware import Hardware
from vmc.training.synthetic_regularization import BaseVideos
from vmc.training.tuned_weights import Delta
from vmc.utils.errors import VmcError

STABLE_DIFFUSION = {
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 768,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
}
"""`unet/config.json` of stable-diffusion-v1-5."""
ADAPTER = {
    "block_out_channels": [320, 640, 1280, 1280],
    "motion_layers_per_block": 2,
    "motion_max_seq_length": 32,
    "motion_mid_block_layers_per_block": 1,
    "motion_norm_num_groups": 32,
    "motion_num_attention_heads": 8,
    "use_motion_mid_block": True,
}
"""`config.json` of animatediff-motion-adapter-v1-5-2, without three keys that diffusers no longer reads."""


@pytest.fixture(scope="module")
def published() -> UNetMotionModel:
    """The published sizes, without storage."""
    with torch.device("meta"):
        unet, adapter = UNet2DConditionModel.from_config(STABLE_DIFFUSION), MotionAdapter.from_config(ADAPTER)
        return UNetMotionModel.from_unet2d(unet, adapter, load_weights=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("animatediff") / "blank"
    write_blank(folder, family="animatediff")
    return folder


@pytest.fixture(scope="module")
def model(folder) -> AnimateDiff:
    return AnimateDiff(path=folder, motion_adapter=folder / "motion_adapter", frames=8, size=64, attention="plain")


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory) -> Path:
    """One pipeline of both, of the same weights."""
    folder = tmp_path_factory.mktemp("animatediff") / "exported"
    model.save(folder, denoiser=model.denoiser(), text=model.text_encoder())
    return folder


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def changed(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize(
    ("groups", "tensors", "parameters"),
    [
        (["temporal"], 546, 453_209_280),
        (["spatial_kv"], 32, 19_169_280),
        (["temporal", "spatial_kv"], 578, 472_378_560),
        (["spatial"], 686, 859_520_964),
        (["all"], 1232, 1_312_730_244),
    ],
)
def test_counts_on_the_published_architecture(published, groups, tensors, parameters):
    sizes = {name: parameter.numel() for name, parameter in published.named_parameters()}
    names = select_names(sizes, groups, AnimateDiff.groups)
    assert len(names) == tensors
    assert sum(sizes[name] for name in names) == parameters


def test_temporal_is_every_motion_module_and_spatial_kv_no_part_of_one(published):
    names = [name for name, _ in published.named_parameters()]
    temporal = select_names(names, ["temporal"], AnimateDiff.groups)
    modules = {re.match(r"(.*motion_modules\.\d+)\.", name)[1] for name in temporal}
    assert len(modules) == 4 * 2 + 1 + 4 * 3
    kinds = {re.sub(r".*motion_modules\.\d+\.(transformer_blocks\.0\.)?", "", name) for name in temporal}
    attention = {f"attn{number}.to_{kind}.weight" for number in (1, 2) for kind in ("q", "k", "v", "out.0")}
    assert kinds == attention | {"attn1.to_out.0.bias", "attn2.to_out.0.bias"} | {
        f"{layer}.{kind}"
        for layer in ("norm", "norm1", "norm2", "norm3", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
        for kind in ("weight", "bias")
    }
    spatial_kv = select_names(names, ["spatial_kv"], AnimateDiff.groups)
    assert all(
        re.search(r"\.attentions\.\d\.transformer_blocks\.0\.attn2\.to_[kv]\.weight$", name) for name in spatial_kv
    )
    assert not set(spatial_kv) & set(temporal)


def test_adapters_stand_beside_motion_modules_and_the_keys_and_values_of_texts(published):
    layers = LoraSubset(rank=4, alpha=4, targets=["temporal", "spatial_kv"]).layers(published, AnimateDiff.groups)
    # Of a motion module: two attentions of four layers, two layers in and out, two of the feed-forward network.
    assert len(layers) == 21 * 12 + 32
    assert {layer.rpartition(".")[2] for layer in layers} == {
        "to_q",
        "to_k",
        "to_v",
        "0",
        "2",
        "proj_in",
        "proj_out",
        "proj",
    }


def test_the_unet_is_that_of_diffusers_and_nothing_is_drawn(model, folder):
    before = torch.get_rng_state()
    unet = model.denoiser()
    assert torch.equal(torch.get_rng_state(), before)
    assert not unet.training and not any(parameter.requires_grad for parameter in unet.parameters())
    adapter = MotionAdapter.from_pretrained(folder / "motion_adapter")
    theirs = AnimateDiffPipeline.from_pretrained(folder, motion_adapter=adapter).unet
    assert unet.config == theirs.config
    ours = unet.state_dict()
    assert all(torch.equal(tensor, ours[name]) for name, tensor in theirs.state_dict().items())
    assert {tensor.dtype for tensor in model.denoiser(dtype=torch.bfloat16).parameters()} == {torch.bfloat16}


def test_without_memory_it_has_the_same_parameters(model, exported):
    shapes = {name: parameter.shape for name, parameter in model.denoiser().named_parameters()}
    for one in (model, AnimateDiff(path=exported)):
        empty = dict(one.empty_denoiser().named_parameters())
        assert {name: parameter.shape for name, parameter in empty.items()} == shapes
        assert all(parameter.is_meta for parameter in empty.values())


def test_the_kind_of_attention_is_as_chosen(model):
    for kind, processor in (("plain", AttnProcessor), ("fused", AttnProcessor2_0)):
        unet = dataclasses.replace(model, attention=kind).denoiser()
        assert {type(one) for one in unet.attn_processors.values()} == {processor}


def test_shapes_of_videos_latents_and_predictions(model):
    frames = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    autoencoder = model.autoencoder()
    moments = autoencoder.encode(frames)
    assert moments.shape == (2, *model.latent_shape(frames=8, size=64)) == (2, 4, 8, 8, 8)
    assert autoencoder.decode(moments[:1]).shape == (1, 8, 3, 64, 64)
    text = model.text_encoder()
    two, unet = Conditioning.cat([text("a man"), text("a robot")]), model.denoiser()
    noisy = moments[:1].expand(2, -1, -1, -1, -1)
    both = model.predict(unet, noisy, torch.tensor([10, 900]), two)
    assert both.shape == noisy.shape
    # Each video sees its own text and its own time in all of its frames.
    for index, time in enumerate((10, 900)):
        one = model.predict(unet, noisy[:1], torch.tensor([time]), text(("a man", "a robot")[index]))
        assert torch.allclose(both[index], one[0], atol=1e-5)
    assert not torch.allclose(both[0], both[1], atol=1e-2)


def test_a_still_is_a_video_of_one_frame(model):
    assert model.latent_shape(frames=1, size=64) == (4, 1, 8, 8)


def test_the_motion_modules_betas_take_the_place_of_stable_diffusions(model, exported):
    betas = torch.linspace(0.00085, 0.012, 1000, dtype=torch.float64)
    assert torch.allclose(model.process.signal_T.double(), (1 - betas).cumprod(0), rtol=1e-4)
    solver = model.process.solver()
    assert solver.config.beta_schedule == "linear" and solver.config.timestep_spacing == "linspace"
    again = AnimateDiff(path=exported, frames=8, size=64)
    assert torch.equal(again.process.signal_T, model.process.signal_T)
    changed(exported / "scheduler" / "scheduler_config.json", beta_end=0.02)
    assert not torch.equal(AnimateDiff(path=exported).process.signal_T, model.process.signal_T)


def test_the_fingerprint_covers_unet_and_adapter(folder, copy, exported):
    def marks(path: Path, adapter: Path | None) -> str:
        return AnimateDiff(path=path, motion_adapter=adapter).fingerprint("denoiser")

    same = marks(folder, folder / "motion_adapter")
    assert marks(copy, folder / "motion_adapter") == marks(folder, copy / "motion_adapter") == same
    changed(copy / "motion_adapter" / "config.json", note="another")
    assert marks(folder, copy / "motion_adapter") != same
    assert len(same.split()) == 2 and len(marks(exported, None).split()) == 1


def test_what_is_made_with_one_adapter_is_not_taken_for_anothers(model, copy, tmp_path):
    changed(copy / "motion_adapter" / "config.json", note="another")
    other = dataclasses.replace(model, motion_adapter=copy / "motion_adapter")
    delta = Delta(tensors={}, about={"family": "animatediff", "base": model.described, "base_fingerprint": "x"})
    with pytest.raises(
        VmcError, match=f"is {other.described}, but .* on another model, {model.described}; use that one"
    ):
        delta.check_base(other)
    sampler = Sampler(steps=1, guidance=1.0)
    made = [BaseVideos(base=one, hardware=Hardware(), cache=tmp_path).describe(sampler) for one in (model, other)]
    assert made[0] != made[1]


def refusal(**fields: object) -> str:
    with pytest.raises(VmcError) as error:
        _ = AnimateDiff(**fields).folder
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_pipeline_and_an_adapter_that_do_not_go_together_are_refused(folder, exported, copy):
    adapter = folder / "motion_adapter"
    said = refusal(path=folder)
    assert "a Stable Diffusion pipeline, which has no motion modules; set model.motion_adapter" in said
    assert "has its motion modules already; set model.motion_adapter=null" in refusal(
        path=exported, motion_adapter=adapter
    )
    assert "has no config.json; it must be the folder of a MotionAdapter" in refusal(path=folder, motion_adapter=folder)
    assert "which is of the class AutoencoderKL" in refusal(path=folder, motion_adapter=folder / "vae")
    assert "neither a folder nor a hub name" in refusal(path=folder, motion_adapter=folder / "absent")
    assert "model.motion_adapter is no-one/absent, which is no" in refusal(path=folder, motion_adapter="no-one/absent")
    changed(copy / "unet" / "config.json", _class_name="UNet3DConditionModel")
    assert "whose UNet is of the class UNet3DConditionModel; it must be" in refusal(path=copy, motion_adapter=adapter)


def test_an_adapter_for_another_unet_is_refused(folder, copy):
    adapter = copy / "motion_adapter"
    changed(adapter / "config.json", block_out_channels=[32, 64, 64])
    said = refusal(path=folder, motion_adapter=adapter)
    assert "whose blocks have [32, 64, 64] channels, but those of" in said and "have [32, 64]" in said
    changed(adapter / "config.json", block_out_channels=[32, 64], motion_layers_per_block=2)
    with pytest.raises(VmcError, match=r"motion_adapter is .* does not fit the UNet of .*; give an adapter"):
        AnimateDiff(path=folder, motion_adapter=adapter).empty_denoiser()
    changed(adapter / "config.json", motion_layers_per_block=1, conv_in_channels=9)
    assert "takes a picture beside the noise (PIA)" in refusal(path=folder, motion_adapter=adapter)


def test_an_adapter_that_is_not_whole_is_refused(folder, copy):
    file = copy / "motion_adapter" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    name = next(iter(tensors))
    save_file({key: tensor for key, tensor in tensors.items() if key != name}, file, metadata={"format": "pt"})
    with pytest.raises(VmcError, match=f"{file} does not fit its config.json: it has no {re.escape(name)}"):
        AnimateDiff(path=folder, motion_adapter=copy / "motion_adapter").denoiser()
    file.unlink()
    assert "which has no weights; it must be" in refusal(path=folder, motion_adapter=copy / "motion_adapter")


def test_too_few_and_too_many_frames_are_refused_before_anything_is_loaded(model, folder, exported):
    with pytest.raises(VmcError, match=r"model\.frames is 1, but motion modules mix frames; give at least 2"):
        dataclasses.replace(model, frames=1)
    adapter = folder / "motion_adapter"
    said = refusal(path=folder, motion_adapter=adapter, frames=17)
    assert (
        said == f"data.frames is 17, but the motion modules of {adapter} have positions for 16 frames; give at most 16"
    )
    assert f"of {exported} have positions for 16 frames" in refusal(path=exported, frames=17)
    with pytest.raises(VmcError, match=r"data\.frames is 17"):
        model.latent_shape(frames=17, size=64)


def test_the_command_writes_both_and_says_how_large_they_are(tmp_path, capsys):
    assert mini(["blank", "--family", "animatediff", "--output", str(tmp_path / "made")]) == 0
    assert "UNet of 803,204 parameters, and a motion adapter of 435,424" in capsys.readouterr().out
    assert (tmp_path / "made" / "motion_adapter" / "config.json").is_file()
