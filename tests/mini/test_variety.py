"""Training a finished pipeline on with two people, tempo and sequences, and measuring what it draws of them."""

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file

from vmc.mini.__main__ import main
from vmc.mini.card import suites
from vmc.mini.card.networks import Networks
from vmc.mini.card.settings import read_settings, stack_file
from vmc.mini.makers.common import prepare_and_train
from vmc.mini.makers.pretraining.clips import MIXED, Clips, spec_of
from vmc.mini.makers.pretraining.denoiser import Drawing
from vmc.mini.makers.pretraining.latents import Latents
from vmc.mini.makers.pretraining.variety import VarietyPlan, kind_of
from vmc.mini.makers.pretraining.variety_command import KINDS
from vmc.mini.shipped import WEIGHTS, shipped
from vmc.mini.world.gestures import KNOWN
from vmc.tools.learning.training import TrainOptions
from vmc.utils.errors import VmcError

UNET = "unet/diffusion_pytorch_model.safetensors"
OTHERS = ("vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors")


def test_nine_in_ten_clips_are_of_several_people_a_tempo_or_two_gestures():
    specs = [spec_of(MIXED + number) for number in range(400)]
    kinds = Counter(
        "people" if len(spec.persons) == 2 else "sequence" if len(spec.gestures) == 2 else spec.tempo for spec in specs
    )
    assert 0.28 < kinds["people"] / 400 < 0.44
    assert 0.22 < kinds["sequence"] / 400 < 0.38
    assert 0.15 < (kinds["slow"] + kinds["quick"]) / 400 < 0.35
    assert kinds["normal"] / 400 < 0.15
    assert {name for spec in specs for name in spec.gestures} == set(KNOWN)
    assert all(person.traits.lag == 0.5 for spec in specs[::2] for person in spec.persons)
    assert {spec.framing for spec in specs[::2]} == {"webcam"} and {spec.framing for spec in specs[1::2]} == {"web"}


def test_clips_of_a_kind_are_drawn_as_often_as_it_is_said():
    times = dict(zip(KINDS, (2, 3, 1, 0), strict=True))
    clips = Clips(40, first=MIXED)
    chosen = Counter(VarietyPlan(pipeline=shipped("pipeline"), clips=1, plain=1, objects=1, times=times).chosen(clips))
    assert {kind_of(clips.number(window)) for window in range(len(clips))} == set(KINDS)
    assert all(chosen[window] == times[kind_of(clips.number(window))] for window in range(len(clips)))
    drawing = Drawing(Latents(clips, None), (), None, 0, 16, chosen=tuple(chosen.elements()))  # type: ignore[arg-type]
    one_round = [window for step in range(len(list(chosen.elements())) // 16) for window in drawing.windows(step)]
    assert not Counter(one_round) - chosen
    with pytest.raises(VmcError, match="--times is 0 0 0 0"):
        VarietyPlan(pipeline=shipped("pipeline"), clips=1, plain=1, objects=1, times=dict.fromkeys(KINDS, 0))


@pytest.mark.slow
def test_the_unet_alone_is_trained_on_and_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("VMC_CACHE", str(tmp_path / "cache"))
    plan = VarietyPlan(pipeline=shipped("pipeline"), clips=2, plain=1, objects=1, validation=1, batch=8)
    options = TrainOptions(output=tmp_path / "out", steps=1, threads=1)
    prepare = partial(plan.prepare, workers=1)
    first = prepare_and_train(options, prepare, lambda: plan.make_task(3))
    assert first is not None and first.step == 1
    second = prepare_and_train(replace(options, steps=2), prepare, lambda: plan.make_task(3))
    assert second is not None and second.step == 2
    made = tmp_path / "out" / "pipeline"
    for name in OTHERS:
        one, other = load_file(made / name), load_file(shipped("pipeline") / name)
        assert all(torch.equal(one[key], other[key]) for key in other)
    one, other = load_file(made / UNET), load_file(shipped("pipeline") / UNET)
    assert one.keys() == other.keys() and any(not torch.equal(one[key], other[key]) for key in other)


def test_every_known_gesture_is_asked_for_in_every_suite():
    asked = suites.cases(2)
    assert Counter((case.prompt.suite, case.gesture) for case in asked) == {
        (suite, gesture): 2 for suite in suites.MEASURED for gesture in KNOWN
    }
    assert all(case.prompt.then != case.gesture for case in asked)
    assert len({case.record.video for case in asked}) == len(asked)


def test_rendered_clips_are_measured_by_the_suites_metrics():
    networks = Networks(WEIGHTS, read_settings(stack_file()))
    easy = [case for case in suites.cases(1) if case.gesture in ("Thumb Up", "Stop Sign")]
    videos = [(case, suites.window_of(case.spec, networks)) for case in easy]
    found = suites.measure(networks, videos, gestures=("Thumb Up", "Stop Sign"))
    assert set(found) == set(suites.MEASURED)
    assert found["people"]["people_share"]["value"] >= 0.5
    assert found["sequence"]["sequence_share"]["value"] >= 0.5


def test_options_out_of_range_are_said(tmp_path, capsys):
    assert main(["suites", "--each", "0"]) == 2
    assert "--each is 0" in capsys.readouterr().err
    assert main(["variety", "--minutes", "1", "--pipeline", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "holds no unet" in capsys.readouterr().err
