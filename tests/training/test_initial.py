"""Runs that start from another run's weights: what they hold, and that they need that run no more."""

import itertools
import json
import shutil

import pytest
import torch

from vmc.evaluation.generation import TunedModel
from vmc.generate import main as generate
from vmc.models.token import MotionToken
from vmc.training import session as sessions
from vmc.training.hardware import Hardware
from vmc.training.tuned_weights import FORMAT, INIT, TOKEN, Delta
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint
from vmc.utils.tensor_files import save_tensors

LORA = ("parameters=lora", "parameters.rank=2", "optimizer.lr=1e-2")


@pytest.fixture(scope="module")
def motion_run(train_into, tmp_path_factory):
    """A run that has trained the temporal layers and the token's row."""
    folder = tmp_path_factory.mktemp("first") / "motion"
    return train_into(folder, "parameters=temporal", "token=trained", "token.learning_rate=0.1", "steps=2")


@pytest.fixture(scope="module")
def lora_run(train_into, tmp_path_factory):
    return train_into(tmp_path_factory.mktemp("first") / "lora", *LORA, "steps=2")


def weights(run, step: int) -> dict[str, torch.Tensor]:
    return dict(Delta.load(run.weights(step)).tensors)


def parameters(denoiser) -> dict[str, torch.Tensor]:
    return {name.replace(".base_layer", ""): tensor for name, tensor in denoiser.named_parameters()}


def assert_same(one, other) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.fixture
def begun(train, tmp_path, monkeypatch):
    """Puts a run together, and hands out its session and its module in place of training."""
    numbers = itertools.count()

    def begin(*overrides):
        kept = {}

        def keep(self, module, *_):
            kept.update(session=self, module=module)
            return "steps"

        with monkeypatch.context() as patch:
            patch.setattr(sessions.Session, "_fit", keep)
            train(*overrides, output=tmp_path / f"begun{next(numbers)}")
        return kept["session"], kept["module"]

    return begin


def test_a_run_goes_on_from_anothers_weights_and_needs_them_no_more(train, motion_run, base, tmp_path, entered):
    first = shutil.copytree(motion_run.path, tmp_path / "first")
    settings = (f"init={first}", "parameters=spatial_kv", "optimizer.lr=1e-2")
    whole = train(*settings, "steps=2", output=tmp_path / "whole")
    parts = train(*settings, "steps=1", output=tmp_path / "parts")
    shutil.rmtree(first)
    parts = train(*settings, "steps=2", output=tmp_path / "parts")
    assert_same(weights(parts, 2), weights(whole, 2))
    before, after = weights(motion_run, 2), weights(whole, 2)
    fresh = parameters(base.denoiser())
    own = {name for name in after if name not in before}
    assert {name.removeprefix("unet.") for name in own} == {name for name in fresh if base.groups["spatial_kv"](name)}
    assert not any(torch.equal(after[name], fresh[name.removeprefix("unet.")]) for name in own)
    assert_same({name: after[name] for name in before}, before)
    model = TunedModel.load(base, MotionToken(), whole.weights(2), hardware=Hardware())
    told = {f"unet.{name}": tensor for name, tensor in parameters(model.denoiser).items()}
    assert all(torch.equal(told[name], tensor) for name, tensor in after.items() if name != TOKEN)
    assert torch.equal(model.encoder.rows["motion"], before[TOKEN])
    mark = json.loads((whole.path / "run.json").read_text())["init_fingerprint"]
    assert Delta.load(whole.weights(2)).about["init"] == mark
    status, said = entered(generate, f"run={parts.path}", "prompt=a {token}", "sampler.steps=1", "export=out")
    assert status == 0, said


def test_a_run_that_is_begun_anew_keeps_the_start_of_the_one_before(train, motion_run, tmp_path):
    first = shutil.copytree(motion_run.path, tmp_path / "first")
    line = (f"init={first}", "steps=2", "checkpoint_every=0")
    with pytest.raises(VmcError, match="the loss of step"):
        train(*line, "optimizer.lr=1e30")
    shutil.rmtree(first)
    run = train(*line, "optimizer.lr=1e-3")
    kept = Delta.load(run.path / INIT)
    assert_same(kept.tensors, weights(motion_run, 2))
    assert json.loads((run.path / "run.json").read_text())["init_fingerprint"] == fingerprint(run.path / INIT)


def test_the_row_of_a_token_that_stands_still_is_read_by_captions_and_prompts(begun, motion_run, base):
    session, module = begun(f"init={motion_run.path}")
    text = "a square doing the sks sign"
    expected = TunedModel.load(
        base, MotionToken(trained=True, learning_rate=1.0), motion_run.weights(2), hardware=Hardware()
    ).encoder(text)
    assert torch.equal(session._encoders.text(text).embeddings_BLD, expected.embeddings_BLD)
    plain, _ = begun()
    assert not torch.equal(plain._encoders.text(text).embeddings_BLD, expected.embeddings_BLD)
    assert module.inherited.keys() == {TOKEN}, "the temporal layers are trained on"
    # Scores of step 0 are those of other runs of the base model alone.
    assert session._encoders.token_fingerprint != plain._encoders.token_fingerprint


def test_adapters_are_put_beside_weights_that_another_run_has_trained(train, motion_run, base):
    run = train(f"init={motion_run.path}", *LORA)
    held, before = weights(run, 3), weights(motion_run, 2)
    adapters = {name: tensor for name, tensor in held.items() if ".lora_" in name}
    assert_same({name: tensor for name, tensor in held.items() if name not in adapters}, before)
    assert len(adapters) > 0
    denoiser = parameters(TunedModel.load(base, MotionToken(), run.weights(3), hardware=Hardware()).denoiser)
    for name, tensor in held.items():
        name = name.removeprefix("unet.").replace(".weight", ".default.weight" if ".lora_" in name else ".weight")
        assert name == TOKEN or torch.equal(denoiser[name], tensor), name


def test_adapters_of_the_same_kind_are_trained_on(begun, lora_run):
    _, module = begun(f"init={lora_run.path}", *LORA)
    assert_same({name: tensor.detach() for name, tensor in module.trained_tensors().items()}, weights(lora_run, 2))
    assert not module.inherited


@pytest.mark.parametrize("settings", [("parameters=temporal_kv",), ("parameters=lora", "parameters.rank=3")])
def test_other_adapters_become_part_of_the_weights(begun, lora_run, base, tmp_path, settings):
    session, module = begun(f"init={lora_run.path}", *settings)
    lora = TunedModel.load(base, MotionToken(), lora_run.weights(2), hardware=Hardware()).denoiser
    noisy, time = torch.randn(1, 4, 8, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([500])
    text = session._encoders.text("a man")
    with torch.no_grad():
        one, other = (base.predict(denoiser, noisy, time, text) for denoiser in (lora, module.denoiser))
    assert torch.allclose(one, other, atol=1e-5)
    # And what is written is the model in memory.
    Delta(tensors=module.weights(), about=session._about()).save(tmp_path / "weights.safetensors")
    read = TunedModel.load(base, MotionToken(), tmp_path / "weights.safetensors", hardware=Hardware()).denoiser
    assert_same(parameters(read), parameters(module.denoiser))


def test_a_run_of_a_version_without_init_goes_on(train):
    run = train("steps=2")
    file = run.path / "config.yaml"
    file.write_text(file.read_text().replace("init: null\n", ""))
    assert train("steps=3").weights(3).is_file()


def test_weights_of_a_version_with_one_token_and_one_family_are_read(base, tmp_path):
    row, name = torch.arange(64.0), "conv_in.bias"
    bias = dict(base.denoiser().named_parameters())[name] + 1
    about = {"format": FORMAT, "base": "a folder", "base_fingerprint": base.fingerprint("denoiser"), "groups": ["all"]}
    about["token"] = {"word": "sks", "added": False, "start": None}
    save_tensors({TOKEN: row, f"unet.{name}": bias}, tmp_path / "old.safetensors", about=about)
    model = TunedModel.load(base, MotionToken(), tmp_path / "old.safetensors", hardware=Hardware())
    assert torch.equal(model.encoder.rows["motion"], row)
    assert torch.equal(dict(model.denoiser.named_parameters())[name], bias)


def test_the_rows_of_several_tokens_come_back_from_a_file(base, tmp_path):
    token = MotionToken(further={"subject": {"word": "pll"}})
    rows = {TOKEN: torch.rand(64), f"{TOKEN}.subject": torch.rand(64)}
    about = {"base_fingerprint": base.fingerprint("denoiser"), "family": "unet3d", "token": token.describe()}
    Delta(tensors=rows, about=about).save(tmp_path / "rows.safetensors")
    assert Delta.load(tmp_path / "rows.safetensors").about["token"]["further"]["subject"]["word"] == "pll"
    encoder = TunedModel.load(base, token, tmp_path / "rows.safetensors", hardware=Hardware()).encoder
    assert torch.equal(encoder.rows["motion"], rows[TOKEN])
    assert torch.equal(encoder.rows["subject"], rows[f"{TOKEN}.subject"])
    with pytest.raises(VmcError, match=r"hold text_encoder\.token\.subject, which this model does not have"):
        TunedModel.load(base, MotionToken(), tmp_path / "rows.safetensors", hardware=Hardware())


def test_another_start_is_another_run(train, motion_run, tmp_path):
    train("steps=2")
    with pytest.raises(VmcError, match=r"different config \(init differ\)"):
        train("steps=3", f"init={motion_run.path}")
    run = train("steps=2", f"init={motion_run.weights(2)}", output=tmp_path / "other")
    assert (run.path / INIT).is_file()


@pytest.fixture
def wrong(motion_run, tmp_path):
    """Weights that say another thing of themselves."""
    delta = Delta.load(motion_run.weights(2))

    def write(**about):
        file = tmp_path / f"{'-'.join(about)}.safetensors"
        Delta(tensors=delta.tensors, about={**delta.about, **about}).save(file)
        return file

    return write


def test_a_start_that_cannot_be_is_refused_in_a_sentence(train, wrong, motion_run, tmp_path, monkeypatch):
    monkeypatch.setattr("vmc.models.base.VideoModel.open", None)  # nothing is loaded
    shutil.copytree(motion_run.path, tmp_path / "bare", ignore=shutil.ignore_patterns("weights"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    cases = [
        (tmp_path / "nothing", "which does not exist; give the folder of a run"),
        (tmp_path / "empty", "which holds no run; give the folder of a run"),
        (tmp_path / "bare", "which has trained no weights yet"),
        (tmp_path / "notes.txt", "notes.txt is damaged"),
        (wrong(base_fingerprint="another"), "which cannot be started from: .*trained on another model"),
        (wrong(family="wan"), "which cannot be started from: .*the family wan"),
        (wrong(token={"word": "pll"}), r"hold the trained row of 'pll'; give token\.word=pll"),
    ]
    for init, words in cases:
        with pytest.raises(VmcError, match=words):
            train(f"init={init}", output=tmp_path / "run")
    with pytest.raises(VmcError, match="parameters is null, which trains nothing"):
        train(f"init={motion_run.path}", "+baseline=pretrained", output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
