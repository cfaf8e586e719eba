"""Families beside the first go the whole way: training, resuming, videos, scores, adapters, an export for diffusers.

A family is a line of `FAMILIES`; its pipeline is made by `python -m vmc.mini blank --family NAME`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file
from torch import Tensor

from vmc.data.jester import Jester
from vmc.data.motion import MotionData
from vmc.data.prompts import Prompt
from vmc.diffusion.sampling import Sampler
from vmc.evaluate import main as evaluate
from vmc.evaluation.generation import TunedModel
from vmc.generate import main as generate
from vmc.mini.makers.blank import write_blank
from vmc.mini.world.jester_folder import write as write_jester
from vmc.models.activation_checkpointing import checkpoint_activations
from vmc.models.animatediff import AnimateDiff
from vmc.models.base import VideoModel
from vmc.models.token import MotionToken
from vmc.models.wan import Wan
from vmc.runs.folder import RunFolder, newest_weights
from vmc.training.hardware import Hardware
from vmc.training.tuned_weights import Delta
from vmc.utils.errors import VmcError

SIZE = 64
TIMES = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)
PROMPT = Prompt(text="a robot doing the sks sign", seed=3)
SAMPLER = Sampler(steps=3, guidance=5.0)


@dataclasses.dataclass(frozen=True)
class Family:
    """A family under test.

    Args:
        model: its class.
        frames: of its clips.
        targets: groups that get adapters.
        steps: in which ten clips are learned.
        fields: further fields of the model, by where in the blank pipeline's folder they are.
    """

    model: type[VideoModel]
    frames: int
    targets: Sequence[str]
    steps: int
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.model.family

    def base(self, folder: Path, **more: Any) -> VideoModel:
        fields = {name: folder / place for name, place in self.fields.items()}
        return self.model(path=folder, frames=self.frames, size=SIZE, fps=3.0, **fields, **more)

    def overrides(self, folder: Path) -> list[str]:
        """That choose the model on a command line."""
        places = [f"model.{name}={folder / place}" for name, place in self.fields.items()]
        sizes = [f"model.frames={self.frames}", f"model.size={SIZE}", "model.fps=3", "model.attention=plain"]
        return [f"model={self.name}", f"model.path={folder}", *places, *sizes, "sampler.steps=1"]


FAMILIES = [
    Family(AnimateDiff, 8, ["temporal", "spatial_kv"], 20, {"motion_adapter": "motion_adapter"}),
    Family(Wan, 9, ["self_attention", "text_kv"], 40),
]


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.name)
def family(request) -> Family:
    return request.param


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory) -> Path:
    """The family's small pipeline with random weights."""
    folder = tmp_path_factory.mktemp(family.name) / "blank"
    write_blank(folder, family=family.name)
    return folder


@pytest.fixture(scope="module")
def ten_clips(tmp_path_factory) -> Path:
    """Ten rendered clips of one gesture."""
    folder = tmp_path_factory.mktemp("jester") / "ten"
    write_jester(folder, per_class=10, classes=["Swiping Down"], train_per_class=0, test_clips=0, workers=1)
    return folder


@pytest.fixture(scope="module")
def trained(family, folder, ten_clips, metrics, train_into, tmp_path_factory) -> RunFolder:
    """All parameters trained on the ten clips."""
    data = ["data=mini", f"data.path={ten_clips}", "data.fps=3", "data.variants=4"]
    chosen = [*metrics, *family.overrides(folder), *data, "parameters=temporal_kv", "parameters.groups=[all]"]
    caption = "motion.caption=a person doing the {token} sign"
    return train_into(tmp_path_factory.mktemp("run") / "run", *chosen, caption, f"steps={family.steps}", "batch_size=4")


@torch.no_grad()
def fixed_loss(model: VideoModel, denoiser: Any, clips: Path) -> float:
    """The loss at fixed noise and times, on windows of the clips themselves."""
    autoencoder, process = model.autoencoder(), model.process
    text = model.text_encoder(MotionToken())("a person doing the sks sign").repeated(len(TIMES))
    data = MotionData(source=Jester(None), frames=model.frames, fps=3.0, size=SIZE, start="centre")
    transform = data.transform(augmented=False, mirror=False)
    losses = []
    for number, clip in enumerate(Jester(clips, exemplars=10).exemplars(label="Swiping Down", caption="x", seed=0)):
        latents = autoencoder.encode(transform(clip.path, variant=0))[:1].expand(len(TIMES), -1, -1, -1, -1)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(number))
        noisy = process.add_noise(latents, noise, TIMES)
        prediction = model.predict(denoiser, noisy, process.timesteps(TIMES), text)
        losses.append((prediction - process.target(latents, noise, TIMES)).square().mean())
    return float(torch.stack(losses).mean())


def check_export(family: Family, base: VideoModel, run: RunFolder, exported: Path) -> None:
    """What diffusers makes of the export, by itself, is what this project makes of the run's weights."""
    tuned = TunedModel.load(base, MotionToken(), newest_weights(run.path), hardware=Hardware())
    generator = tuned.generator(sampler=SAMPLER, batch_size=1)
    frames_FCHW = generator.frames([PROMPT])[0]
    pipeline = DiffusionPipeline.from_pretrained(exported)
    assert type(pipeline).__name__ == family.model.pipelines[0]
    pipeline.set_progress_bar_config(disable=True)
    (video,) = pipeline(
        prompt=PROMPT.text,
        num_frames=base.frames,
        height=SIZE,
        width=SIZE,
        num_inference_steps=SAMPLER.steps,
        guidance_scale=SAMPLER.guidance,
        generator=torch.Generator().manual_seed(PROMPT.seed),
        output_type="np",
    ).frames
    theirs_FCHW = torch.from_numpy(video).permute(0, 3, 1, 2) * 255
    # Exact latents, but diffusers divides by two where this project multiplies by 127.5: half a level and rounding.
    assert (frames_FCHW - theirs_FCHW).abs().max() < 0.501
    assert frames_FCHW.float().std() > 1


def weights(run: RunFolder, step: int) -> dict[str, Tensor]:
    return load_file(run.weights(step))


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_ten_clips_are_learned(family, folder, trained, ten_clips):
    base = family.base(folder, attention="plain")
    blank, tuned = base.denoiser(), base.denoiser()
    Delta.load(trained.weights(family.steps)).apply(base, tuned)
    before, after = (fixed_loss(base, denoiser, ten_clips) for denoiser in (blank, tuned))
    print(f"{family.name}, {family.steps} steps: loss {before:.4f} before, {after:.4f} after")
    assert after < 0.6 * before


def test_videos_are_made_and_scored(family, trained, entered):
    status, said = entered(generate, f"run={trained.path}", f"prompt={PROMPT.text}", "seeds=[3]", "output=videos")
    assert status == 0 and "1 video made" in said, said
    status, said = entered(evaluate, f"run={trained.path}", "output=scores")
    assert status == 0 and "6 videos" in said, said
    assert len(Path("scores/scores.csv").read_text().splitlines()) == 7


def test_the_export_is_opened_by_diffusers_alone_and_gives_the_same_video(family, folder, trained, entered):
    status, said = entered(generate, f"run={trained.path}", "export=exported")
    assert status == 0, said
    base = family.base(folder)
    check_export(family, base, trained, Path("exported"))
    # It is a model of the family, too, of the same weights and the same process.
    again = family.model(path=Path("exported"), frames=family.frames, size=SIZE)
    tuned = TunedModel.load(base, MotionToken(), newest_weights(trained.path), hardware=Hardware())
    assert same(again.denoiser().state_dict(), tuned.denoiser.state_dict())
    latents = torch.randn(len(TIMES), 4, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    noisy = [model.process.add_noise(latents, torch.zeros_like(latents), TIMES) for model in (base, again)]
    assert torch.equal(*noisy)


def test_a_resumed_run_is_the_uninterrupted_one(family, folder, train, tmp_path):
    chosen = [*family.overrides(folder), "parameters=temporal_kv", "parameters.groups=[all]", "checkpoint_every=1"]
    torch.manual_seed(0)
    whole = train(*chosen, "steps=2", output=tmp_path / "whole")
    torch.manual_seed(1)
    train(*chosen, "steps=1", output=tmp_path / "parts")
    parts = train(*chosen, "steps=2", output=tmp_path / "parts")
    for step in (1, 2):
        assert same(weights(parts, step), weights(whole, step))
    assert not same(weights(parts, 1), weights(parts, 2))


def test_adapters_leave_the_base_untouched_and_are_exported_within_it(family, folder, train, module, entered):
    targets = f"parameters.targets=[{','.join(family.targets)}]"
    run = train(*family.overrides(folder), "parameters=lora", targets, "parameters.rank=2", "optimizer.lr=1e-2")
    base = family.base(folder)
    held = dict(module["module"].denoiser.named_parameters())
    unadapted = {name.replace(".base_layer", ""): tensor for name, tensor in held.items() if ".lora_" not in name}
    assert same(dict(base.denoiser().named_parameters()), unadapted)
    trained = weights(run, 3)
    assert trained and all(".lora_" in name and name.startswith(base.prefix) for name in trained)
    assert all(tensor.any() for tensor in trained.values())
    status, said = entered(generate, f"run={run.path}", "export=exported")
    assert status == 0, said
    check_export(family, base, run, Path("exported"))


def test_weights_of_another_family_are_refused(family, folder, base, tmp_path):
    models = {family.name: family.base(folder), base.family: base}
    for name, other in ((family.name, base.family), (base.family, family.name)):
        file = tmp_path / f"{other}.safetensors"
        Delta(tensors={}, about={"family": other, "base": "another/model"}).save(file)
        with pytest.raises(VmcError, match=f"of the family {name}, but .* the family {other}, another/model; use that"):
            TunedModel.load(models[name], MotionToken(), file, hardware=Hardware())


def test_folders_of_another_family_are_refused(family, folder, base):
    with pytest.raises(VmcError, match=f"but this model is of the family {family.name}; give a folder of that family"):
        _ = family.model(path=base.folder, frames=family.frames).folder
    with pytest.raises(
        VmcError, match=f"of the family {base.family}; .*{family.name} opens {family.model.pipelines[0]}"
    ):
        _ = type(base)(path=folder).folder


def test_a_group_that_the_family_lacks_is_refused_with_those_that_it_has(family, folder, train):
    chosen = [*family.overrides(folder), "parameters=temporal_kv", "parameters.groups=[motion]"]
    with pytest.raises(VmcError, match=f"'motion'.*{', '.join(family.model.groups)}"):
        train(*chosen)


def test_recomputed_activations_give_the_same_gradients(family, folder):
    base = family.base(folder)
    shape = base.latent_shape(frames=family.frames, size=SIZE)
    noisy = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    text, times = base.text_encoder()("a square").repeated(2), base.process.timesteps(torch.tensor([0.2, 0.8]))
    gradients = []
    for recomputed in (False, True):
        denoiser = base.denoiser().requires_grad_(True)
        if recomputed:
            checkpoint_activations(base.blocks(denoiser))
        prediction = base.predict(denoiser, noisy, times, text)
        assert prediction.shape == noisy.shape
        prediction.square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in denoiser.named_parameters()})
    assert same(*gradients)
