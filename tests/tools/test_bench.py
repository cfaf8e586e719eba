"""Benchmarks measure what they say and compute ratios from it; how fast anything is, no test asserts."""

import json
import operator
import subprocess
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vmc import bench
from vmc.config.build import build_experiment, build_session
from vmc.evaluation.generation import VideoGenerator
from vmc.models.text import TextEncoder
from vmc.models.zeroscope import FrameConv3d
from vmc.runs.folder import RunFolder
from vmc.tools.bench import choices, common, train, videos
from vmc.tools.bench.common import PlainLoop, compose_run, describe, make_report, report_text, take_turns
from vmc.tools.bench.train import PlainBatches, TrainingSteps, arithmetic_figures, peak_of, step_flops
from vmc.training.hardware import Hardware
from vmc.utils.errors import VmcError


@pytest.fixture
def small(blank) -> list[str]:
    """Overrides of a small run."""
    return [f"model.path={blank}", "model.frames=4", "model.size=32", "trainer.threads=1", "sampler.steps=1"]


@pytest.fixture
def here(monkeypatch):
    """In place of a process of its own: the task runs here."""
    monkeypatch.setattr(common, "apart", lambda task: (task(), 2 * 10**6))


def test_a_report_reads_and_is_a_table():
    figures = {"one": ("s", np.array([0.25, 0.5])), "another": ("MB", np.array([1234.4]))}
    settings = {"videos": 2, "video": [8, 64, 64]}
    report = make_report("generate", settings, figures, ["A note."], Hardware(threads=1))
    assert json.loads(json.dumps(report)) == report
    assert report["figures"]["one"] == {"unit": "s", "median": 0.375, "low": 0.25, "high": 0.5, "values": [0.25, 0.5]}
    assert ", 1 threads; python " in report["machine"] and f"torch {version('torch')}," in report["machine"]
    lines = report_text(report).splitlines()
    assert lines[0] == "generate: videos 2, video [8, 64, 64]" and lines[4] == "A note."
    assert lines[2].split() == ["one", "0.375", "0.25", "0.5", "s"]
    assert lines[3].split() == ["another", "1,234", "1,234", "1,234", "MB"]


def test_tasks_take_turns_and_swap_places():
    order: list[str] = []
    tasks = {name: lambda name=name: order.append(name) or len(order) for name in "ab"}
    timed = take_turns(tasks, repeats=3, label="turns")
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert (timed["a"].tolist(), timed["b"].tolist()) == ([1, 4, 5], [2, 3, 6])


def test_making_videos_is_measured_against_the_plain_loop(small, blank, monkeypatch, here):
    sizes, encoded = [], []
    latents, encode = VideoGenerator.latents, TextEncoder.__call__
    monkeypatch.setattr(VideoGenerator, "latents", lambda self, some: sizes.append(len(some)) or latents(self, some))
    monkeypatch.setattr(TextEncoder, "__call__", lambda self, text: encoded.append(text) or encode(self, text))
    words = ["generate", *small, "--videos", "3", "--repeats", "1", "--compare", "plain"]
    report = videos.generate(bench.parse(words))
    found = {name: figure["median"] for name, figure in report["figures"].items()}
    assert found["plain / ours"] == pytest.approx(found["a video, plain"] / found["a video"])
    assert {"batches, alone", "batches, taken back", "texts, alone", "texts, taken back"} < found.keys()
    assert found["peak memory, ours"] == found["peak memory, plain"] == 2.0
    assert sizes[:6] == [2, 3, 1, 1, 1, 1], "ours and the plain loop's, each after a warm-up of two videos"
    assert report["settings"]["sampler_steps"] == 1 and report["settings"]["videos"] == 3
    assert str(blank) not in json.dumps(report)
    experiment = build_experiment(compose_run(small, scored=True))
    for plain, times in (((), 1), (("texts",), 2)):
        encoded.clear()
        videos.make_videos(videos.untuned_generator(experiment, plain=plain), experiment.prompts[:2])
        assert encoded.count(experiment.prompts[0].text) == times, "two seeds of a subject"
    of_two = build_experiment(compose_run([*small, "generation_batch=2"], scored=True))
    assert videos.untuned_generator(of_two).batch_size == 2


def test_scoring_is_measured_against_generating_and_the_plain_loop(small, metrics, monkeypatch):
    monkeypatch.setattr(videos, "CLIPS", {"exemplars": 1, "regularization": 1})
    report = videos.evaluate(
        bench.parse(["evaluate", *small, *metrics, "--videos", "2", "--repeats", "2", "--compare", "plain"])
    )
    found = {name: figure["values"] for name, figure in report["figures"].items()}
    plain, ours = ("generating, plain", "scoring, plain"), ("generating", "scoring")
    for name in (*plain, *ours):
        assert len(found[name]) == 2 and report["figures"][name]["unit"] == "s/video", name
    share = [100 * one / other for one, other in zip(found["scoring"], found["generating"], strict=True)]
    assert found["scoring / generating"] == pytest.approx(share)
    assert report["settings"]["videos"] == 2
    sums = [sum(found[name][place] for name in plain) / sum(found[name][place] for name in ours) for place in (0, 1)]
    assert found["generating and scoring, plain / ours"] == pytest.approx(sums)


def test_the_plain_loop_trains_on_the_same_batches(small):
    config = compose_run([*small, "batch_size=2"], scored=False)
    loops = [TrainingSteps(config, plain=plain) for plain in ((), ("encoders", "groups", "kernels"))]
    cached, plain = (loop.batches for loop in loops)
    assert isinstance(plain, PlainBatches)
    for number in range(2):
        pair = cached.batch(number, range(2)), plain.batch(number, range(2))
        (one,), (other,) = (batch.groups for batch in pair)
        assert torch.equal(one.noise_BCFHW, other.noise_BCFHW) and torch.equal(one.times_B, other.times_B)
        assert torch.allclose(one.latents_BCFHW, other.latents_BCFHW, atol=1e-4)
        assert torch.allclose(one.text.embeddings_BLD, other.text.embeddings_BLD, atol=1e-4)
        assert len(one.latents_BCFHW) == 4, "an exemplar and a regularization clip in each draw"
        losses = [loop.module.training_step(batch, 0).item() for loop, batch in zip(loops, pair, strict=True)]
        assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    kinds = [{type(layer) for layer in loop.module.denoiser.modules()} for loop in loops]
    assert FrameConv3d in kinds[0] - kinds[1] and torch.nn.Conv3d in kinds[1] - kinds[0]
    groups = [loop.module.configure_optimizers().param_groups for loop in loops]
    assert len(groups[0]) == 1 and [len(group["params"]) for group in groups[1]] == [1] * len(groups[0][0]["params"])


def test_a_choice_is_plain_only_where_the_run_differs_from_the_plain_loop(small):
    chosen = train.PLAIN.differing
    assert chosen(small) == ["encoders", "recomputation", "groups", "kernels"]
    assert chosen([*small, "trainer.log_every=10"])[-1] == "reading"
    low = [*small, "trainer.precision=bf16-mixed"]
    assert chosen([*low, "trainer.checkpoint_activations=true"]) == ["encoders", "weights", "groups", "kernels"]
    config = compose_run(low, scored=False)
    for plain, dtype in (((), torch.bfloat16), (("weights",), torch.float32)):
        module = TrainingSteps(config, plain=plain).module
        frozen = {tensor.dtype for tensor in module.denoiser.parameters() if not tensor.requires_grad}
        assert frozen == {dtype}


def test_a_choice_is_shared_from_the_loops_of_its_round(here):
    timed = {(): [1.0, 2.0], ("a", "b"): [6.0, 8.0], ("a",): [2.0, 3.0], ("b",): [3.0, 2.0]}
    asked: list[float] = []

    def task(plain):
        asked.append(timed[tuple(sorted(plain))][len(asked) // 6 % 2])  # six loops a round
        return asked[-1]

    loop = PlainLoop(scored=False, choices={"a": ((), "a is slow"), "b": ((), "b is slow")})
    arguments = SimpleNamespace(overrides=[], compare="plain", repeats=2, beside=None)
    figures, notes = loop.compare("a step", task, arguments)
    assert notes[-1].endswith("Plain is a loop like the release's: a is slow; b is slow.")
    assert {name: values.tolist() for name, (unit, values) in figures.items() if unit == "x"} == {
        **{"plain / ours": [6.0, 4.0], "peak memory, plain / ours": [1.0]},
        **{"a, alone": [2.0, 4.0], "a, taken back": [2.0, 1.5]},
        **{"b, alone": [3.0, 8.0 / 3.0], "b, taken back": [3.0, 1.0]},
    }


def test_a_gain_below_the_recorded_one_and_its_spread_is_told():
    def report(*values: float, unit: str = "x") -> dict:
        return make_report("train", {}, {"gain": (unit, np.array(values))}, [], Hardware(threads=1))

    assert common.regressions(report(1.0, 1.2), report(1.3, 1.5)) == [
        "regression: gain is 1.1 (1 to 1.2), recorded was 1.4 (1.3 to 1.5)"
    ]
    assert common.regressions(report(1.0, 1.4), report(1.3, 1.5)) == [], "the ranges overlap"
    assert common.regressions(report(1.0), report(2.0, unit="s")) == [], "seconds are another machine's"


def test_arithmetic_is_counted_and_compared_with_the_peak(small, monkeypatch):
    sessions = [
        build_session(compose_run([*small, f"batch_size={size}"], scored=False), RunFolder(Path("none"), config={}))
        for size in (1, 2)
    ]
    one, two = map(step_flops, sessions)
    assert two == 2 * one > 1e9
    monkeypatch.setattr(train, "step_flops", lambda session: 2 * 10**12)
    figures = arithmetic_figures(sessions[0], np.array([0.5, 1.0]))
    assert figures["arithmetic"][1].tolist() == [4.0, 2.0] and len(figures) == 2, "a processor's peak is not known"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 PCIe")
    gpu = SimpleNamespace(device=torch.device("cuda"), precision="bf16-mixed")
    assert peak_of(gpu) == 756.0 and peak_of(SimpleNamespace(device=gpu.device, precision="32-true")) == 51.0
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "another")
    assert peak_of(gpu) is None


def test_the_run_that_is_chosen_is_measured(small, monkeypatch):
    """Its attention, precision and optimizer, what it trains, recomputed or not: not those of the miniature."""
    words = ["stack=paper", "trainer=cpu", *small, "parameters=lora", "trainer.checkpoint_activations=true"]
    config = compose_run([*words, "trainer.precision=bf16-mixed", "optimizer.lr=0.125"], scored=False)
    recomputed = []
    monkeypatch.setattr("vmc.training.session.checkpoint_activations", recomputed.append)
    loop = TrainingSteps(config)
    assert loop.experiment.model.attention == "fused" and loop.experiment.hardware.precision == "bf16-mixed"
    assert all(".lora_" in name for name in loop.module.trained_tensors())
    assert loop.module.configure_optimizers().param_groups[0]["lr"] == 0.125
    assert len(recomputed) == 1 and loop.experiment.sampler.guidance == 9.0
    assert describe(config, loop.experiment) == {
        "stack": "paper",
        "model": "blank",
        "video": [4, 32, 32],
        "attention": "fused",
        "precision": "bf16-mixed",
    }


def test_training_is_measured_against_the_plain_loop_and_beside_a_busy_process(small, monkeypatch, here):
    words = ["train", *small, "batch_size=1", "--steps", "1", "--repeats", "1"]
    some = {"groups": train.PLAIN.choices["groups"]}
    monkeypatch.setattr(train, "PLAIN", replace(train.PLAIN, choices=some))
    both = train.train(bench.parse([*words, "--compare", "plain", "--beside", "1"]))["figures"]
    expected = both["a step, plain"]["median"] / both["a step"]["median"]
    assert both["plain / ours"]["median"] == pytest.approx(expected)
    assert both["peak memory, plain / ours"]["median"] == 1.0
    expected = both["a step, beside 1 busy"]["median"] / both["a step"]["median"]
    assert both["a step, beside 1 busy / alone"]["median"] == pytest.approx(expected)
    alone = train.train(bench.parse(words))["figures"]
    assert list(alone) == ["a step", "peak memory, ours", "arithmetic of a step", "arithmetic"]


def test_kernels_are_told_by_kind(small, monkeypatch, here):
    words = ["train", *small, "batch_size=1", "--steps", "2", "--repeats", "1"]
    monkeypatch.setattr(common, "apart", lambda task: (task(), 0))
    found = train.train(bench.parse([*words, "--kernels"]))["figures"]
    kinds = {name: figure["median"] for name, figure in found.items() if name.startswith("kernels, ")}
    assert list(kinds) == [f"kernels, {kind}" for kind in [*train.KINDS, train.REST]]
    assert min(kinds[f"kernels, {kind}"] for kind in ("optimizer", "convolutions", "matrix products")) > 0
    assert sum(kinds.values()) <= found["a step"]["median"] * 20 and found["kernels"]["median"] > 1000


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckcrs_nhwc_tilesize128", "convolutions"),
        ("void cudnn::ops::nchwToNhwcKernel<__nv_bfloat16, __nv_bfloat16, float, false>", "layout"),
        ("nvjet_tst_128x256_64x4_1x2_h_bz_coopA_TNT", "matrix products"),
        ("void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64, 128, 128, 4>>", "attention"),
        ("void at::native::(anonymous namespace)::RowwiseMomentsCUDAKernel<float>", "normalization"),
        ("void at::native::multi_tensor_apply_kernel<FusedAdamMathFunctor<float, 4>>", "optimizer"),
        ("void at::native::elementwise_kernel<128, 4, direct_copy_kernel_cuda>", "copies and casts"),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::silu_kernel>", "elementwise and others"),
        ("aten::addmm", "matrix products"),
    ],
)
def test_a_kernel_is_known_by_its_name(name, kind):
    assert train.kind_of(name) == kind


def test_busy_processes_are_gone_afterwards(monkeypatch):
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *words: started.append(popen(*words)) or started[-1])
    assert common.beside(2, lambda: float(sum(one.poll() is None for one in started))) == 2.0
    assert all(one.poll() is not None for one in started)


def test_every_case_composes_and_one_that_does_not_is_named(monkeypatch):
    cases = choices.find_cases(["paper"])
    assert len({case.label for case in cases}) == len(cases) == len(choices.TRAINING) + len(choices.SAMPLING)
    some = [case.label for case in choices.find_cases(["paper", "mini"], only="mini sampling, CUDA|paper.*kept$")]
    assert some == [
        *("paper training, like the release", "paper training, activations kept"),
        *("paper training, compiled layers, activations kept", "paper training, one CUDA graph, activations kept"),
        *("mini sampling, like the release", "mini sampling, CUDA graphs"),
    ]
    with pytest.raises(VmcError, match=r"--only is nothing, which no case's name contains"):
        choices.find_cases(["mini"], only="nothing")
    with pytest.raises(VmcError, match=r"--only is \(, which is no regular expression"):
        choices.find_cases(["mini"], only="(")
    monkeypatch.setattr(choices, "TRAINING", {"good": [], "wrong": ["trainer.checkpoint=1"]})
    with pytest.raises(VmcError, match=r"case 'mini training, wrong': trainer.checkpoint is unknown; did you mean"):
        choices.find_cases(["mini"])


def test_cases_are_measured_against_the_release_and_a_failed_one_ends_no_other(small, monkeypatch, here, capsys):
    named = {choices.RELEASE: [], "kept": ["batch_size=1"], "none": ["+baseline=pretrained"]}
    monkeypatch.setattr(choices, "TRAINING", named)
    monkeypatch.setattr(choices, "SAMPLING", {choices.RELEASE: [], "as shipped": []})
    monkeypatch.setattr(choices, "SHORT", [])
    words = ["choices", "--stack", "mini", "trainer=cpu", *small, "batch_size=1", "--steps", "1", "--videos", "1"]
    monkeypatch.setattr(train, "PLAIN", replace(train.PLAIN, choices={"groups": train.PLAIN.choices["groups"]}))
    written = []
    monkeypatch.setattr(choices, "write_json", lambda file, found: written.append((file.name, len(found["figures"]))))
    report = choices.choices(bench.parse([*words, "--repeats", "1", "--output", "found.json"]))
    assert written == [("found.json", known) for known in (2, 5, 5, 7, 10)]  # each case as soon as it is known
    said = capsys.readouterr().out
    assert "mini training, kept ..." in said and "  mini training, none failed: parameters is null" in said
    found = {name: figure["median"] for name, figure in report["figures"].items()}
    for kind, case in (("training", "kept"), ("sampling", "as shipped")):
        label = f"mini {kind}, {case}"
        assert found[f"{label}, gain"] == pytest.approx(found[f"mini {kind}, {choices.RELEASE}"] / found[label])
        assert found[f"{label}, memory"] > 0
    (failed,) = [note for note in report["notes"] if "failed" in note]
    assert failed.startswith("mini training, none failed: parameters is null, which trains nothing")


def test_starting_gives_the_first_run_apart(monkeypatch):
    times = iter([9.0, 90.0, 20.0, 2.0, 3.0, 30.0])
    monkeypatch.setattr(train, "seconds", lambda *task: next(times))
    monkeypatch.setattr(train, "first_step_seconds", lambda overrides: next(times))
    found = train.startup(bench.parse(["startup", "trainer.threads=1", "--repeats", "2"]))["figures"]
    assert found["train --help"]["values"] == [2.0, 3.0] and found["train --help, first run"]["values"] == [9.0]
    assert found["first training step"]["values"] == [20.0, 30.0]


def test_a_run_that_fails_says_why():
    with pytest.raises(VmcError, match=r"ended with status 1 \(.*nonsense.*\)"):
        train.first_step_seconds(["nonsense=1"])


@pytest.mark.slow
def test_a_real_run_is_started(blank, clips):
    overrides = [
        *(f"model.path={blank}", "data=videos", f"data.path={clips}", "motion=custom", "trainer.threads=1"),
        *("motion.caption=a square doing the {token} sign", "regularization=none", "data.variants=2", "batch_size=1"),
    ]
    assert train.first_step_seconds(overrides) > 0


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own():
    loaded = bytearray(64 * 2**20)  # ours, which the other process must not be charged with
    # A builtin: to find a function of this file the other process would import the whole of it.
    nothing, some = (common.apart(partial(operator.mul, b"\x01", size * 2**20))[1] for size in (0, 32))
    assert some - nothing == pytest.approx(32 * 2**20, rel=0.2) and len(loaded)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["generate", "--videos", "0"], "--videos is 0; it must be at least 1"),
        (["generate", "--videos", "301"], "--videos is 301; the test set has 300 prompts, give at most as many"),
        (["train", "--beside", "0"], "--beside is 0; it must be at least 1"),
        (["train", "--model", "DIR"], "--model is unknown; --help lists the options, overrides are KEY=VALUE as model"),
        (["train", "model.path=nowhere"], "model.path is nowhere"),
        (["train", "stesp=1"], "stesp is unknown; did you mean steps?"),
        (["train", "batch_size=0"], "batch_size is 0; it must be a whole number of at least 1"),
        (["train", "+baseline=pretrained"], "parameters is null, which trains nothing"),
        (["train", "parameters=null"], "a group is given as null"),
        (["startup", "stesp=1"], "stesp is unknown; did you mean steps?"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_sentence(words, said, capsys):
    assert bench.main(words) == 2
    assert said in capsys.readouterr().err


def test_a_missing_gpu_is_named(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert bench.main(["generate", "trainer=gpu"]) == 2
    assert "no GPU" in capsys.readouterr().err


def test_missing_networks_are_named_before_anything_is_made(blank, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("vmc.mini.shipped.WEIGHTS", tmp_path)
    monkeypatch.setattr(videos, "untuned_generator", lambda *_: pytest.fail("a model was loaded"))
    assert bench.main(["evaluate", f"model.path={blank}"]) == 2
    assert "python -m vmc.mini" in capsys.readouterr().err


def test_the_command_prints_a_table_and_writes_json(small, monkeypatch, capsys, tmp_path, blank, here):
    file = tmp_path / "deep" / "bench.json"
    words = [*small, "--repeats", "1", "trainer.accumulate=1", "--videos", "1"]
    assert bench.main(["generate", "--output", str(file), *words]) == 0
    there = json.loads(file.read_text())
    assert there["settings"]["model"] == Path(blank).name
    assert capsys.readouterr().out.startswith("generate: stack mini, model blank, video [4, 32, 32],")
    monkeypatch.setattr(videos, "generate", lambda arguments: {})
    (tmp_path / "file").write_text("")
    assert bench.main(["generate", "--output", str(tmp_path / "file" / "bench.json")]) == 2
    assert "bench.json cannot be written" in (said := capsys.readouterr().err) and "another file by --output" in said
