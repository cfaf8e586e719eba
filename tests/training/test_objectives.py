"""Runs with other objectives than Eq. 1: what they log, that a resumed one is the uninterrupted one, and an own one."""

import csv
import json

import pytest
import torch
from safetensors.torch import load_file

from vmc.runs.wandb_mirror import NoMirror
from vmc.train import main
from vmc.utils.errors import VmcError

PARTS = ("loss_denoising", "loss_appearance_debiased")


def rows(folder) -> list[dict[str, str]]:
    """Of `train.csv`, the time aside."""
    with (folder / "train.csv").open() as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def test_appearance_debiased_is_resumed_to_the_bit_and_logs_its_parts(train, clips, tmp_path):
    others = ("regularization=real", f"regularization.path={clips.parent / 'related'}")
    chosen = ("objective=appearance_debiased", *others)
    whole = train(*chosen, "steps=2", output=tmp_path / "whole")
    train(*chosen, "steps=1", output=tmp_path / "parts")
    parts = train(*chosen, "steps=2", output=tmp_path / "parts")
    assert rows(parts.path) == rows(whole.path)
    one, two = load_file(whole.weights(2)), load_file(parts.weights(2))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    for row in rows(whole.path):
        assert sum(float(row[name]) for name in PARTS) == pytest.approx(float(row["loss"]), rel=1e-5)
        paired = float(row["loss_motion"]) + 0.5 * float(row["loss_regularization"])
        assert paired == pytest.approx(float(row["loss"]), rel=1e-5)

    # The parts of a first step, whose weights are the base model's: Eq. 1 is that of a run of Eq. 1, and neither ranks
    # nor micro-batches change which frame is the anchor.
    plain = train(*others, "steps=1", output=tmp_path / "plain")
    assert rows(plain.path)[0]["loss"] == rows(whole.path)[0]["loss_denoising"]
    halves = train(*chosen, "trainer.accumulate=2", "steps=1", output=tmp_path / "halves")
    for name in PARTS:
        assert float(rows(halves.path)[0][name]) == pytest.approx(float(rows(whole.path)[0][name]), rel=1e-5)


def test_a_clip_of_one_frame_is_refused_before_anything_is_loaded(train, tmp_path, monkeypatch):
    monkeypatch.setattr("vmc.models.zeroscope.UNet3D.open", lambda *_, **__: pytest.fail("a model is loaded"))
    with pytest.raises(VmcError, match=r"objective is appearance_debiased, .* has 1; give more data\.frames"):
        train("objective=appearance_debiased", "data.frames=1")
    assert not (tmp_path / "run").exists()


OWN = '''
from vmc.diffusion.objective import Objective, denoising_loss


class Shrunk(Objective):
    """Eq. 1 against a target that is shrunk, and a bonus for clean estimates near the latents."""

    def __init__(self, *, factor: float):
        self.factor = factor

    def __call__(self, prediction, target, context):
        clean = context.process.clean_estimate(prediction, context.noisy_BCFHW, context.times_B)
        return {
            "shrunk": denoising_loss(prediction, self.factor * target),
            "clean": 0.01 * denoising_loss(clean, context.latents_BCFHW),
        }
'''


OWN_TIMES = '''
from vmc.diffusion.timesteps import TimestepSampler


class Middle(TimestepSampler):
    """Times near 1/2."""

    def density(self, times_T):
        return ((times_T - 0.5).abs() < 0.1).double()
'''


def test_an_own_objective_and_own_times_are_a_class_and_a_yaml_each(entered, tmp_path, monkeypatch):
    (tmp_path / "own_losses.py").write_text(OWN)
    (tmp_path / "own_times.py").write_text(OWN_TIMES)
    for name, said in (
        ("objective/shrunk.yaml", "_target_: own_losses.Shrunk\nfactor: 0.5\n"),
        ("timesteps/middle.yaml", "_target_: own_times.Middle\n"),
    ):
        (tmp_path / "own" / name).parent.mkdir(parents=True)
        (tmp_path / "own" / name).write_text(said)
    monkeypatch.syspath_prepend(tmp_path)
    logged = []
    monkeypatch.setattr(NoMirror, "log", lambda self, values, *, step: logged.append((step, values)))
    words = ("data=videos", "motion=custom", "motion.caption=a {token}", "regularization=none", "batch_size=2")
    words += ("logger=csv", "evaluate_every=0", "trainer.threads=1", "data.fps=12", "stop.appearance=null")
    words += (f"model.path={entered.model}", f"data.path={entered.clips}", "steps=2", "output=run")
    words = ("--config-dir", str(tmp_path / "own"), "objective=shrunk", "timesteps=middle", *words)
    status, said = entered(main, *words, "objective.factor=0.25")
    assert status == 0, said
    found = rows(tmp_path / "run")
    assert [row["step"] for row in found] == ["1", "2"] and list(found[0])[-2:] == ["loss_shrunk", "loss_clean"]
    assert [step for step, _ in logged] == [1, 2]
    for row, (_, values) in zip(found, logged, strict=True):
        assert {"loss", "loss_motion", "loss_shrunk", "loss_clean"} <= values.keys()
        assert float(row["loss_shrunk"]) == values["loss_shrunk"] and float(row["loss_clean"]) == values["loss_clean"]
        assert values["loss_shrunk"] + values["loss_clean"] == pytest.approx(values["loss"], rel=1e-5)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"
    status, said = entered(main, *words, "objective.factr=0.25")
    assert status == 1 and "objective.factr" in said and said.count("\n") == 1
