"""An experiment is put together once from the config, and says what cannot be before anything is loaded."""

from dataclasses import dataclass, replace

import pytest
import torch
from hydra.core.hydra_config import HydraConfig

from vmc.config.build import build_experiment, build_part
from vmc.config.command import compose
from vmc.models.latent_diffusion import ImageAutoencoder
from vmc.models.zeroscope import UNet3D
from vmc.training.encoded_cache import Encoders
from vmc.utils.errors import VmcError


@dataclass(frozen=True, kw_only=True)
class Halved(UNet3D):
    """Of which every second frame is a latent."""

    def latent_shape(self, *, frames, size):
        if frames % 2 == 0:
            raise VmcError(f"data.frames is {frames}; this autoencoder keeps 2n + 1 frames")
        return super().latent_shape(frames=frames // 2 + 1, size=size)


@pytest.fixture
def composed(blank):
    def run(command: str, *overrides: str):
        small = [f"model.path={blank}", "trainer.threads=1", "sampler.steps=2"]
        return compose(command, [*small, *overrides])

    yield run
    HydraConfig.instance().cfg = None


def test_one_place_makes_the_parts_of_every_command(composed, clips):
    own = ["data=videos", f"data.path={clips}", "motion=custom", "motion.caption=a {token} square", "data.frames=4"]
    trained = build_experiment(composed("train", *own, "seed=3", "regularization=none", "prompts.limit=2"))
    scored = build_experiment(composed("evaluate", *own, "seed=3", "regularization=none", "prompts.limit=2"))
    assert trained.model == scored.model and trained.model.frames == trained.data.frames == 4
    for part in ("data", "motion", "token", "sampler", "hardware", "prompts", "seed", "latent_shape", "cache"):
        assert repr(getattr(trained, part)) == repr(getattr(scored, part)), part
    assert len(trained.prompts) == 6 and trained.threshold is not None
    alone = build_experiment(composed("generate", "prompt=a {token} man", "seeds=[1,2]"))
    assert [(prompt.text, prompt.seed) for prompt in alone.prompts] == [("a sks man", 1), ("a sks man", 2)]
    assert alone.suite is None and alone.data.frames == alone.model.frames == 8


def test_nothing_is_asked_of_metrics_and_test_set_where_nothing_is_scored(composed, clips):
    own = ["data=videos", f"data.path={clips}", "motion=custom", "regularization=none"]
    alone = build_experiment(composed("train", *own, "evaluate_every=0", "prompts.file=nowhere.csv"))
    assert (alone.suite, alone.prompts, alone.threshold) == (None, [], None)
    with pytest.raises(VmcError, match=r"^prompts.file is null, .*; give prompts.file=FILE$"):
        build_experiment(composed("train", *own, "prompts.file=null"))


def test_videos_that_the_model_cannot_make_are_refused_before_anything_is_loaded(composed, base, monkeypatch):
    whole = build_experiment(composed("generate", "prompt=a"))
    monkeypatch.setattr(Halved, "open", lambda *_: pytest.fail("a network was loaded"))
    halved = Halved(path=base.path, frames=8, size=64)
    with pytest.raises(VmcError, match=r"^data.frames is 8; this autoencoder keeps 2n \+ 1 frames$"):
        replace(whole, model=halved)
    assert replace(whole, model=halved, data=replace(whole.data, frames=9)).latent_shape[1] == 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"generation_batch": 0}, "generation_batch is 0; it must be at least 1, or null to find it"),
        ({"seed": -1}, "seed is -1; it must be a whole number of at least 0"),
    ],
)
def test_numbers_out_of_their_range_are_refused(composed, changes, said):
    whole = build_experiment(composed("generate", "prompt=a"))
    with pytest.raises(VmcError) as raised:
        replace(whole, **changes)
    assert str(raised.value) == said


def test_what_a_class_refuses_is_told_in_its_own_words(composed):
    with pytest.raises(VmcError) as raised:
        build_part(composed("train", "sampler.steps=0"), "sampler")
    assert str(raised.value).startswith("sampler.steps is 0")
    assert build_part(composed("train"), "nothing.here") is None


def test_a_guidance_interval_without_a_step_is_refused_before_anything_is_loaded(composed):
    interval = "sampler.guidance_interval"
    assert build_experiment(composed("generate", "prompt=a", f"{interval}=[0.3,5.4]")).sampler.guidance_interval
    with pytest.raises(VmcError, match=r"guidance_interval is \[900, 901\], in which none of the 2 steps lies"):
        build_experiment(composed("generate", "prompt=a", f"{interval}=[900,901]"))


def test_a_clip_of_two_runs_is_encoded_once(composed, clips, monkeypatch):
    """Regularization clips that motions and seeds share: the cache's key is of the clip and how it is encoded."""
    own = ["data=videos", f"data.path={clips}", "motion=custom", "motion.caption=a {token} square", "data.frames=4"]
    encoded, found = [], []
    encode = ImageAutoencoder.encode
    monkeypatch.setattr(ImageAutoencoder, "encode", lambda self, it: encoded.append(len(it)) or encode(self, it))
    for change in (["seed=1"], ["seed=2", "motion.name=other", "motion.mirror=true", "token.word=pll"]):
        experiment = build_experiment(composed("train", *own, *change, "regularization=none"))
        (clip, *_) = experiment.data.source.exemplars(label=None, caption="a", seed=0)
        transform = experiment.data.transform(augmented=False, mirror=False, whole=False)
        found.append(Encoders(experiment).moments([clip], [transform], [(0, 1), (0, 0), (0, 1)]))
    assert encoded == [4, 4] and found[0].keys() == found[1].keys() == {(0, 0), (0, 1)}
    assert all(torch.equal(found[0][pair], found[1][pair]) for pair in found[0])
