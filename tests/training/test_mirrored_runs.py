"""Runs that are mirrored in W&B offline, read back from its own log: every number of every evaluation is there."""

import json

import pytest
from wandb.sdk import wandb_setup

from vmc.evaluation import score as evaluations
from vmc.metrics.scores import MEASURES
from vmc.runs.folder import RunFolder, read_state
from vmc.runs.wandb_mirror import numbers


@pytest.fixture
def mirrored(train, metrics, tmp_path):
    """Train with W&B and evaluations at every second of four steps, on two of six videos."""

    def run(*overrides: str):
        settings = ["logger=wandb", "evaluate_every=2", "evaluate_subset=2", "steps=4", "sampler.steps=1"]
        return train(*metrics, *settings, f"cache={tmp_path / 'cache'}", *overrides)

    return run


def items(records) -> list[dict]:
    return [record["history"]["item"] for record in records if record["type"] == "history"]


def test_an_offline_run_holds_every_metric_at_every_evaluation(mirrored, logged):
    run = mirrored()
    records = logged(run.path)
    history = items(records)
    assert [item["step"] for item in history if "loss" in item] == [1, 2, 3, 4]
    evaluated = {item["step"]: item for item in history if "evaluation/count" in item}
    assert sorted(evaluated) == [0, 2, 4]
    for step, item in evaluated.items():
        summary = json.loads((run.evaluation(step) / "summary.json").read_text())
        assert numbers(summary).items() <= item.items()
        for metric, part in summary["metrics"].items():
            assert item[f"evaluation/{metric}"] == part["value"]
            assert (item[f"evaluation/{metric}/low"], item[f"evaluation/{metric}/high"]) == (part["low"], part["high"])
        assert item["evaluation/videos.nrows"] == 2
    drawn = [measure.name for measure in MEASURES if measure.tables or measure.curve]
    assert {f"evaluation/{metric}" for metric in drawn} | {"loss_motion", "step"} <= {
        key for one in history for key in one
    }
    tables = [record["artifact"]["manifest"]["contents"] for record in records if record["type"] == "artifact"]
    played = [[entry for entry in entries if entry["path"].endswith(".mp4")] for entries in tables]
    assert [len(entries) for entries in played] == [2, 2, 2]


def test_an_evaluation_that_is_completed_at_the_stop_is_shown_again(mirrored, logged, monkeypatch):
    values = iter([0.3, 0.3, 0.2, 0.2, 0.28])  # steps 0 and 2; step 4, subset and whole; step 2, whole

    def summarize(scores, *, columns):
        return {"appearance": {"value": next(values), "low": 0.0, "high": 1.0}}

    monkeypatch.setattr(evaluations, "summarize", summarize)
    run = mirrored("stop.appearance=0.25", "steps=6")
    shown = [item for item in items(logged(run.path)) if "evaluation/count" in item]
    assert [(item["step"], item["evaluation/count"], item["evaluation/appearance"]) for item in shown] == [
        (0, 2, 0.3),
        (2, 2, 0.3),
        (2, 6, 0.28),
        (4, 6, 0.2),
    ]


def test_the_untuned_model_is_shown_as_it_is_asked(mirrored, logged):
    language = "motion.language=a person doing a sign"
    run = mirrored("+baseline=pretrained", language, "evaluate_every=1", "prompts.limit=2")
    shown = [item for item in items(logged(run.path)) if item.get("step") == 0]
    both = (run.evaluation(0), run.evaluation(0).with_name("000000-language"))
    for item, folder, name in zip(shown, both, ("evaluation", "evaluation-language"), strict=True):
        assert numbers(json.loads((folder / "summary.json").read_text()), name=name).items() <= item.items()


def test_a_run_finishes_without_the_process_of_wandb(train, logged, monkeypatch, tmp_path, caplog):
    append = RunFolder.append

    def append_and_kill(run, row):
        append(run, row)
        if row["step"] == 2:
            process = wandb_setup.singleton()._connection._proc._process
            process.kill()
            process.wait()

    monkeypatch.setattr(RunFolder, "append", append_and_kill)
    run = train("logger=wandb")
    assert (read_state(run.path)["status"], read_state(run.path)["step"]) == ("finished", 3)
    (said,) = (record.message for record in caplog.records if record.name == "vmc.runs.wandb_mirror")
    assert said.startswith("W&B fails (") and "the run goes on without it; later, wandb sync" in said
    monkeypatch.setattr(RunFolder, "append", append)
    after = train("logger=wandb", output=tmp_path / "after")
    assert [item["step"] for item in items(logged(after.path)) if "loss" in item] == [1, 2, 3]
