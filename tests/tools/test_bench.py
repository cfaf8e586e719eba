"""Benchmarks measure what they say and compute ratios from it; how fast anything is, no test asserts."""

import json
import statistics
from functools import partial
from pathlib import Path

import pytest
import torch

from vmc import bench
from vmc.evaluation.generation import VideoGenerator
from vmc.tools.bench import evaluate, generate, startup, train
from vmc.tools.bench.measure import Figure, Report, machine, memory_figures, ratio, take_turns
from vmc.tools.bench.workload import PlainBatches, compose_run, describe, training_steps
from vmc.training.hardware import Hardware
from vmc.utils.errors import VmcError


@pytest.fixture
def small(blank) -> list[str]:
    """Overrides of a small run."""
    return [f"model.path={blank}", "model.frames=4", "model.size=32", "trainer.threads=1", "sampler.steps=1"]


def stated(name, prepare) -> list[Figure]:
    """In place of a process of its own: the task runs here, once."""
    task, on_gpu = prepare()
    task()
    assert not on_gpu
    return [Figure(f"peak memory, {name}", "MB", (2.0,)), Figure(f"above, {name}", "MB", (1.0,))]


def figures(report: Report) -> dict[str, Figure]:
    return {figure.name: figure for figure in report.figures}


def test_ratios_are_of_the_same_round():
    slow, fast = Figure("slow", "s", (4.0, 9.0, 5.0)), Figure("fast", "s", (2.0, 3.0, 1.0))
    assert ratio("gain", slow, fast).values == (2.0, 3.0, 5.0)
    assert ratio("share", fast, slow, unit="%").values == pytest.approx((50.0, 100 / 3, 20.0))
    assert slow.rate(18, name="rate", unit="videos/s").values == (4.5, 2.0, 3.6)
    assert slow.median == 5.0


def test_tasks_take_turns_and_swap_places(monkeypatch):
    order, clock = [], iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    seconds = take_turns({"a": partial(order.append, "a"), "b": partial(order.append, "b")}, repeats=3, label="turns")
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert len(seconds["a"].values) == len(seconds["b"].values) == 3


def test_a_report_reads_and_is_written(tmp_path):
    report = Report(
        benchmark="generate",
        settings={"videos": 2, "video": [8, 64, 64]},
        figures=[Figure("one", "s", (0.25, 0.5)), Figure("another", "MB", (1234.5,))],
        notes=["A note."],
        machine=machine(Hardware(threads=1)),
    )
    report.write(tmp_path / "deep" / "report.json")
    there = json.loads((tmp_path / "deep" / "report.json").read_text())
    assert there["figures"]["one"] == {"unit": "s", "median": 0.375, "low": 0.25, "high": 0.5, "values": [0.25, 0.5]}
    assert there["machine"]["threads"] == 1 and there["machine"]["versions"]["torch"]
    lines = report.lines()
    assert lines[0] == "generate: videos 2, video 8x64x64"
    assert lines[2].split() == ["one", "0.375", "0.25", "to", "0.5", "s"]
    assert lines[3].split() == ["another", "1,234", "MB"] or lines[3].split() == ["another", "1,235", "MB"]
    assert {line.index("0.375") + 5 for line in lines[2:3]} == {line.index("1,23") + 5 for line in lines[3:4]}
    (tmp_path / "file").write_text("")
    with pytest.raises(VmcError, match=r"report\.json cannot be written .*; name another file by --output"):
        report.write(tmp_path / "file" / "report.json")


def test_generating_is_measured_at_every_batch_size(small, blank, monkeypatch):
    sizes = []
    frames = VideoGenerator.frames
    monkeypatch.setattr(
        VideoGenerator, "frames", lambda self, prompts: sizes.append(len(prompts)) or frames(self, prompts)
    )
    report = generate.measure(compose_run(small, scored=True), videos=3, batches=[2, 1], repeats=2, memory=stated)
    found = figures(report)
    rates = [name for name, figure in found.items() if figure.unit == "videos/s"]
    assert rates == ["automatic (3 at a time)", "1 at a time", "2 at a time"]
    one = found["1 at a time"].values
    assert found["2 at a time / 1 at a time"].values == tuple(
        rate / other for rate, other in zip(found["2 at a time"].values, one, strict=True)
    )
    assert "peak memory, 1 at a time" in found
    assert sizes[3:9] == [3, 1, 1, 1, 2, 1], "after the warm-up, all videos at each size"
    assert report.settings["sampler_steps"] == 1 and report.settings["videos"] == 3
    assert str(blank) not in json.dumps(report.to_json())


def test_scoring_is_measured_by_metric_and_against_generating(small, metrics):
    config = compose_run([*small, *metrics], scored=True)
    report = evaluate.measure(config, videos=2, repeats=2, clips=(1, 1))
    found = figures(report)
    for name in ("generating", "scoring, all", "  reading mp4", "  quality", "  motion", "  appearance", "  copying"):
        assert len(found[name].values) == 2 and found[name].unit == "s/video", name
    share = [
        100 * one / other for one, other in zip(found["scoring, all"].values, found["generating"].values, strict=True)
    ]
    assert found["scoring / generating"].values == pytest.approx(tuple(share))
    assert report.settings["videos"] == 2


def test_the_plain_loop_trains_on_the_same_batches(small):
    config = compose_run([*small, "batch_size=2"], scored=False)
    loops = [training_steps(config, plain=plain) for plain in (False, True)]
    cached, plain = (loop.batches for loop in loops)
    assert isinstance(plain, PlainBatches)
    for step in range(2):
        pair = cached.batch(step, range(2)), plain.batch(step, range(2))
        (one,), (other,) = (batch.groups for batch in pair)
        assert torch.equal(one.noise_BCFHW, other.noise_BCFHW) and torch.equal(one.times_B, other.times_B)
        assert torch.allclose(one.latents_BCFHW, other.latents_BCFHW, atol=1e-4)
        assert torch.allclose(one.text.embeddings_BLD, other.text.embeddings_BLD, atol=1e-4)
        assert len(one.latents_BCFHW) == 4, "an exemplar and a regularization clip in each draw"
        losses = [loop.module.training_step(batch, 0).item() for loop, batch in zip(loops, pair, strict=True)]
        assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_the_run_that_is_chosen_is_measured(small, monkeypatch):
    """Its attention, precision and optimizer, what it trains, recomputed or not: not those of the miniature."""
    words = ["stack=paper", "trainer=cpu", *small, "parameters=lora", "trainer.checkpoint_activations=true"]
    config = compose_run([*words, "trainer.precision=bf16-mixed", "optimizer.lr=0.125"], scored=False)
    recomputed = []
    monkeypatch.setattr("vmc.training.session.checkpoint_activations", recomputed.append)
    loop = training_steps(config, plain=False)
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


def test_training_is_measured_with_and_without_the_plain_loop(small, monkeypatch):
    monkeypatch.setattr(train, "MEMORY_STEPS", 1)
    config = compose_run([*small, "batch_size=1"], scored=False)
    both = figures(train.measure(config, plain=True, steps=1, repeats=1, memory=stated))
    expected = statistics.median(both["a step, plain"].values) / statistics.median(both["a step, cached"].values)
    assert both["seconds, plain / cached"].median == pytest.approx(expected)
    assert both["peak memory, plain / cached"].median == 1.0
    alone = figures(train.measure(config, plain=False, steps=1, repeats=1, memory=lambda name, prepare: []))
    assert list(alone) == ["a step, cached"] and alone["a step, cached"].unit == "s"


def test_starting_gives_the_first_run_apart(monkeypatch):
    monkeypatch.setattr(startup, "help_seconds", lambda folder, number: [9.0, 2.0, 3.0][number])
    monkeypatch.setattr(startup, "first_step_seconds", lambda folder, overrides, number: [90.0, 20.0, 30.0][number])
    found = figures(startup.measure(["trainer.threads=1"], repeats=2))
    assert found["train --help"].values == (2.0, 3.0) and found["train --help, first run"].values == (9.0,)
    assert found["first training step"].values == (20.0, 30.0)


def test_a_run_that_fails_says_why(tmp_path):
    with pytest.raises(VmcError, match=r"ended with status 1 \(.*nonsense.*\)"):
        startup.first_step_seconds(tmp_path, ["nonsense=1"], 0)


@pytest.mark.slow
def test_starting_a_real_run(blank, clips):
    overrides = [
        *(f"model.path={blank}", "data=videos", f"data.path={clips}", "motion=custom", "trainer.threads=1"),
        *("motion.caption=a square doing the {token} sign", "regularization=none", "data.variants=2", "batch_size=1"),
    ]
    report = startup.measure(overrides, repeats=1)
    assert all(figure.values[0] > 0 for figure in report.figures)


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own():
    loaded = bytearray(64 * 2**20)  # ours, which the other process must not be charged with
    peak, above = memory_figures("zeros", partial(holding, 32 * 2**20))
    assert above.values[0] == pytest.approx(32 * 2**20 / 1e6, rel=0.2)
    assert peak.values[0] > above.values[0] and len(loaded)


def holding(size: int):
    """A task that holds so many bytes."""
    return partial(bytes_written, size), False


def bytes_written(size: int) -> None:
    assert len(b"\x01" * size) == size


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["generate", "--videos", "0"], "--videos is 0; it must be at least 1"),
        (["generate", "--batch", "2", "-1"], "--batch is -1; it must be at least 1"),
        (["generate", "--videos", "301"], "--videos is 301; the test set has 300 prompts, give at most as many"),
        (["train", "--model", "DIR"], "--model is given as an override of vmc.train: model.path=DIR"),
        (["generate", "--steps", "1"], "--steps is given as an override of vmc.train: sampler.steps=N"),
        (["train", "--modle", "DIR"], "--modle is unknown; --help lists the options, overrides are KEY=VALUE"),
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
    monkeypatch.setattr(evaluate, "untuned_generator", lambda *_: pytest.fail("a model was loaded"))
    assert bench.main(["evaluate", f"model.path={blank}"]) == 2
    said = capsys.readouterr().err
    assert "classifier.pth.tar" in said and "appearance" in said and "python -m vmc.mini copying" in said


def test_the_command_prints_a_table_and_writes_json(blank, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(generate, "measure", partial(generate.measure, memory=stated))
    words = ["generate", f"model.path={blank}", "--videos", "1", "sampler.steps=1"]
    words += ["--repeats", "1", "trainer.threads=1", "data.size=32"]
    assert bench.main([*words, "--output", str(tmp_path / "g.json")]) == 0
    assert "1 at a time" in capsys.readouterr().out
    there = json.loads((tmp_path / "g.json").read_text())
    assert set(there) == {"benchmark", "settings", "figures", "notes", "machine"}
    assert there["settings"]["model"] == Path(blank).name
