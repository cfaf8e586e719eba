"""Signals in the middle of an evaluation: what has been scored stays, and the run goes on as if nothing had been."""

import signal
from pathlib import Path

import pytest

from vmc.runs import generation
from vmc.runs.folder import read_state
from vmc.training import session as sessions


@pytest.fixture
def send(monkeypatch):
    """Send this process a signal when so many videos have been written."""

    def after(videos: int, number: signal.Signals) -> None:
        write, written = generation.write_video, []

        def write_and_send(file, frames, **options):
            write(file, frames, **options)
            written.append(file)
            if len(written) == videos:
                signal.raise_signal(number)

        monkeypatch.setattr(generation, "write_video", write_and_send)

    return after


def scores(run: Path, step: int) -> str:
    return (run / "evaluation" / f"{step:06d}" / "scores.csv").read_text()


@pytest.mark.parametrize(("videos", "number", "step"), [(2, signal.SIGTERM, 0), (5, signal.SIGINT, 3)])
def test_an_evaluation_that_a_signal_ends_goes_on(
    train, metrics, send, tmp_path, monkeypatch, capfd, videos, number, step
):
    scored = [*metrics, "evaluate_subset=2", "steps=3", "generation_batch=1"]
    scored += ["evaluate_every=5", "checkpoint_every=0"]  # the last step is no multiple
    send(videos, number)
    line = [*scored, f"cache={tmp_path / 'cache'}"]
    run = train(*line).path
    assert "stopping after the step or the videos in hand" in capfd.readouterr().err
    state = read_state(run)
    assert (state["status"], state["reason"], state["step"]) == ("stopped", "signal", step)
    left = run / "evaluation" / f"{step:06d}"
    assert not (left / "summary.json").exists()
    made = {file: file.stat().st_mtime_ns for file in (left / "videos").iterdir()}
    assert len(made) == 2 if step == 0 else 3
    steps = []
    monkeypatch.setattr(sessions.MotionModule, "training_step", _counted(sessions.MotionModule.training_step, steps))
    train(*line)
    assert read_state(run)["status"] == "finished"
    assert len(steps) == 3 - step
    assert made.items() <= {file: file.stat().st_mtime_ns for file in (left / "videos").iterdir()}.items()
    whole = train(*scored, f"cache={tmp_path / 'another'}", output=tmp_path / "whole").path
    assert scores(run, 0) == scores(whole, 0)
    assert scores(run, 3) == scores(whole, 3)
    assert (run / "train.csv").read_text().count("\n") == 4


def _counted(step, calls):
    def counted(self, batch, index):
        calls.append(index)
        return step(self, batch, index)

    return counted
