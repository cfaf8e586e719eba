"""Wan's family: its groups on the published sizes, its text, latents and videos against diffusers' own pipeline."""

import json
import shutil
from functools import partial

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel

from vmc.diffusion.process import FlowMatching
from vmc.diffusion.sampling import Sampler
from vmc.mini.makers.blank import write_blank
from vmc.models.base import family_of
from vmc.models.export import export_pipeline
from vmc.models.lora import LoraSubset
from vmc.models.parameters import ParameterSubset
from vmc.models.pretrained_weights import cast, quiet_loading
from vmc.models.token import MotionToken
from vmc.models.wan import Wan
from vmc.utils.errors import VmcError
from vmc.utils.randomness import initial_noise

PUBLISHED = {
    "1.3B": {"num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960},
    "14B": {"num_attention_heads": 40, "num_layers": 40, "ffn_dim": 13824},
}
"""What differs between the two published transformers (their config.json), heads being 128 wide."""
TEXTS = ["a man doing the sks sign", "  A  robot &amp; a man\n doing it… ", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "wan"
    write_blank(folder, family="wan")
    return folder


@pytest.fixture(scope="module")
def model(folder) -> Wan:
    return Wan(path=folder, frames=9, size=64, fps=16.0)


@pytest.fixture(scope="module")
def pipeline(folder) -> WanPipeline:
    pipeline = WanPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def changed(folder, tmp_path):
    """A copy of the folder with some values of a config file replaced."""

    def change(file: str, **values) -> Wan:
        copy = tmp_path / "changed"
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        content = json.loads((copy / file).read_text()) | values
        (copy / file).write_text(json.dumps(content))
        return Wan(path=copy, frames=9, size=64)

    return change


def video(frames: int) -> torch.Tensor:
    """frames_FCHW of noise in coarse squares."""
    coarse = torch.randint(256, (frames, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return coarse.repeat_interleave(8, dim=-1).repeat_interleave(8, dim=-2)


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "total"), [("1.3B", 1_418_996_800), ("14B", 14_288_491_584)])
def test_the_groups_of_the_published_sizes(size, total):
    with torch.device("meta"):
        transformer = WanTransformer3DModel(**PUBLISHED[size])
    layers, width = PUBLISHED[size]["num_layers"], 128 * PUBLISHED[size]["num_attention_heads"]
    parameters = dict(transformer.named_parameters())
    linear = width * width + width

    def chosen(group: str) -> dict[str, int]:
        return {name: parameters[name].numel() for name in parameters if Wan.groups[group](name)}

    assert sum(chosen("all").values()) == total
    assert sum(chosen("self_attention").values()) == layers * (4 * linear + 2 * width)  # two norms, of q and of k
    assert sum(chosen("self_qk").values()) == layers * 2 * linear
    assert sum(chosen("text_kv").values()) == layers * 2 * linear
    assert chosen("spatial").keys() == chosen("all").keys() - chosen("self_attention").keys()
    linears = [f"{layer}.{kind}" for layer in ("to_q", "to_k", "to_v", "to_out.0") for kind in ("weight", "bias")]
    block = {f"blocks.0.attn1.{name}" for name in [*linears, "norm_q.weight", "norm_k.weight"]}
    assert {name for name in chosen("self_attention") if name.startswith("blocks.0.")} == block
    assert chosen("self_qk").keys() == {
        f"blocks.{n}.attn1.to_{x}.{kind}" for n in range(layers) for x in "qk" for kind in ("weight", "bias")
    }
    assert chosen("text_kv").keys() == {
        f"blocks.{n}.attn2.to_{x}.{kind}" for n in range(layers) for x in "kv" for kind in ("weight", "bias")
    }


def test_a_group_of_temporal_layers_is_refused_with_those_that_there_are():
    for subset in (ParameterSubset(groups=["temporal"]), LoraSubset(rank=4, alpha=4, targets=["temporal"])):
        with pytest.raises(VmcError, match=r"'temporal'.*self_attention, self_qk, text_kv, spatial, all"):
            subset.check(Wan.groups)


def test_adapters_stand_beside_the_linear_layers_of_a_group():
    with torch.device("meta"):
        transformer = WanTransformer3DModel(**PUBLISHED["1.3B"])
    lora = LoraSubset(rank=4, alpha=4, targets=["self_qk", "text_kv"])
    layers = lora.layers(transformer, Wan.groups)
    assert len(layers) == 4 * 30
    assert layers[:4] == [f"blocks.0.attn{place}" for place in ("1.to_q", "1.to_k", "2.to_k", "2.to_v")]


# --- the folder ------------------------------------------------------------------------------------------------------


def test_a_folder_tells_its_family(folder):
    assert family_of(folder) is Wan


def test_a_pipeline_of_another_family_is_refused(blank):
    with pytest.raises(VmcError, match=r"is a TextToVideoSDPipeline.*WanPipeline"):
        _ = Wan(path=blank).folder


def test_two_denoisers_are_refused(changed):
    with pytest.raises(VmcError, match=r"two denoisers"):
        _ = changed("model_index.json", transformer_2=["diffusers", "WanTransformer3DModel"]).folder


def test_a_scheduler_that_is_not_of_flow_matching_is_refused(changed):
    with pytest.raises(VmcError, match=r"is a DDIMScheduler.*UniPCMultistepScheduler or FlowMatchEuler"):
        _ = changed("model_index.json", scheduler=["diffusers", "DDIMScheduler"]).process


def test_a_scheduler_of_another_prediction_is_refused(changed):
    with pytest.raises(VmcError, match=r"is a UniPCMultistepScheduler"):
        _ = changed("scheduler/scheduler_config.json", prediction_type="epsilon").process


def test_a_damaged_text_encoder_is_named_by_what_is_missing(model, folder, tmp_path):
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "damaged"
    shutil.copytree(folder, copy)
    file = copy / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    del tensors["encoder.final_layer_norm.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(VmcError, match=r"it has no encoder\.final_layer_norm\.weight of shape \(64,\); get"):
        Wan(path=copy).text_encoder()


# --- latents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frames", "latents"), [(1, 1), (5, 2), (9, 3), (33, 9), (81, 21)])
def test_every_four_frames_after_the_first_are_one_latent_frame(model, frames, latents):
    assert model.latent_shape(frames=frames, size=64) == (16, latents, 8, 8)


@pytest.mark.parametrize(("frames", "nearest"), [(16, "13 or 17"), (2, "1 or 5"), (0, "1 or 5"), (8, "5 or 9")])
def test_another_number_of_frames_is_refused_with_the_nearest(model, frames, nearest):
    with pytest.raises(VmcError, match=rf"data\.frames is {frames}.*4n \+ 1 frames, so choose {nearest}$"):
        model.latent_shape(frames=frames, size=64)


def test_a_size_that_the_transformer_cannot_divide_is_refused(model):
    with pytest.raises(VmcError, match=r"data\.size is 72; it must be divisible by 16, for example 64"):
        model.latent_shape(frames=9, size=72)


@pytest.mark.parametrize("frames", [1, 9])
def test_latents_have_the_scale_of_the_pipeline(model, pipeline, frames):
    autoencoder, vae = model.autoencoder(), pipeline.vae
    moments = autoencoder.encode(video(frames))
    assert moments.shape == (2, *model.latent_shape(frames=frames, size=64))
    mean, deviation = (torch.tensor(vae.config[name]).view(1, -1, 1, 1, 1) for name in ("latents_mean", "latents_std"))
    with torch.no_grad():
        pixels = (video(frames).float() / 127.5 - 1).transpose(0, 1)[None]
        posterior = vae.encode(pixels).latent_dist
        # What undoes `latents / (1 / std) + mean`, which `WanPipeline` decodes with.
        torch.testing.assert_close(moments[:1] * deviation + mean, posterior.mean, rtol=0, atol=1e-5)
        torch.testing.assert_close(moments[1:] * deviation, posterior.std)
        decoded = vae.decode(posterior.mean).sample
    frames_BFCHW = autoencoder.decode(moments[:1])
    expected = ((decoded + 1) * 127.5).round().clamp(0, 255).transpose(1, 2)
    assert frames_BFCHW.shape == (1, frames, 3, 64, 64)
    assert (frames_BFCHW.float() - expected).abs().max() <= 1


def test_a_video_is_decoded_alike_in_any_batch_and_nearly_alike_in_tiles(model):
    autoencoder = model.autoencoder()
    latents = initial_noise([0, 1], (16, 2, 8, 8))
    both = autoencoder.decode(latents)
    assert torch.equal(both[1:], autoencoder.decode(latents[1:]))
    tiled = autoencoder.decode(latents, tile=32)
    assert tiled.shape == both.shape
    assert not torch.equal(tiled, both)
    assert not autoencoder.module.use_tiling
    assert torch.equal(autoencoder.decode(latents, tile=64), both)


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_encoded_as_the_pipeline_does(model, pipeline, text):
    with torch.no_grad():
        expected, _ = pipeline.encode_prompt(text, do_classifier_free_guidance=False, max_sequence_length=512)
    found = model.text_encoder(MotionToken())(text)
    assert found.mask_BL is None
    assert torch.equal(found.embeddings_BLD, expected)
    assert found.embeddings_BLD.shape == (1, 512, 64)


def test_a_word_of_several_pieces_is_refused_as_the_token(model):
    with pytest.raises(VmcError, match=r"token\.word is 'qzx', which the tokenizer splits into 4 tokens.*token\.added"):
        model.text_encoder(MotionToken(word="qzx"))


def test_a_word_behind_the_last_position_is_refused(model):
    text = model.text_encoder(MotionToken())
    assert text.token_ids(["a man " * 250 + "sks"]).shape == (1, 512)
    with pytest.raises(VmcError, match=r"has 522 tokens, of which the text encoder reads the first 512, and 'sks'"):
        text.token_ids(["a man " * 260 + "sks"])


def test_an_added_token_is_merged_into_the_table_that_an_export_has(model, tmp_path):
    text = model.text_encoder(MotionToken(word="<motion>", added=True, start="sign", trained=True, learning_rate=1e-3))
    with torch.no_grad():
        text.token_embedding.row.add_(1)
    ids_BL = text.token_ids(["a man doing the <motion> sign"])
    embeddings = text.encode_ids(ids_BL).embeddings_BLD
    embeddings.sum().backward()
    assert text.token_embedding.row.grad.abs().sum() > 0
    export_pipeline(model, tmp_path / "export", denoiser=model.denoiser(), text=text, card="")
    assert not [file for file in (tmp_path / "export").rglob("*.json") if str(model.path) in file.read_text()]
    with quiet_loading():
        opened = WanPipeline.from_pretrained(tmp_path / "export")
    expected, _ = opened.encode_prompt(
        "a man doing the <motion> sign", do_classifier_free_guidance=False, max_sequence_length=512
    )
    torch.testing.assert_close(embeddings.detach(), expected, rtol=0, atol=1e-6)


# --- denoiser and solver ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "guidance", "more"),
    [
        (UniPCMultistepScheduler, 1.0, {}),
        (UniPCMultistepScheduler, 5.0, {"expand_timesteps": True}),  # Wan 2.2's model of 5 billion parameters
        (FlowMatchEulerDiscreteScheduler, 5.0, {}),
    ],
)
def test_videos_are_those_of_the_pipeline(changed, kind, guidance, more):
    model = changed("model_index.json", scheduler=["diffusers", kind.__name__], **more)
    if kind is FlowMatchEulerDiscreteScheduler:
        kind(shift=3.0).save_pretrained(model.path / "scheduler")
    pipeline = WanPipeline.from_pretrained(model.path)
    pipeline.set_progress_bar_config(disable=True)
    assert type(pipeline.scheduler) is type(model.process.solver()) is kind
    text, noise = model.text_encoder(), initial_noise([3], (16, 3, 8, 8))
    latents = Sampler(steps=5, guidance=guidance)(
        partial(model.predict, model.denoiser()),
        model.process.solver(),
        noise_BCFHW=noise,
        text=text("a man doing it"),
        empty=text(""),
    )
    expected = pipeline(
        "a man doing it",
        height=64,
        width=64,
        num_frames=9,
        num_inference_steps=5,
        guidance_scale=guidance,
        latents=noise,
        output_type="latent",
    ).frames
    torch.testing.assert_close(latents, expected, rtol=0, atol=1e-4)


def test_solvers_begin_with_the_first_of_two_equal_timesteps(changed):
    # A shift of 12 and 100 steps round the first two times to the same whole number.
    model = changed("scheduler/scheduler_config.json", flow_shift=12.0)
    noise = initial_noise([0], (16, 1, 2, 2))
    text = model.text_encoder()("")
    latents = Sampler(steps=100, guidance=1.0)(
        lambda noisy, timestep, text: noisy, model.process.solver(), noise_BCFHW=noise, text=text, empty=text
    )
    assert torch.isfinite(latents).all()


def test_the_process_is_flow_matching_with_the_shift_of_the_folder(model):
    process = model.process
    assert isinstance(process, FlowMatching)
    assert process.shift == 3
    assert process.timesteps(torch.tensor([0.25, 1.0])).tolist() == [250, 1000]


def test_the_plain_attention_gives_the_same_prediction(model, folder):
    plain = Wan(path=folder, attention="plain")
    noisy, timesteps = initial_noise([0, 1], (16, 3, 8, 8)), torch.tensor([300.0, 700.0])
    text = model.text_encoder()("a man").repeated(2)
    with torch.no_grad():
        found, expected = (one.predict(one.denoiser(), noisy, timesteps, text) for one in (plain, model))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_what_diffusers_keeps_in_float32_stays_so(model, folder):
    opened = model.denoiser(dtype=torch.bfloat16)
    casted = model.denoiser()
    cast(casted, torch.bfloat16)
    expected = WanTransformer3DModel.from_pretrained(folder / "transformer", torch_dtype=torch.bfloat16)
    for one in (opened, casted):
        assert {name: tensor.dtype for name, tensor in one.named_parameters()} == {
            name: tensor.dtype for name, tensor in expected.named_parameters()
        }
    assert opened.scale_shift_table.dtype == torch.float32
    assert opened.blocks[0].attn1.to_q.weight.dtype == torch.bfloat16


def test_the_time_is_embedded_in_float32_where_all_else_is_rounded(model):
    denoiser = model.denoiser()
    embedder, timesteps = denoiser.condition_embedder.time_embedder, torch.linspace(-1, 1, 256)[None]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = denoiser.proj_out(torch.ones(1, 128))
        found = embedder(timesteps)
    assert (rounded.dtype, found.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(found, embedder(timesteps))


def test_the_blocks_are_the_transformers(model):
    denoiser = model.denoiser()
    assert model.blocks(denoiser) == tuple(denoiser.blocks)
    assert len(denoiser.blocks) == 6
