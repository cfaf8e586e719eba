"""`vmc.evaluate` gives the scores that training gave, in any number of processes, and scores foreign videos."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

from vmc.data.prompts import read_prompts
from vmc.data.video import write_video
from vmc.evaluate import main as evaluate
from vmc.evaluate import named_videos
from vmc.evaluation import generation
from vmc.evaluation.controls import check_videos
from vmc.evaluation.generation import video_names
from vmc.metrics.scores import read_scores
from vmc.runs.folder import RunFolder
from vmc.utils.errors import VmcError


@pytest.fixture(scope="module")
def trained(train_into, metrics, tmp_path_factory) -> RunFolder:
    """A run of two steps, with its caches beside it."""
    folder = tmp_path_factory.mktemp("trained")
    settings = ["evaluate_every=2", "evaluate_subset=2", "steps=2", f"cache={folder / 'cache'}", "optimizer.lr=1e-2"]
    return train_into(folder / "run", *metrics, *settings)


@pytest.fixture
def run(trained, tmp_path) -> RunFolder:
    """A copy of it."""
    return RunFolder(Path(shutil.copytree(trained.path, tmp_path / "run")), config=trained.config)


def scores_of(folder) -> list[dict]:
    return list(csv.DictReader((Path(folder) / "scores.csv").open()))


def test_a_run_scores_later_as_it_did_while_training(run, entered):
    before = (run.evaluation(2) / "scores.csv").read_bytes()
    status, said = entered(evaluate, f"run={run.path}")
    assert status == 0, said
    assert "6 videos" in said and "motion_accuracy" in said
    assert (run.evaluation(2) / "scores.csv").read_bytes() == before
    status, said = entered(evaluate, f"run={run.path}", "output=anew")
    assert status == 0, said
    assert Path("anew/scores.csv").read_bytes() == before
    # The base model: the subset of training is completed to the whole test set.
    assert len(scores_of(run.evaluation(0))) == 2
    status, said = entered(evaluate, f"run={run.path}", "step=0")
    assert status == 0, said
    assert len(scores_of(run.evaluation(0))) == 6


def test_videos_of_other_weights_are_not_taken_for_those_of_these(run, entered):
    asked = [f"run={run.path}", "prompts.limit=1", "output=one"]
    status, said = entered(evaluate, *asked, "step=0")
    assert status == 0, said
    before = Path("one/scores.csv").read_bytes()
    status, said = entered(evaluate, *asked)
    assert status == 1 and "one holds videos of other weights or of another base model; choose another output" in said
    assert Path("one/scores.csv").read_bytes() == before
    assert entered(evaluate, *asked, "step=0")[0] == 0

    # A summary of an earlier version, or of training, does not say what made the videos.
    summary = json.loads(Path("one/summary.json").read_text())
    summary.pop("made_by")
    Path("one/summary.json").write_text(json.dumps(summary))
    assert entered(evaluate, *asked)[0] == 0
    assert "made_by" not in json.loads(Path("one/summary.json").read_text())


def test_an_interrupted_evaluation_does_not_go_on_with_other_weights(run, entered, monkeypatch):
    write, written = generation.write_video, []

    def cut(file, *frames, **options):
        if written:
            raise VmcError("the disk is full")
        written.append(file)
        write(file, *frames, **options)

    asked = [f"run={run.path}", "prompts.limit=1", "output=one", "generation_batch=1"]
    monkeypatch.setattr(generation, "write_video", cut)
    assert entered(evaluate, *asked)[0] == 1 and written
    monkeypatch.setattr(generation, "write_video", write)
    status, said = entered(evaluate, *asked, "step=0")
    assert status == 1 and "one holds videos of other weights" in said
    assert entered(evaluate, *asked)[0] == 0


def test_clips_that_training_left_out_are_left_out(entered, metrics):
    shutil.copytree(entered.clips, "clips")
    video = Path("clips/clip1.mp4")
    video.write_bytes(video.read_bytes()[:500])
    status, said = entered(
        evaluate, *metrics, f"model.path={entered.model}", "output=out", "prompts.limit=1", "regularization=none",
        "data=videos", "data.path=clips", "data.skip_bad=true", "motion=custom", "motion.caption=a {token} square",
    )  # fmt: skip
    assert status == 0, said
    assert all(row["copy_similarity_any"] for row in scores_of("out"))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("metrics.classifier=null", "ask is known, but metrics has no classifier"),
        ("known_videos=0", "known_videos is 0; it must be at least 1"),
    ],
)
def test_known_gestures_that_cannot_be_scored_are_refused_first(run, entered, asked, expected):
    status, said = entered(evaluate, f"run={run.path}", "ask=known", asked)
    assert status == 1 and expected in said
    assert not (run.path / "evaluation" / "000002-known").exists()


def test_processes_and_batches_change_no_score(run, entered):
    status, said = entered(evaluate, f"run={run.path}", "output=two", "trainer.devices=2", "generation_batch=1")
    assert status == 0, said
    one, two = (read_scores(folder / "scores.csv") for folder in (run.evaluation(2), Path("two")))
    assert list(one["video"]) == list(two["video"])
    for column in ("motion_probability", "appearance", "text_alignment", "copy_similarity_any", "frame_consistency"):
        # Videos made alone differ in single pixels from those made in a batch, which random networks make 2.5e-4 of.
        assert one[column].astype(float).to_numpy() == pytest.approx(two[column].astype(float).to_numpy(), abs=1e-3)
    assert not list(Path("two").glob(".rows*"))


def test_in_natural_language_and_the_known_gestures(run, entered):
    status, said = entered(evaluate, f"run={run.path}", "step=0", "ask=language", "prompts.limit=1")
    assert status == 0, said
    rows = scores_of(run.path / "evaluation" / "000000-language")
    assert [row["prompt"] for row in rows] == ["A man swiping hand down"] * 2
    status, said = entered(evaluate, f"run={run.path}", "ask=known", "known_videos=1", "prompts.limit=1")
    assert status == 0, said
    summary = json.loads((run.path / "evaluation" / "000002-known" / "summary.json").read_text())
    assert summary["videos"] == 16 and len(summary["gestures"]) == 16
    assert 0 <= summary["metrics"]["known_accuracy"]["value"] <= 1


def test_a_folder_of_videos_made_by_anything_else(entered, metrics):
    draw = torch.Generator().manual_seed(0)
    prompts = read_prompts(Path(metrics[3].removeprefix("prompts.file=")), template="{subject}", seeds=[])
    for name in video_names(prompts):
        size = 32 if name.startswith("0005") else 64  # one of another size
        frames = torch.randint(0, 256, (8, 3, size, size), dtype=torch.uint8, generator=draw)
        write_video(Path("made") / name.replace(".mp4", "-0123abcd.mp4"), frames, fps=3)
    arguments = ["videos=made", "copying=false", "data=videos", f"data.path={entered.clips}", *metrics]
    status, said = entered(evaluate, *arguments)
    assert status == 0 and "32 x 32 px, the first video 64 x 64" in said, said
    rows = read_scores(Path("made-scores/scores.csv"))
    assert len(rows) == 6 and rows["copied"].isna().all() and rows["appearance"].notna().all() and rows["valid"].all()

    # Another test set: refused, and the scores stay.
    before = Path("made-scores/scores.csv").read_bytes()
    Path("fewer.csv").write_text("subject,seed_1,seed_2\nA man,1,2\n")
    status, said = entered(evaluate, *arguments, "prompts.file=fewer.csv")
    assert status == 1 and "another protocol (prompts differ)" in said
    assert Path("made-scores/scores.csv").read_bytes() == before

    # A video that cannot be read stops it, or counts as wrong where that is asked for; one that is missing is named.
    video = next(Path("made").glob("0001-*.mp4"))
    video.write_bytes(video.read_bytes()[:500])
    status, said = entered(evaluate, *arguments, "output=again")
    assert status == 1 and video.name in said and not Path("again/scores.csv").exists()
    status, said = entered(evaluate, *arguments, "output=again", "unreadable=wrong")
    assert status == 0, said
    assert [row["valid"] for row in scores_of("again")] == ["True", "False", *["True"] * 4]
    video.unlink()
    status, said = entered(evaluate, *arguments, "output=third")
    assert status == 1 and "0 videos of 'A man doing the sks sign.' with seed 2" in said


def test_a_folder_of_videos_that_is_shut_is_said(tmp_path, monkeypatch):
    with pytest.raises(VmcError, match=r"does not read \(Not a directory\); give a folder of mp4s"):
        check_videos(Path(__file__))

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(VmcError, match=rf"videos is {tmp_path}, which does not read \(Permission denied\)"):
        check_videos(tmp_path)


def test_a_table_of_videos_is_read_as_a_spreadsheet_saves_it(tmp_path):
    file = tmp_path / "prompts.csv"
    file.write_bytes("\r\n\r\nVideo ;Prompt;;\r\none.mp4;He waves;;\r\n;;;\r\ntwö.mp4;She waves;;\r\n".encode("utf-16"))
    assert named_videos(file) == ["one.mp4", "twö.mp4"]
    file.write_text("video,prompt\n,He waves\n")
    with pytest.raises(VmcError, match=r"prompts\.csv, row 2, names no video; name one"):
        named_videos(file)
    file.write_text("prompt\nHe waves\n")
    assert named_videos(file) == []


def test_videos_named_in_a_table(entered, metrics):
    for name in ("one.mp4", "two.mp4"):
        draw = torch.Generator().manual_seed(len(name))
        frames = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8, generator=draw)
        write_video(Path("clips") / name, frames, fps=3)
    Path("prompts.csv").write_text(
        "video,prompt,subject,language,seed\none.mp4,He waves,a man,a man waving,1\ntwo.mp4,She waves,a woman,,2\n"
    )
    arguments = ["videos=clips", "copying=false", *metrics, "prompts.file=prompts.csv", "motion=custom"]
    arguments += ["data=videos", f"data.path={entered.clips}"]
    status, said = entered(evaluate, *(word for word in arguments if not word.startswith("motion.")))
    assert status == 0, said
    rows = read_scores(Path("clips-scores/scores.csv"))
    assert list(rows["video"]) == ["one.mp4", "two.mp4"]
    Path("twice.csv").write_text("video,prompt,subject,seed\none.mp4,He waves,a man,1\none.mp4,He waves,a man,2\n")
    twice = [*arguments, "prompts.file=twice.csv", "output=twice"]
    status, said = entered(evaluate, *(word for word in twice if not word.startswith("motion.")))
    assert status == 1 and "two prompts have the video one.mp4; give each prompt a video of its own" in said
    Path("clips").rename("elsewhere")
    status, said = entered(evaluate, *(word for word in arguments if not word.startswith("motion.")))
    assert status == 1 and "videos is clips, which does not read (No such file or directory)" in said
    assert rows["text_alignment"].notna().tolist() == [True, False]
    assert rows["motion_correct"].isna().all()


def test_held_out_clips_are_the_ceiling(entered, metrics):
    from vmc.mini.world.jester_folder import write

    write(Path("jester"), per_class=3, classes=("Swiping Down", "No gesture"), test_clips=0, workers=1)
    status, said = entered(
        evaluate, *metrics, f"model.path={entered.model}", "control=real", "output=real",
        "data.path=jester", "data.source.exemplars=2", "regularization=none",
    )  # fmt: skip
    assert status == 0, said
    (row,) = scores_of("real")
    assert row["prompt"].startswith("held-out clip") and row["valid"] == "True" and row["motion_correct"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run=a", "videos=b"], "run and videos are both given"),
        (["ask=nothing"], "ask is 'nothing'; it must be token or language or known"),
        (["step=3"], "step is 3, but run is null"),
        (["run=occupied"], "holds no config.yaml"),
        (["videos=nowhere"], "videos is nowhere, which does not read"),
    ],
)
def test_what_cannot_be_scored_is_said(entered, metrics, arguments, expected):
    status, said = entered(evaluate, *metrics, f"model.path={entered.model}", "copying=false", *arguments)
    assert status == 1
    assert expected in said
    assert "Traceback" not in said


def test_scores_are_shown_in_wandb_where_that_is_asked_for(run, entered, monkeypatch):
    begun, logged, ended = [], [], []

    class Run:
        def define_metric(self, *names, **options):
            pass

        def log(self, values):
            logged.append(values)

        def finish(self, exit_code):
            ended.append(exit_code)

    monkeypatch.setattr("wandb.init", lambda **options: begun.append(options) or Run())
    status, said = entered(evaluate, f"run={run.path}", "logger=wandb", "logger.group=mine")
    assert status == 0, said
    names = [begun[0][key] for key in ("name", "job_type", "group")]
    assert names == ["method-custom-seed0-evaluate", "evaluate", "mine"]
    assert ended == [0]
    assert {"evaluation/appearance", "evaluation/videos", "step"} <= logged[0].keys()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", ["prompt,Video\na man,a.mp4\n", "Prompt;video\na man;a.mp4\n"])
def test_videos_are_named_by_a_table_as_a_spreadsheet_saves_it(text, encoding, tmp_path):
    (tmp_path / "prompts.csv").write_text(text, encoding=encoding)
    assert named_videos(tmp_path / "prompts.csv") == ["a.mp4"]
