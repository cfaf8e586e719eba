"""A run is scored on its way from the videos on disk, and stops where the appearance score has fallen."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from vmc.evaluation import generation
from vmc.evaluation import score as evaluations
from vmc.metrics.scores import read_scores
from vmc.models.zeroscope import UNet3D
from vmc.runs.folder import RunFolder, read_state
from vmc.utils.errors import VmcError

SETTINGS = ["evaluate_every=2", "evaluate_subset=2", "steps=4"]


@pytest.fixture
def scored(train, metrics, tmp_path):
    """Train with evaluations at every second of four steps, on two of six videos, with caches of its own."""

    def run(*overrides: str, output: str = "run"):
        return train(*metrics, *SETTINGS, f"cache={tmp_path / 'cache'}", *overrides, output=tmp_path / output)

    return run


@pytest.fixture(scope="module")
def undisturbed(train_into, metrics, tmp_path_factory) -> RunFolder:
    """Such a run, which tests only read; its caches lie beside it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return train_into(folder / "run", *metrics, *SETTINGS, f"cache={folder / 'cache'}")


@pytest.fixture(scope="module")
def whole(train_into, metrics, tmp_path_factory) -> RunFolder:
    """Such a run of two steps, of which every evaluation is of the whole test set."""
    folder = tmp_path_factory.mktemp("whole")
    settings = [*SETTINGS, "steps=2", "evaluate_subset=1000", f"cache={folder / 'cache'}"]
    return train_into(folder / "run", *metrics, *settings)


@pytest.fixture
def appearance(monkeypatch):
    """Lets a test say what the appearance score of an evaluation is, by its step and number of videos."""

    def by(values):
        def summarize(scores, *, columns):
            return {"appearance": {"value": values(len(scores)), "low": 0.0, "high": 1.0}}

        monkeypatch.setattr(evaluations, "summarize", summarize)

    return by


def summary_of(run, step: int) -> dict:
    return json.loads((run.evaluation(step) / "summary.json").read_text())


def assert_near(run, other, *, step: int) -> None:
    """The same videos with the same scores; videos made in other batches differ in single pixels."""
    one, two = (read_scores(folder.evaluation(step) / "scores.csv") for folder in (run, other))
    assert list(one["video"]) == list(two["video"])
    for column in ("motion_probability", "appearance", "text_alignment", "copy_similarity_any"):
        assert one[column].astype(float).to_numpy() == pytest.approx(two[column].astype(float).to_numpy(), abs=1e-3)


def losses(run) -> list[str]:
    return [row["loss"] for row in csv.DictReader(run.train_csv.open())]


def test_a_subset_on_the_way_and_the_whole_test_set_at_the_end(undisturbed):
    run = undisturbed
    assert [summary_of(run, step)["videos"] for step in (0, 2, 4)] == [2, 2, 6]
    scores = read_scores(run.evaluation(4) / "scores.csv")
    assert len(scores) == 6 and scores["valid"].all()
    assert sorted(path.name for path in (run.evaluation(4) / "videos").glob("*.mp4")) == sorted(scores["video"])
    assert (run.evaluation(2) / "sheet.png").is_file()
    assert not list(run.path.glob("evaluation/*/.rows*"))
    metrics = summary_of(run, 4)["metrics"]
    assert {"motion_accuracy", "appearance", "text_alignment", "copy_score", "flicker"} <= metrics.keys()
    for part in metrics.values():
        assert part["low"] <= part["value"] <= part["high"]
    assert read_state(run.path)["reason"] == "steps"
    subset = set(read_scores(run.evaluation(2) / "scores.csv")["video"])
    assert subset == set(read_scores(run.evaluation(0) / "scores.csv")["video"]) < set(scores["video"])


def test_evaluating_does_not_disturb_training_also_without_metrics(undisturbed, train, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a square, with commas\na circle\n")
    options = [*SETTINGS, f"prompts.file={prompts}", "sampler.steps=1", "metrics=none"]
    sampled = train(*options, output=tmp_path / "sampled")
    for step in (0, 2, 4):
        assert len(list((sampled.evaluation(step) / "videos").glob("*.mp4"))) == 2
        assert (sampled.evaluation(step) / "sheet.png").is_file()
    silent = train("steps=4", output=tmp_path / "silent")
    assert losses(undisturbed) == losses(sampled) == losses(silent)


def test_step_0_is_made_once_for_all_arms(undisturbed, scored, monkeypatch, caplog, tmp_path):
    first, made = undisturbed, []
    shutil.copytree(first.path.parent / "cache", tmp_path / "cache")
    generate = generation.VideoGenerator.write

    def write(self, prompts, files, *, label="videos"):
        made.append(label)
        return generate(self, prompts, files, label=label)

    monkeypatch.setattr(generation.VideoGenerator, "write", write)
    other = scored("optimizer.lr=1e-2", "timesteps=uniform", "steps=2", output="other")
    assert "videos at step 0" not in made and "videos at step 2" in made
    assert (first.evaluation(0) / "scores.csv").read_bytes() == (other.evaluation(0) / "scores.csv").read_bytes()
    scored("stop.appearance=-0.9", "steps=1", output="another-threshold")
    assert made.count("videos at step 0") == 1
    assert "not as it was written" not in caplog.text
    for video in (tmp_path / "cache" / "evaluations").glob("*/videos/*.mp4"):
        content = bytearray(video.read_bytes())
        content[-9] ^= 1
        video.write_bytes(content)
    third = scored("steps=1", output="third")
    assert "cannot be used (it is not as it was written); it is made again" in caplog.text
    assert made.count("videos at step 0") == 2
    scored("steps=1", "generation_batch=1", output="other-batches")  # which affect the last bits
    assert made.count("videos at step 0") == 3
    assert (third.evaluation(0) / "scores.csv").read_bytes() == (first.evaluation(0) / "scores.csv").read_bytes()


def test_the_run_stops_where_the_whole_test_set_confirms(scored, whole, appearance):
    seen = []
    # Step 0: 0.3. Step 2: the subset falls to 0.2, the whole set confirms, and step 0 is completed.
    values = iter([0.3, 0.2, 0.21, 0.3])
    appearance(lambda videos: seen.append(videos) or next(values))
    run = scored("stop.appearance=0.25", "steps=8", output="stops")
    state = read_state(run.path)
    assert (state["status"], state["reason"], state["step"]) == ("finished", "appearance", 2)
    assert seen == [2, 2, 6, 6]
    assert len(losses(run)) == 2
    assert_near(run, whole, step=0)
    assert not run.weights(0).exists() and run.weights(2).is_file()


def test_a_run_that_does_not_stop_early_trains_all_steps_and_says_where_it_would_have(scored, appearance):
    seen = []
    appearance(lambda videos: seen.append(videos) or (0.2 if len(seen) > 1 else 0.3))
    run = scored("stop.appearance=0.25", "stop.early=false")
    state = read_state(run.path)
    assert (state["status"], state["reason"], state["step"]) == ("finished", "steps", 4)
    assert seen == [2, 2, 6]  # no step but the last is scored whole
    assert summary_of(run, 2)["stop"] == {"appearance": 0.25, "reached": True}
    assert summary_of(run, 4)["stop"]["reached"]


def test_a_base_model_below_the_threshold_is_refused_where_the_whole_test_set_confirms(scored, appearance):
    seen = []
    appearance(lambda videos: seen.append(videos) or 0.2)
    with pytest.raises(VmcError, match=r"0.2000 before any training, not above stop.appearance"):
        scored("stop.appearance=0.25")
    assert seen == [2, 6]


def test_a_subset_that_the_whole_test_set_contradicts_does_not_stop(scored, appearance):
    values = iter([0.2, 0.3, 0.2, 0.3, 0.29])  # steps 0 and 2, subset and whole; step 4, whole
    appearance(lambda videos: next(values))
    run = scored("stop.appearance=0.25")
    assert read_state(run.path)["reason"] == "steps"
    assert summary_of(run, 0)["videos"] == summary_of(run, 2)["videos"] == 6
    assert summary_of(run, 2)["stop"] == {"appearance": 0.25, "reached": False}


def test_the_evaluation_before_the_stop_is_completed_with_its_own_weights(scored, whole, appearance):
    values = iter([0.3, 0.3, 0.2, 0.2, 0.28])  # steps 0 and 2; step 4, subset and whole; step 2, whole
    appearance(lambda videos: next(values))
    run = scored("stop.appearance=0.25", "steps=8")
    assert summary_of(run, 2)["videos"] == summary_of(run, 4)["videos"] == 6
    assert read_state(run.path)["step"] == 4
    assert_near(run, whole, step=2)
    assert {path.stem for path in run.weights(0).parent.iterdir()} >= {"000002", "000004"}


def test_step_0_is_completed_where_every_later_step_is_at_the_threshold(scored, appearance):
    # Steps 0 and 2; step 4, subset and whole; steps 2 and 0, whole.
    values = iter([0.3, 0.3, 0.2, 0.2, 0.24, 0.29])
    appearance(lambda videos: next(values))
    run = scored("stop.appearance=0.25", "steps=8")
    assert read_state(run.path)["step"] == 4
    assert [summary_of(run, step)["videos"] for step in (0, 2, 4)] == [6, 6, 6]
    assert not run.weights(0).exists()


def test_a_run_that_goes_on_with_fewer_steps_than_it_has_behind_it_is_evaluated(undisturbed, scored, tmp_path):
    run = RunFolder(Path(shutil.copytree(undisturbed.path, tmp_path / "run")), config=undisturbed.config)
    shutil.rmtree(run.evaluation(4))
    scored("steps=3", output=run.path)
    assert summary_of(run, 4)["videos"] == 6


def test_an_interrupted_evaluation_goes_on(undisturbed, scored, monkeypatch, tmp_path):
    score = evaluations.Evaluator.score
    monkeypatch.setattr(evaluations, "AT_ONCE", 1)
    scored_videos = []

    def interrupted(self, frames, records):
        scored_videos.extend(record.video for record in records)
        if len(scored_videos) == 8:
            raise KeyboardInterrupt
        return score(self, frames, records)

    monkeypatch.setattr(evaluations.Evaluator, "score", interrupted)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        scored(output="cut")
    assert list(tmp_path.glob("cut/evaluation/000004/.rows-0.json"))
    before = len(scored_videos)
    run = scored(output="cut")
    assert len(scored_videos) - before < 6  # those that were scored are not scored again
    for step in (0, 2, 4):
        assert_near(run, undisturbed, step=step)
    assert losses(run) == losses(undisturbed)


def test_what_an_evaluation_lacks_is_said_before_training(train, metrics, tmp_path):
    without = [f"metrics.copying.path={tmp_path / 'gone.pt'}", f"metrics.appearance.path={tmp_path / 'none'}"]
    with pytest.raises(VmcError, match=r"2 files that are not there: .*none.*mini appearance.*gone.pt.*mini copying"):
        train(*metrics, *without, "evaluate_every=2")
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("prompt,seed\na man,1\n")
    with pytest.raises(VmcError, match="names no subject"):
        train(*metrics, f"prompts.file={prompts}", "evaluate_every=2", "stop.appearance=0.2")
    prompts.write_text("subject,seed\na man,1\na man,1\n")
    with pytest.raises(VmcError, match="stands twice with seed 1"):
        train(*metrics, f"prompts.file={prompts}", "evaluate_every=2", "stop.appearance=0.2")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_damaged_network_is_found_before_the_base_model_is_opened(train, metrics, tmp_path, monkeypatch, place):
    monkeypatch.setattr(UNet3D, "open", lambda *arguments: 1 / 0)
    key, _, path = metrics[place].partition("=")
    damaged = tmp_path / Path(path).name
    (shutil.copytree if Path(path).is_dir() else shutil.copyfile)(path, damaged)
    file = damaged / "open_clip_model.safetensors" if damaged.is_dir() else damaged
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(VmcError, match=rf"{damaged}.* does not load \(.*python -m vmc\.mini {key.split('.')[1]}"):
        train(*metrics, f"{key}={damaged}", "evaluate_every=2")
    assert not (tmp_path / "run").exists()


def test_an_unknown_class_is_found_before_the_base_model_is_opened(train, metrics, tmp_path, monkeypatch):
    monkeypatch.setattr(UNet3D, "open", lambda *arguments: 1 / 0)
    with pytest.raises(VmcError, match=r"motion\.label is 'Dab', which the gesture classifier does not know"):
        train(*metrics, "motion.label=Dab", "evaluate_every=2")
    assert not (tmp_path / "run").exists()


def test_a_motion_without_a_class_has_no_accuracy(scored):
    run = scored("motion.label=null", "steps=2")
    assert "motion_accuracy" not in summary_of(run, 2)["metrics"]
    assert read_scores(run.evaluation(2) / "scores.csv")["motion_correct"].isna().all()
    assert Path(run.evaluation(2) / "sheet.png").is_file()
