"""`+baseline=pretrained`: a run without training is the whole test set, asked with the token and in language."""

import json
import signal
from pathlib import Path

import pytest

from vmc.evaluate import main as evaluate
from vmc.evaluation import generation
from vmc.metrics.scores import read_scores
from vmc.runs.folder import read_state
from vmc.runs.resuming import is_done
from vmc.train import main as train_command
from vmc.training.signals import STOPPING
from vmc.utils.errors import VmcError


@pytest.fixture
def made(monkeypatch) -> list[str]:
    """The prompts whose videos are made from now on."""
    texts, latents = [], generation.VideoGenerator.latents

    def note(self, prompts):
        texts.extend(prompt.text for prompt in prompts)
        return latents(self, prompts)

    monkeypatch.setattr(generation.VideoGenerator, "latents", note)
    return texts


@pytest.fixture
def arguments(metrics, entered) -> list[str]:
    return [
        *("+baseline=pretrained", f"model.path={entered.model}", "data=videos", f"data.path={entered.clips}"),
        *("motion=custom", "motion.caption=a {token} square", "regularization=none", "logger=csv", "cache=cache"),
        *("motion.name=custom", "trainer.threads=1", *metrics),
    ]


def test_a_signal_stops_the_scoring_and_the_same_command_goes_on(entered, arguments, made, monkeypatch):
    write, written = generation.write_video, []

    def write_and_send(file, frames, **options):
        write(file, frames, **options)
        written.append(file)
        if len(written) == 8:  # of twelve: in the middle of the second table
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(generation, "write_video", write_and_send)
    own = [*arguments, "cache=own", "generation_batch=1"]
    status, said = entered(train_command, *own, "output=run")
    assert status == 143, said
    assert said.count(STOPPING.decode()) == 1 and "run: stopped at step 0 (signal)" in said
    state = read_state(Path("run"))
    assert (state["status"], state["reason"]) == ("stopped", "signal")
    assert len(made) == 8
    status, said = entered(train_command, *own, "output=run")
    assert status == 0 and read_state(Path("run"))["status"] == "finished"
    assert len(made) == 12
    assert entered(train_command, *own, "cache=another", "output=whole")[0] == 0
    for name in ("000000", "000000-language"):
        one, other = (Path(run, "evaluation", name, "scores.csv").read_text() for run in ("run", "whole"))
        assert one == other


def test_the_command_scores_the_base_model_and_is_done(entered, arguments, made):
    status, said = entered(train_command, *arguments)
    assert status == 0, said
    folder = Path("outputs/mini/pretrained/custom/seed0")
    state = read_state(folder)
    assert (state["status"], state["reason"], state["step"]) == ("finished", "no training", 0)
    assert not (folder / "weights").exists() and not (folder / "train.csv").exists()
    texts = {"000000": "A man, a sks square.", "000000-language": "A man swiping hand down"}
    for name, text in texts.items():
        scores = read_scores(folder / "evaluation" / name / "scores.csv")
        assert list(scores["prompt"])[:2] == [text] * 2 and len(scores) == 6
        assert scores["motion_correct"].notna().all() and scores["appearance"].notna().all()
        summary = json.loads((folder / "evaluation" / name / "summary.json").read_text())
        assert (summary["step"], summary["videos"], summary["of"]) == (0, 6, 6)
        assert {"motion_accuracy", "text_alignment", "copy_score"} <= summary["metrics"].keys()
        assert (folder / "evaluation" / name / "sheet.png").is_file()
    assert len(made) == 12

    status, said = entered(train_command, *arguments)
    assert status == 0 and "is finished: 0 steps (no training); nothing to do" in said

    # Another motion and seed: other exemplars and another class, but with the token the same videos.
    made.clear()
    others = [word for word in arguments if not word.startswith("motion.l")]
    others += ["motion.label=Shaking Hand", "motion.language={subject} shaking hand", "seed=1"]
    status, said = entered(train_command, *others)
    assert status == 0, said
    assert made and {text.rpartition(" shaking")[2] for text in made} == {" hand"}

    # What `vmc.evaluate` asks of the base model is there.
    made.clear()
    before = (folder / "evaluation" / "000000-language" / "scores.csv").read_bytes()
    status, said = entered(evaluate, f"run={folder}", "step=0", "ask=language")
    assert status == 0, said
    assert not made and (folder / "evaluation" / "000000-language" / "scores.csv").read_bytes() == before


def test_an_interrupted_one_goes_on(train, metrics, made, monkeypatch, tmp_path):
    # The fixture asks for three steps, as the command line of a sweep over all baselines may: nothing is trained.
    own = ("+baseline=pretrained", *metrics, "motion.language=null", "generation_batch=1", "evaluate_every=2")
    own += (f"cache={tmp_path / 'cache'}",)
    write = generation.write_video

    def cut(path, frames_FCHW, *, fps):
        if len(made) == 3:
            raise KeyboardInterrupt
        write(path, frames_FCHW, fps=fps)

    monkeypatch.setattr(generation, "write_video", cut)
    with pytest.raises(KeyboardInterrupt):
        train(*own)
    assert read_state(tmp_path / "run")["status"] == "stopped"
    monkeypatch.setattr(generation, "write_video", write)
    made.clear()
    run = train(*own)
    assert len(made) == 4  # two of six were there
    state = read_state(run.path)
    assert state["status"] == "finished" and state["step"] == 0 and is_done(state, steps=3)
    assert [path.name for path in (run.path / "evaluation").iterdir()] == ["000000"]  # no language


def test_neither_training_nor_evaluations_is_refused(train, tmp_path):
    with pytest.raises(VmcError, match=r"parameters is null.*evaluate_every is 0"):
        train("+baseline=pretrained")
    assert not (tmp_path / "run").exists()
