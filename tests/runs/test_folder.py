"""The run folder, also where a killed process, a full disk or a bad sector has been at it."""

import csv
import errno
import json
import logging
import os
from pathlib import Path

import pytest
import yaml

from vmc.data.clips import Clip
from vmc.runs.clips import clip_rows, differing_clips, write_clips
from vmc.runs.earlier_versions import TRAIN_COLUMNS, read_config
from vmc.runs.folder import RunFolder, newest_weights, read_state, shown_state
from vmc.runs.lock import LOCK, holder, run_lock
from vmc.runs.resuming import is_done
from vmc.utils.errors import UnwritableError, VmcError

CONFIG = {"parameters": {"groups": ["temporal"]}, "optimizer": {"lr": 1.0}, "steps": 5}
ROW = {"exemplar_updates": 1, "loss": "0.5", "loss_motion": "0.5", "loss_regularization": ""}


@pytest.fixture
def begun(tmp_path):
    """A run of two steps of which the first has a checkpoint."""
    run = RunFolder(tmp_path / "run", config=CONFIG)
    run.check()
    run.begin(threads=1, world=1)
    run.cut_back(0)
    for step in (1, 2):
        run.append({"step": step, **ROW, "seconds": step * 1.5})
    run.checkpoint(1).parent.mkdir()
    run.checkpoint(1).write_bytes(b"")
    return run


BROKEN = [
    *(b'{"status": "run', b"\xff\xfe{}", b"[1, 2]", b"", b'{"step": 3}', b'{"status": "failed", "step": "ten"}'),
    pytest.param(b"[" * 100_000, id="deep"),
]


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_state_is_rebuilt_and_said(begun, caplog, content):
    (begun.path / "run.json").write_bytes(content)
    assert read_state(begun.path) == {"status": "running", "reason": None, "step": 1, "seconds": 1.5}
    assert shown_state(begun.path)["status"] == "interrupted"
    again = RunFolder(begun.path, config=CONFIG)
    assert not is_done(again.check(), 5)
    again.begin(threads=1, world=1, step=1)
    assert f"{begun.path / 'run.json'} does not read; it is written anew" in caplog.text
    assert json.loads((begun.path / "run.json").read_text())["status"] == "running"


def test_a_run_in_a_folder_of_another_user_is_seen_to_go_on(begun, monkeypatch):
    def refuse(file, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(file))

    with run_lock(begun.path):
        monkeypatch.setattr("vmc.runs.lock.FileLock", refuse)
        assert shown_state(begun.path)["status"] == "running"
        assert holder(begun.path) == (begun.path / LOCK).read_text().strip()
    (begun.path / LOCK).write_text("pid 1 on a machine\n")  # of a process that was killed
    assert shown_state(begun.path)["status"] == "interrupted"


def test_the_state_says_how_long_a_run_has_trained(begun, monkeypatch):
    assert read_state(begun.path)["seconds"] == 0.0
    begun.update(step=2)
    assert read_state(begun.path)["seconds"] == 3.0
    monkeypatch.setattr("vmc.runs.folder.UPDATE_EVERY", 0.0)
    begun.append({"step": 3, **ROW, "seconds": 4.5})
    assert read_state(begun.path)["seconds"] == 4.5


def test_a_run_killed_before_its_config_was_there_left_an_empty_folder(tmp_path):
    (tmp_path / "run" / ".config.yaml-abcdefgh.tmp").mkdir(parents=True)
    (tmp_path / "run" / ".config.yaml-abcdefgh.tmp" / "config.yaml").write_text("steps:")
    run = RunFolder(tmp_path / "run", config=CONFIG)
    assert run.check() == {}
    run.begin(threads=1, world=1)
    assert sorted(path.name for path in run.path.iterdir()) == ["config.yaml", "run.json"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(VmcError, match="holds files but no run"):
        RunFolder(tmp_path / "other", config=CONFIG).check()


@pytest.mark.parametrize("cut", ["3,1,0.2", '3,1,0.25,0.25,"', "\x00\x00", "3,1,nonsense,,,2.0"])
def test_a_row_that_was_cut_off_is_dropped(begun, caplog, cut):
    with begun.train_csv.open("a") as file:
        file.write(cut)
    begun.cut_back(2)
    assert [line.split(",")[0] for line in begun.train_csv.read_text().splitlines()] == ["step", "1", "2"]
    assert not caplog.text


@pytest.mark.parametrize(
    ("content", "kept", "lost"),
    [
        (None, [], "2 of the 2 steps that are behind this run, the first of step 1"),
        (b"\xff\xfe\x00garbled", [], "2 of the 2 steps that are behind this run, the first of step 1"),
        (b"st\xffep,x\n1,1,0.\xff,0.5,,1.5\n2,2,0.5,0.5,,3.0\n", ["2"], "1 of the 2 steps"),
    ],
)
def test_losses_that_are_gone_at_a_resume_are_told(begun, caplog, content, kept, lost):
    begun.train_csv.unlink() if content is None else begun.train_csv.write_bytes(content)
    begun.cut_back(2)
    assert f"{begun.train_csv} lacks the losses of {lost}" in caplog.text
    assert [line.split(",")[0] for line in begun.train_csv.read_text().splitlines()] == ["step", *kept]


def test_losses_that_have_a_name_become_columns_at_the_end(begun):
    """A row that brings more writes the file anew; one that lacks them leaves their cells empty."""
    begun.append({"step": 3, **ROW, "seconds": 4.5, "loss_one": "0.25", "lr": "0.1"})
    begun.append({"step": 4, **ROW, "seconds": 6.0, "loss_one": "0.5", "lr": "0.2"})
    begun.append({"step": 5, **ROW, "seconds": 7.5})
    rows = list(csv.DictReader(begun.train_csv.open()))
    assert list(rows[0]) == [*TRAIN_COLUMNS, "loss_one", "lr"]
    assert [(row["step"], row["seconds"], row["loss_one"], row["lr"]) for row in rows] == [
        *(("1", "1.5", "", ""), ("2", "3.0", "", ""), ("3", "4.5", "0.25", "0.1"), ("4", "6.0", "0.5", "0.2")),
        ("5", "7.5", "", ""),
    ]
    again = RunFolder(begun.path, config=CONFIG)
    again.cut_back(3)
    again.append({"step": 4, **ROW, "seconds": 9.0, "loss_one": "0.75", "lr": "0.3"})
    lines = begun.train_csv.read_text().splitlines()
    assert lines[0] == ",".join([*TRAIN_COLUMNS, "loss_one", "lr"])
    assert lines[1:] == [
        *("1,1,0.5,0.5,,1.5,,", "2,1,0.5,0.5,,3.0,,"),
        *("3,1,0.5,0.5,,4.5,0.25,0.1", "4,1,0.5,0.5,,9.0,0.75,0.3"),
    ]


@pytest.mark.parametrize("cut", ["4,1,0.5,0.5,,6.0", "4,1,0.5,0.5,,6.0,0.5", "4,1,0.5,0.5,,6.0,0.5,x"])
def test_a_row_that_was_cut_off_among_the_named_losses_is_dropped(begun, cut):
    begun.append({"step": 3, **ROW, "seconds": 4.5, "loss_one": "0.25", "lr": "0.1"})
    with begun.train_csv.open("a") as file:
        file.write(cut)
    begun.cut_back(4)
    assert [line.split(",")[0] for line in begun.train_csv.read_text().splitlines()] == ["step", "1", "2", "3"]


def test_a_run_of_before_objectives_and_schedules_goes_on(tmp_path):
    """Its config lacks them, and names its classes as they were called."""
    earlier = CONFIG | {"model": {"_target_": "vmc.diffusion.components.BaseModel"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(earlier))
    added = {
        "objective": {"_target_": "vmc.diffusion.objective.Denoising"},
        "lr_schedule": {"_target_": "vmc.training.optimizers.Constant"},
    }
    now = CONFIG | {"model": {"_target_": "vmc.models.zeroscope.UNet3D"}} | added
    found = read_config(tmp_path)
    assert {**found, **now} == found
    run = RunFolder(tmp_path, config=now)
    run.checkpoint(1).parent.mkdir()
    run.checkpoint(1).write_bytes(b"")
    run.check()
    other = now | {"objective": {"_target_": "vmc.diffusion.objective.AppearanceDebiased", "beta": 1.0}}
    with pytest.raises(VmcError, match=r"a run of a different config \(objective\._target_, objective\.beta differ\)"):
        RunFolder(tmp_path, config=other).check()


def test_losses_on_a_full_disk_are_a_sentence(begun, monkeypatch):
    begun.train_csv.unlink()
    begun.train_csv.symlink_to("/dev/full")
    with pytest.raises(UnwritableError, match=r"train\.csv cannot be written \(No space left on device\); free some"):
        begun.append({"step": 3, **ROW, "seconds": 4.5})


def test_how_a_run_ended_hides_no_full_disk(begun, monkeypatch, caplog):
    def full(**_):
        raise UnwritableError("the disk is full")

    monkeypatch.setattr(begun, "update", full)
    begun.conclude(status="failed", reason="another error")
    assert "the disk is full" in caplog.text
    with pytest.raises(UnwritableError):
        begun.conclude(status="finished", reason="steps")


def test_checkpoints_later_than_the_step_are_dropped_with_the_oldest(begun):
    for step in (2, 3, 9):
        begun.checkpoint(step).write_bytes(b"")
    begun.drop_checkpoints(3, keep=2)
    assert [file.name for file in begun.checkpoints()] == ["000002.ckpt", "000003.ckpt"]


@pytest.mark.parametrize("status", ["failed", "stopped", "running"])
def test_a_run_that_came_to_no_checkpoint_may_be_overwritten(begun, caplog, status):
    begun.checkpoint(1).unlink()
    begun.evaluation(0).mkdir(parents=True)
    begun.weights(0).parent.mkdir()
    begun.weights(0).write_bytes(b"")
    (begun.path / "clips.csv").write_text("")
    (begun.path / "notes.txt").write_text("mine")
    begun.update(status=status, reason="the loss is nan")
    other = RunFolder(begun.path, config={**CONFIG, "optimizer": {"lr": 0.1}})
    assert other.check() == {}
    assert begun.train_csv.is_file()
    other.begin(threads=1, world=1)
    assert "(optimizer.lr) that came to no checkpoint (the loss is nan); it is begun anew" in caplog.text
    left = {path.name for path in begun.path.iterdir() if path.is_file() or any(path.iterdir())}
    assert left == {"config.yaml", "run.json", "notes.txt"}
    assert yaml.safe_load((begun.path / "config.yaml").read_text())["optimizer"] == {"lr": 0.1}
    assert read_state(begun.path)["seconds"] == 0.0


@pytest.mark.parametrize("kept", ["checkpoints/000001.ckpt", "weights/000300.safetensors", "evaluation/000300"])
def test_a_run_that_left_something_is_refused_to_another_config(begun, kept):
    begun.checkpoint(1).unlink()
    (begun.path / kept).parent.mkdir(exist_ok=True)
    (begun.path / kept).mkdir() if kept.startswith("evaluation") else (begun.path / kept).write_bytes(b"")
    with pytest.raises(VmcError, match=r"a run of a different config \(optimizer\.lr differ\)"):
        RunFolder(begun.path, config={**CONFIG, "optimizer": {"lr": 0.1}}).check()


def test_two_folders_of_clips_with_one_name_are_told_how_to_be_two_motions(tmp_path):
    for clips in ("anna/clips", "ben/clips"):
        run = RunFolder(tmp_path / "run", config={**CONFIG, "data": {"path": clips}})
        if clips == "anna/clips":
            run.begin(threads=1, world=1)
            run.checkpoint(1).parent.mkdir()
            run.checkpoint(1).write_bytes(b"")
    with pytest.raises(VmcError, match=r"\(data\.path differ\); choose another motion\.name or output or remove"):
        run.check()


def test_scores_of_the_base_model_alone_are_worth_something(tmp_path):
    run = RunFolder(tmp_path / "run", config={"parameters": None, "seed": 0})
    run.begin(threads=1, world=1)
    other = RunFolder(tmp_path / "run", config={"parameters": None, "seed": 1})
    assert other.check() == {}
    run.evaluation(0).mkdir(parents=True)
    with pytest.raises(VmcError, match=r"seed differ"):
        other.check()


@pytest.fixture
def clips_of(tmp_path):
    """Clips with these contents by name, in a folder of their own."""

    def make(folder="clips", **contents):
        (tmp_path / folder).mkdir(exist_ok=True)
        made = []
        for name, content in contents.items():
            (tmp_path / folder / name).write_text(content)
            made.append(Clip(path=tmp_path / folder / name, caption="a sks", role="exemplar"))
        return clip_rows(made)

    return make


def test_clips_that_differ_are_named(clips_of, tmp_path):
    (tmp_path / "config.yaml").write_text("")
    write_clips(clips_of(a="1", b="2", c="3"), tmp_path)
    assert differing_clips(clips_of(a="1", b="2", c="3"), tmp_path) == []
    assert differing_clips(clips_of("elsewhere", a="1", b="2", c="3"), tmp_path) == []
    assert differing_clips(clips_of(a="1", b="x", d="3"), tmp_path) == ["b is changed", "c is gone", "d is new"]
    assert differing_clips(clips_of(b="2", a="1", c="3"), tmp_path) == ["their order is another"]
    said = [{**row, "caption": "another"} for row in clips_of(a="1", b="2", c="3")]
    assert differing_clips(said, tmp_path) == ["a is changed", "b is changed", "c is changed"]
    said = [{**row, "path": f"{row['path']}/images"} for row in said]  # CO3D's sequences
    assert differing_clips(said, tmp_path) == ["a is changed", "b is changed", "c is changed"]


@pytest.mark.parametrize("content", [None, "", "role,path\n", "\x00", "exemplar,a\n", b"\xff\xfe"])
def test_a_table_of_clips_that_is_gone_or_damaged_is_told(clips_of, tmp_path, caplog, content):
    (tmp_path / "config.yaml").write_text("")
    if content is not None:
        (tmp_path / "clips.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with caplog.at_level(logging.WARNING):
        assert differing_clips(clips_of(a="1"), tmp_path) == []
    assert f"{tmp_path / 'clips.csv'}" in caplog.text


def test_a_table_of_clips_without_checksums_is_compared_as_far_as_it_goes(clips_of, tmp_path):
    (tmp_path / "config.yaml").write_text("")
    (tmp_path / "clips.csv").write_text(f"role,path,caption\nexemplar,{tmp_path / 'a'},a sks\n")
    assert differing_clips(clips_of(a="1"), tmp_path) == []
    assert differing_clips(clips_of(a="1", b="2"), tmp_path) == ["b is new"]


def test_a_run_without_weights_is_told_from_one_without_those_of_a_step(begun, monkeypatch):
    with pytest.raises(VmcError, match=r"^run is \S+, which has trained no weights yet; go on with it"):
        newest_weights(begun.path)
    begun.weights(3).parent.mkdir()
    begun.weights(3).write_bytes(b"")
    assert newest_weights(begun.path) == begun.weights(3)
    with pytest.raises(VmcError, match=r"with no weights of step 2; it has those of: 3$"):
        newest_weights(begun.path, step=2)

    def refused(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(VmcError, match=r"weights cannot be read \(Permission denied\); correct its permissions"):
        newest_weights(begun.path)


def test_a_config_that_is_shut_is_said(begun, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(VmcError, match=r"config\.yaml cannot be read \(Permission denied\); correct its permissions$"):
        read_config(begun.path)
