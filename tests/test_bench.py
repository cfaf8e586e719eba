"""Benchmarks measure what they say and compute ratios from it; how fast anything is, no test asserts."""

import json
import statistics
from functools import partial
from pathlib import Path

import pytest
import torch

from vmc import bench
from vmc.benchmarks import evaluate, generate, startup, train
from vmc.benchmarks.report import Figure, Report, machine, ratio
from vmc.benchmarks.rounds import memory_figures, take_turns
from vmc.benchmarks.setup import Setup
from vmc.benchmarks.steps import PlainBatches, training_steps
from vmc.errors import VmcError
from vmc.metrics.suite import Suite
from vmc.runs.generation import VideoGenerator


@pytest.fixture
def setup(blank) -> Setup:
    return Setup(model=blank, frames=4, size=32, threads=1, sampler_steps=1)


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
        machine=machine(threads=1),
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


def test_generating_is_measured_at_every_batch_size(setup, monkeypatch):
    sizes = []
    frames = VideoGenerator.frames
    monkeypatch.setattr(
        VideoGenerator, "frames", lambda self, prompts: sizes.append(len(prompts)) or frames(self, prompts)
    )
    report = generate.measure(setup, videos=3, batches=[2, 1], repeats=2, memory=stated)
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
    assert str(setup.model) not in json.dumps(report.to_json())


def test_scoring_is_measured_by_metric_and_against_generating(setup, suite):
    report = evaluate.measure(setup, suite, videos=2, repeats=2, clips=(1, 1))
    found = figures(report)
    for name in ("generating", "scoring, all", "  reading mp4", "  quality", "  motion", "  appearance", "  copying"):
        assert len(found[name].values) == 2 and found[name].unit == "s/video", name
    share = [
        100 * one / other for one, other in zip(found["scoring, all"].values, found["generating"].values, strict=True)
    ]
    assert found["scoring / generating"].values == pytest.approx(tuple(share))
    assert report.settings["videos"] == 2


@pytest.fixture(scope="module")
def suite(metrics) -> Suite:
    """The miniature's, with random weights."""
    from vmc.benchmarks.setup import build, read

    given = dict(override.split("=", 1) for override in metrics)
    node = read("metrics/mini")
    for part in ("classifier", "appearance", "copying"):
        node[part]["path"] = given[f"metrics.{part}.path"]
    return build(node)


def test_the_plain_loop_trains_on_the_same_batches(setup):
    loops = [training_steps(setup, batch_size=2, plain=plain) for plain in (False, True)]
    cached, plain = (loop.batches for loop in loops)
    assert isinstance(plain, PlainBatches)
    for step in range(2):
        pair = cached.batch(step, range(2)), plain.batch(step, range(2))
        (one,), (other,) = (batch.groups for batch in pair)
        assert torch.equal(one.noise_BCFHW, other.noise_BCFHW) and torch.equal(one.times_B, other.times_B)
        assert torch.allclose(one.latents_BCFHW, other.latents_BCFHW, atol=1e-4)
        assert torch.allclose(one.text, other.text, atol=1e-4)
        assert len(one.latents_BCFHW) == 4, "an exemplar and a regularization clip in each draw"
        losses = [loop.module.training_step(batch, 0).item() for loop, batch in zip(loops, pair, strict=True)]
        assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_training_is_measured_with_and_without_the_plain_loop(setup, monkeypatch):
    monkeypatch.setattr(train, "MEMORY_STEPS", 1)
    both = figures(train.measure(setup, plain=True, steps=1, batch_size=1, repeats=1, memory=stated))
    expected = statistics.median(both["a step, plain"].values) / statistics.median(both["a step, cached"].values)
    assert both["seconds, plain / cached"].median == pytest.approx(expected)
    assert both["peak memory, plain / cached"].median == 1.0
    monkeypatch.setattr(
        train, "_seconds", lambda setup, names, **more: {name: Figure(name, "s", (1.0,)) for name in names}
    )
    monkeypatch.setattr(train, "training_steps", lambda *setup, **more: pytest.fail("a model was loaded"))
    alone = figures(
        train.measure(setup, plain=False, steps=1, batch_size=1, repeats=1, memory=lambda name, prepare: [])
    )
    assert not [name for name in alone if "plain" in name]
    assert alone["a step, cached"].unit == "s"


def test_starting_gives_the_first_run_apart(monkeypatch):
    monkeypatch.setattr(startup, "help_seconds", lambda folder, number: [9.0, 2.0, 3.0][number])
    monkeypatch.setattr(startup, "first_step_seconds", lambda folder, overrides, number: [90.0, 20.0, 30.0][number])
    found = figures(startup.measure(["a=b"], threads=1, repeats=2))
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
        (["train", "--model", "nowhere"], "--model is nowhere, which is no folder"),
        (["train", "--batch-size", "0"], "--batch-size is 0; it must be at least 1"),
        (["startup", "--override", "steps"], "--override is 'steps'; give KEY=VALUE"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_sentence(words, said, capsys):
    assert bench.main(words) == 2
    assert said in capsys.readouterr().err


def test_a_missing_gpu_is_named(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert bench.main(["generate", "--device", "gpu"]) == 2
    assert "no GPU" in capsys.readouterr().err


def test_missing_networks_are_named_before_anything_is_made(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("vmc.mini.shipped.WEIGHTS", tmp_path)
    monkeypatch.setattr(Setup, "generator", lambda self: pytest.fail("a model was loaded"))
    assert bench.main(["evaluate"]) == 2
    said = capsys.readouterr().err
    assert "classifier.pth.tar" in said and "appearance" in said and "python -m vmc.mini copying" in said


def test_the_command_prints_a_table_and_writes_json(blank, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(generate, "measure", partial(generate.measure, memory=stated))
    words = ["generate", "--model", str(blank), "--videos", "1", "--steps", "1"]
    words += ["--repeats", "1", "--threads", "1", "--size", "32"]
    assert bench.main([*words, "--output", str(tmp_path / "g.json")]) == 0
    assert "1 at a time" in capsys.readouterr().out
    there = json.loads((tmp_path / "g.json").read_text())
    assert set(there) == {"benchmark", "settings", "figures", "notes", "machine"}
    assert there["settings"]["model"] == Path(blank).name
