"""Tune-A-Video: what is inflated, how frames meet, what is trained, and the way of a run."""

import functools
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel, UNet3DConditionModel
from safetensors.torch import load_file
from torch import nn

from vmc.data.clips import NoClips
from vmc.data.motion import MotionData
from vmc.data.prompts import Prompt
from vmc.diffusion.sampling import Conditioning, InvertedSampler
from vmc.evaluate import main as evaluate
from vmc.evaluation.generation import TunedModel, find_sources
from vmc.generate import main as generate
from vmc.mini.makers.blank import write_blank
from vmc.mini.shipped import shipped
from vmc.models.activation_checkpointing import checkpoint_activations
from vmc.models.animatediff import AnimateDiff
from vmc.models.base import family_of
from vmc.models.parameters import ParameterSubset, select_names
from vmc.models.tune_a_video import TuneAVideo, first_and_previous
from vmc.models.zeroscope import UNet3D
from vmc.tools.full_size import ZEROSCOPE
from vmc.utils.errors import VmcError

FRAMES = 5
STABLE_DIFFUSION = {
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 768,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "in_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
}
"""What decides sizes in `unet/config.json` of stable-diffusion-v1-4."""
TEXTS = ("a square", "a red circle")


@pytest.fixture(scope="module", params=["spatial", "all"])
def model(request, blank) -> TuneAVideo:
    return TuneAVideo(path=blank, frames=FRAMES, size=64, attention="plain", image_layers=request.param)


def test_what_keeps_other_layers_is_another_model(blank):
    kinds = [TuneAVideo(path=blank, frames=FRAMES, size=64, image_layers=kind) for kind in ("spatial", "all")]
    assert kinds[0].identity != kinds[1].identity and kinds[0].fingerprint("vae") == kinds[1].fingerprint("vae")


@pytest.fixture(scope="module")
def stable_diffusion(tmp_path_factory) -> Path:
    """A small Stable Diffusion pipeline with random weights."""
    folder = tmp_path_factory.mktemp("stable_diffusion") / "blank"
    write_blank(folder, family="animatediff")
    return folder


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    return torch.randn(2, 4, FRAMES, 8, 8, generator=torch.Generator().manual_seed(0))


@functools.cache
def encoded(path, text):
    return TuneAVideo(path=path).text_encoder()(text)


@torch.no_grad()
def predicted(model, denoiser, noisy, texts=TEXTS, times=(600, 100)):
    text = Conditioning.cat([encoded(model.path, one) for one in texts])
    return model.predict(denoiser, noisy, torch.tensor(times), text)


def stir(denoiser: nn.Module) -> nn.Module:
    """Have the new attention add something."""
    for name, parameter in denoiser.named_parameters():
        if ".temporal.attn.to_out" in name:
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    return denoiser


def skip_temporal_layers(unet: UNet3DConditionModel) -> UNet3DConditionModel:
    for name, module in unet.named_modules():
        if name == "transformer_in" or (".temp_attentions." in name and name.split(".")[-2] == "temp_attentions"):
            module.register_forward_hook(lambda module, args, output: (args[0],))
        elif name.split(".")[-2:-1] == ["temp_convs"]:
            module.register_forward_hook(lambda module, args, output: args[0])
    return unet


def test_on_one_frame_it_is_the_image_model_of_the_base(model, base, latents):
    noisy, unet = latents[:, :, :1], base.denoiser()
    whole = predicted(base, unet, noisy)
    image = predicted(base, skip_temporal_layers(unet), noisy)
    assert not torch.allclose(image, whole, atol=1e-3)  # the temporal layers do something, even to one frame
    inflated = predicted(model, model.denoiser(), noisy)
    assert torch.allclose(inflated, image if model.image_layers == "spatial" else whole, atol=1e-5)


def test_stable_diffusion_is_inflated_whole(stable_diffusion, latents):
    model = TuneAVideo(path=stable_diffusion, frames=FRAMES, size=64)
    noisy, text = latents[:1, :, :1], encoded(stable_diffusion, TEXTS[0])
    image = model.open("unet", torch.float32)
    with torch.no_grad():
        expected = image(noisy[:, :, 0], 300, encoder_hidden_states=text.embeddings_BLD).sample
    inflated = predicted(model, model.denoiser(), noisy, TEXTS[:1], (300,))
    assert torch.allclose(inflated[:, :, 0], expected, atol=1e-5)


def test_frames_meet_in_sparse_causal_attention_alone_at_the_beginning(model, latents):
    denoiser, changed = model.denoiser(), latents.clone()
    changed[:, :, 3] += 1
    before, after = (predicted(model, denoiser, noisy) for noisy in (latents, changed))
    assert [torch.equal(before[:, :, frame], after[:, :, frame]) for frame in range(3)] == [True] * 3
    assert all(not torch.allclose(before[:, :, frame], after[:, :, frame], atol=1e-4) for frame in (3, 4))
    changed = latents.clone()
    changed[:, :, 0] += 1
    after = predicted(model, denoiser, changed)
    assert all(not torch.allclose(before[:, :, frame], after[:, :, frame], atol=1e-4) for frame in range(FRAMES))
    for processor in denoiser.attn_processors.values():
        if hasattr(processor, "causal"):
            processor.causal = False
    alone = torch.cat([predicted(model, denoiser, frame) for frame in latents.split(1, dim=2)], dim=2)
    assert torch.allclose(predicted(model, denoiser, latents), alone, atol=1e-5)


def test_keys_and_values_are_of_the_first_and_the_previous_frame():
    features_NPD = torch.arange(2 * 3, dtype=torch.float32)[:, None, None].expand(-1, 1, 1)
    assert first_and_previous(features_NPD, 3)[..., 0].tolist() == [[0, 0], [0, 0], [0, 1], [3, 3], [3, 3], [3, 4]]


def test_the_new_attention_lets_earlier_frames_see_later_ones(model, latents):
    denoiser, changed = stir(model.denoiser()), latents.clone()
    changed[:, :, 4] += 1
    before, after = (predicted(model, denoiser, noisy) for noisy in (latents, changed))
    assert not torch.allclose(before[:, :, 1], after[:, :, 1], atol=1e-4)


def test_videos_of_a_batch_do_not_see_each_other(model, latents):
    denoiser = stir(model.denoiser())
    together = predicted(model, denoiser, latents)
    alone = [predicted(model, denoiser, latents[[one]], (TEXTS[one],), ((600, 100)[one],)) for one in range(2)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_the_new_attention_begins_alike_in_every_run_and_draws_from_no_global_generator(model):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    one, other = model.denoiser().state_dict(), model.denoiser().state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    new = [name for name in one if ".temporal." in name]
    assert len(new) == 7 * 5 and all(torch.equal(one[name], other[name]) for name in one)
    assert all(one[name].any() == (".to_out." not in name) for name in new)
    assert len({one[name].flatten()[0].item() for name in new if ".to_q." in name}) == 7


def test_queries_and_the_new_attention_are_trained_and_nothing_else(model):
    trained = ParameterSubset(groups=["tune_a_video"]).select_trainable(model.denoiser(), model.groups)
    kinds = {name.partition(".transformer_blocks.0.")[2] for name in trained}
    new = {f"temporal.attn.to_{kind}.weight" for kind in ("q", "k", "v", "out.0")} | {"temporal.attn.to_out.0.bias"}
    assert kinds == {"attn1.to_q.weight", "attn2.to_q.weight"} | new
    assert len(trained) == 7 * len(kinds)
    assert not any("temp_attentions" in name or "transformer_in" in name for name in trained)


def test_counts_on_the_published_architectures(monkeypatch):
    """Of ZeroScope's spatial layers and of Stable Diffusion 1.4, whose 16 blocks have widths 320, 640 and 1280."""
    squares = 5 * 320**2 + 5 * 640**2 + 6 * 1280**2
    biases = 5 * 320 + 5 * 640 + 6 * 1280
    for kind, config in ((UNet3DConditionModel, ZEROSCOPE.configs["unet"]), (UNet2DConditionModel, STABLE_DIFFUSION)):
        with torch.device("meta"):
            unet = kind.from_config(config)
        model = TuneAVideo(path="published")
        monkeypatch.setattr(TuneAVideo, "empty", lambda self, part, unet=unet: unet)
        denoiser = model.empty_denoiser()
        assert isinstance(denoiser, UNet2DConditionModel)
        sizes = {name: parameter.numel() for name, parameter in denoiser.named_parameters()}
        names = select_names(sizes, ["tune_a_video"], model.groups)
        assert len(names) == 16 * 7
        assert sum(sizes[name] for name in names) == squares * (2 + 4) + biases


def test_recomputed_activations_give_the_same_gradients(model, latents):
    gradients = []
    for recomputed in (False, True):
        denoiser = stir(model.denoiser())
        trained = ParameterSubset(groups=["tune_a_video"]).select_trainable(denoiser, model.groups)
        if recomputed:
            checkpoint_activations(model.blocks(denoiser))
        text = encoded(model.path, TEXTS[0]).repeated(2)
        model.predict(denoiser, latents, torch.tensor([600, 100]), text).square().mean().backward()
        gradients.append([parameter.grad for parameter in trained.values()])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_a_folder_remains_one_of_its_own_family(blank, stable_diffusion):
    assert family_of(blank) is UNet3D and family_of(stable_diffusion) is AnimateDiff


def test_a_unet_with_motion_modules_and_unknown_layers_are_refused(stable_diffusion, tmp_path):
    copy = Path(shutil.copytree(stable_diffusion, tmp_path / "copy"))
    file = copy / "unet" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "_class_name": "UNetMotionModel"}))
    with pytest.raises(VmcError, match="UNet is of the class UNetMotionModel; Tune-A-Video inflates a UNet3D"):
        _ = TuneAVideo(path=copy).folder
    with pytest.raises(VmcError, match=r"model\.image_layers is 'temporal'; it must be spatial or all"):
        TuneAVideo(path=copy, image_layers="temporal")


# --- a run -----------------------------------------------------------------------------------------------------------

ARM = [
    "+baseline=tune_a_video",
    "inflation.steps=2",
    "inflation.guidance=3",
    "model.image_layers=spatial",
    "optimizer.lr=1e-2",
]


@pytest.fixture(scope="module")
def run(train_into, metrics, tmp_path_factory):
    own = [one for one in metrics if not one.startswith("sampler.")]
    return train_into(tmp_path_factory.mktemp("run") / "run", *own, *ARM, "steps=3")


def test_a_run_keeps_what_it_trained_and_makes_videos_of_inverted_clips(run, blank, entered):
    tensors = load_file(run.weights(3))
    assert len(tensors) == 7 * 7 and all(tensors[name].any() for name in tensors)
    status, said = entered(generate, f"run={run.path}", "prompt=a {token}", "seeds=[3,4]", "output=videos")
    assert status == 0 and "2 videos made" in said, said
    status, said = entered(generate, f"run={run.path}", "export=exported")
    assert status == 1 and "no pipeline of diffusers can open" in said and not Path("exported").exists()


def test_a_run_is_scored_by_a_protocol_that_names_the_clips(run, entered):
    status, said = entered(evaluate, f"run={run.path}", "output=scores")
    assert status == 0 and "6 videos" in said, said
    protocol = json.loads(Path("scores/summary.json").read_text())["protocol"]
    assert "sampler" not in protocol
    assert protocol["inversion"]["sampler"] == {"steps": 2, "guidance": 3}
    assert protocol["inversion"]["exemplars"]["clips"] == 3


def test_a_resumed_run_is_the_uninterrupted_one(run, train, tmp_path):
    for steps in (1, 3):
        parts = train(*ARM, f"steps={steps}", output=tmp_path / "parts")
    whole, parts = load_file(run.weights(3)), load_file(parts.weights(3))
    assert all(torch.equal(whole[name], parts[name]) for name in whole.keys() | parts.keys())


def test_a_seed_says_which_clip_a_video_begins_at(run, blank):
    from vmc.config.build import build_experiment
    from vmc.training.hardware import Hardware

    experiment = build_experiment(run.config | {"prompt": "a", "seeds": [1]})
    sources = find_sources(experiment)
    drawn = {seed: sources.draw(seed).path.name for seed in range(20)}
    assert set(drawn.values()) == {"clip0.mp4", "clip1.mp4", "clip2.mp4"}
    tuned = TunedModel.load(experiment.model, experiment.token, run.weights(3), hardware=Hardware())
    generator = tuned.generator(sampler=InvertedSampler(steps=2, guidance=2.0), batch_size=3, sources=sources)
    same = [seed for seed in drawn if drawn[seed] == drawn[0]][1]
    other = next(seed for seed in drawn if drawn[seed] != drawn[0])
    videos = generator.frames([Prompt(text="a square", seed=seed) for seed in (0, same, other)])
    assert torch.equal(videos[0], videos[1]) and not torch.equal(videos[0], videos[2])


def test_without_a_run_or_a_solver_that_goes_back_it_is_refused(run, blank, entered):
    inverted = "sampler._target_=vmc.diffusion.sampling.InvertedSampler"
    status, said = entered(generate, "prompt=a", f"model.path={blank}", inverted)
    assert status == 1 and "this model's solver cannot go back" in said, said
    ours = ["model._target_=vmc.models.tune_a_video.TuneAVideo", f"model.path={blank}"]
    status, said = entered(generate, "prompt=a", *ours, inverted)
    assert status == 1 and "there is no run; give run=DIR" in said, said


@torch.no_grad()
def test_an_inverted_clip_comes_back(clips):
    """By the miniature's own weights, in 25 steps and without guidance to a tenth of its size; in 4, not so near."""
    model = TuneAVideo(path=shipped("pipeline"), frames=2, size=64, attention="plain", image_layers="all")
    data = MotionData(source=NoClips(), frames=2, size=64)
    frames_FCHW = data.transform(augmented=False, mirror=False)(clips / "clip0.mp4", variant=0)
    clip, text = model.autoencoder().encode(frames_FCHW)[:1], model.text_encoder()(TEXTS[0])
    predict, errors = partial(model.predict, model.denoiser()), []
    for steps in (4, 25):
        sampler = InvertedSampler(steps=steps, guidance=1.0)
        noise = sampler.invert(predict, model.process, latents_BCFHW=clip, text=text)
        back = sampler(predict, model.process.solver(), noise_BCFHW=noise, text=text, empty=text)
        errors.append(float((back - clip).square().mean().sqrt() / clip.square().mean().sqrt()))
    print(f"relative error {errors[0]:.4f} in 4 steps, {errors[1]:.4f} in 25; deviation of the noise {noise.std():.3f}")
    assert errors[1] < min(0.1, errors[0])
