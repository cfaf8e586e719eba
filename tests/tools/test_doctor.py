"""`python -m vmc.doctor`: its table, its remedies and its exit code."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vmc import doctor
from vmc.mini.makers.blank import write_blank
from vmc.mini.world.jester_folder import write as write_jester
from vmc.models.base import families
from vmc.tools.doctor import machine_checks, software_checks
from vmc.tools.doctor.machine_checks import PlannedRun, clips, disk, disk_use, networks
from vmc.tools.doctor.software_checks import Row, lines
from vmc.tools.downloads import SOURCES
from vmc.utils.errors import VmcError

DIGEST = hashlib.sha256(b"x").hexdigest()


def told(capsys, *words: str) -> tuple[int, str]:
    status = doctor.main(words)
    return status, capsys.readouterr().out


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """No weights and no GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VMC_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return tmp_path


def test_the_miniature_can_run(elsewhere, capsys):
    status, said = told(capsys)
    assert status == 0 and said.endswith("stack=mini can run here\n")
    assert "fails" not in said
    for part in ("packages", "torchvision", "video codec", "memory", "disk", "GPU", "classifier"):
        assert part in said
    assert "estimate" in said


def test_the_papers_stack_names_what_is_missing_and_its_commands(elsewhere, capsys):
    status, said = told(capsys, "--stack", "paper")
    assert status == 1 and "stack=paper cannot run here yet: GPU, zeroscope, trn, clip, sscd" in said
    for name in ("zeroscope", "trn", "clip", "sscd"):
        assert f"-> python -m vmc.weights get {name}" in said
    assert "python -m vmc.prepare jester PATH" in said


def test_the_doctor_looks_at_the_run_that_is_chosen(elsewhere, blank, capsys):
    words = (f"model.path={blank}", "metrics=none", "trainer=cpu", "data=videos", "data.path=nowhere", "motion=custom")
    status, said = told(capsys, "--stack", "paper", *words)
    assert status == 1 and f"the folder {blank}" in said and "none, and none is needed" in said
    assert said.endswith("motion=custom cannot run here yet: clips\n") and "data.path is nowhere" in said
    assert "trn" not in said and "zeroscope" not in said
    status, said = told(capsys, "subject=images", "metrics=none")
    assert status == 0 and "their folder is given by subject.path" in said
    status, said = told(capsys, "subject=images", "subject.path=nowhere", "metrics=none")
    assert status == 1 and "subject.path is nowhere" in said and said.endswith("cannot run here yet: stills\n")
    status, said = told(capsys, "model=modelscope", "optimizer=adamw8bit", "evaluate_every=0")
    assert status == 1 and "modelscope" in said and "classifier" not in said


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("model=nope", "In 'train': Could not find 'model/nope' Available options in 'model': animatediff mini"),
        ("stesp=3", "stesp is unknown; did you mean steps?"),
        ("paramters=lora", "paramters is unknown; did you mean parameters?"),
        ("+paramters=lora", "paramters is unknown; did you mean parameters?"),
        ("data.size=x", "data.size is x; it must be a whole number"),
        ("motion.mirror=no", "motion.mirror is no; it must be true or false"),
        ("optimizer.betas=[2,2]", "optimizer.betas.0 is 2; it must be a number from 0 to below 1"),
        ("seed=-1", "seed is -1; it must be a whole number from 0 to"),
        ("parameters.groups=[nobody]", "parameters.groups names 'nobody'"),
        ("sampler.steps=0", "sampler.steps is 0"),
    ],
)
def test_wrong_overrides_are_one_sentence(elsewhere, capsys, word, sentence):
    for stack in ("mini", "paper"):  # of which the second lacks the path of its data
        assert doctor.main(["--stack", stack, word]) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith(sentence) and said.err.count("\n") == 1


def test_published_files_are_compared(elsewhere, monkeypatch):
    monkeypatch.setenv("VMC_WEIGHTS", str(elsewhere / "own"))
    (elsewhere / "own").mkdir()
    trn, clip, sscd = (elsewhere / "own" / SOURCES[name].name for name in ("trn", "clip", "sscd"))
    for file in (trn, clip):
        file.write_bytes(b"x")
    trn.with_name(f"{trn.name}.json").write_text(json.dumps({"sha256": DIGEST}))

    def found() -> dict[str, Row]:
        return {row.part: row for row in networks(PlannedRun("paper"))}

    rows = found()
    assert [rows[name].state for name in ("trn", "clip", "sscd")] == ["ok", "fails", "fails"]
    assert "recorded in" in rows["trn"].found and "another SHA-256 than is published" in rows["clip"].found
    assert f"{sscd.name} is missing" in rows["sscd"].found and "get sscd" in rows["sscd"].remedy
    monkeypatch.setitem(SOURCES, "clip", replace(SOURCES["clip"], sha256=None))
    trn.write_bytes(b"y")
    rows = found()
    assert rows["clip"].state == "note" and rows["clip"].remedy == f"python -m vmc.weights check {clip}"
    assert rows["trn"].state == "fails" and "get trn" in rows["trn"].remedy


def test_a_cached_pipeline_is_found_and_a_folder_without_a_part_is_not(blank, tmp_path, monkeypatch):
    (tmp_path / "unet").mkdir()
    broken = networks(PlannedRun("paper", [f"model.path={tmp_path}"]))[0]
    assert broken.state == "fails" and "has no unet/config.json" in broken.found
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *words, **more: str(blank))
    run = PlannedRun("paper")
    assert networks(run)[0].state == "ok" and run.base.path == blank


def test_clips_are_counted_and_not_opened(tmp_path):
    write_jester(
        tmp_path / "jester",
        per_class=3,
        classes=("Swiping Down", "Doing other things", "No gesture"),
        train_per_class=1,
        test_clips=1,
        workers=1,
    )
    few = ("data.source.exemplars=2", "data.source.regularization_count=3", f"data.path={tmp_path / 'jester'}")
    (row,) = clips(PlannedRun("paper", few))
    assert row.state == "ok" and row.found.startswith("2 exemplars and 6 regularization clips in")
    (row,) = clips(PlannedRun("paper", [*few, "regularization=synthetic"]))
    assert row.found.startswith("2 exemplars and no regularization clips")
    (row,) = clips(PlannedRun("paper", [*few, "motion=drumming_fingers"]))
    assert row.state == "fails" and "Drumming Fingers" in row.found
    assert clips(PlannedRun("mini")) == []  # rendered when they are needed


def test_a_shipped_network_that_is_gone_fails(tmp_path, monkeypatch):
    monkeypatch.setattr("vmc.mini.shipped.WEIGHTS", tmp_path)
    rows = networks(PlannedRun("mini"))
    assert [row.state for row in rows] == ["fails"] * 4 + ["ok"]  # quality needs no file
    assert [row.part for row in rows] == ["model", "classifier", "appearance", "copying", "quality"]
    assert rows[1].remedy == "python -m vmc.mini classifier"
    rows = networks(PlannedRun("mini", ["metrics.appearance.get=''"]))
    assert rows[2].remedy == "set metrics.appearance.path to a file that is there"


def test_packages_that_do_not_fit_are_named():
    needs = ["torch>=2.0", "numpy<1", "no-such-package>=3", "pytest>=999; extra == 'dev'"]
    assert [need for need, _ in software_checks.unmet(needs)] == ["numpy<1", "no-such-package>=3"]
    assert list(software_checks.unmet(["no-such-package>=3"])) == [("no-such-package>=3", None)]


def test_nothing_else_is_looked_at_where_packages_are_missing(monkeypatch, capsys):
    monkeypatch.setattr(software_checks, "requires", lambda name: ["no-such-package>=3"])
    monkeypatch.setattr(doctor, "import_module", lambda name: pytest.fail(name))
    status, said = told(capsys)
    assert status == 1 and "-> pip install 'no-such-package>=3'" in said and "cannot run here yet: packages" in said


def test_a_codec_that_is_missing_fails(monkeypatch):
    def refuse(*words, **more):
        raise VmcError("no libx264")

    monkeypatch.setattr("vmc.data.video.write_video", refuse)
    row = software_checks._codec()
    assert row.state == "fails" and "libx264" in row.remedy


@pytest.fixture
def gpu(monkeypatch):
    """Says what PyTorch would say of a GPU."""

    def says(free: float, total: float, *, bf16: bool = True) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: "Some GPU")
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda place: (int(free * 2**30), int(total * 2**30)))
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: bf16)

    return says


def test_gpu_memory_is_held_against_the_need_of_the_run(gpu):
    run = PlannedRun("paper")
    rows = {}
    for total in (8, 12, 80):
        gpu(total - 1, total)
        _, rows[total] = machine_checks.gpu(run)
    assert [row.state for row in rows.values()] == ["fails", "ok", "ok"]
    assert "optimizer state alone take 11.1 GiB, and the GPU has 8.0" in rows[8].found
    assert "optimizer=adamw8bit, batch_size=1, parameters=lora" in rows[8].remedy
    assert machine_checks.gpu(PlannedRun("paper", ["model.path=somewhere/else"]))[1].state == "note"
    gpu(3, 4)
    assert machine_checks.gpu(PlannedRun("paper", ["parameters=lora", "evaluate_every=0"]))[1].state == "ok"
    assert machine_checks.gpu(PlannedRun("paper", ["+baseline=pretrained"]))[1].state == "ok"


@pytest.mark.parametrize("family", ["unet3d", "wan"])
def test_what_is_trained_is_counted_by_the_models_own_config_files(family, tmp_path):
    write_blank(tmp_path / "model", family=family)
    words = [] if family == "unet3d" else ["model=wan", "parameters=self_qk"]
    run = PlannedRun("mini", [f"model.path={tmp_path / 'model'}", *words])
    denoiser = families()[family](path=tmp_path / "model").denoiser()
    assert 0 < run.trained < sum(tensor.numel() for tensor in denoiser.parameters())


def test_the_run_says_whether_it_takes_a_gpu_and_which_precision(gpu):
    gpu(39, 40)
    assert [row.state for row in machine_checks.gpu(PlannedRun("paper"))] == ["ok"] * 2
    assert [row.part for row in machine_checks.gpu(PlannedRun("mini"))] == ["GPU"]
    two = PlannedRun("mini", ["trainer=ddp", "batch_size=4"])
    assert machine_checks.gpu(two)[0].found == "trainer.devices is 2, but there are 1 GPUs here"
    gpu(39, 40, bf16=False)
    (row,) = machine_checks.gpu(PlannedRun("paper"))
    assert row.state == "fails" and row.remedy == "use trainer.precision=16-mixed"
    assert machine_checks.gpu(PlannedRun("paper", ["trainer.precision=16-mixed"]))[-1].state == "ok"


def test_room_is_computed_from_what_is_trained_and_how_often_it_is_saved():
    method = disk_use(PlannedRun("paper"))
    trained = 570_882_176
    assert method == (trained * (6 * 4 + 2 * 12), trained * (6 * 4 + 3 * 12))
    assert method == (pytest.approx(27.4e9, rel=2e-3), pytest.approx(34.3e9, rel=2e-3))
    words = ["weights_dtype=bfloat16", "optimizer=adamw8bit", "evaluate_every=750", "steps=1500", "checkpoint_every=0"]
    assert disk_use(PlannedRun("paper", words)) == (trained * (2 + 4 + 6),) * 2
    assert disk_use(PlannedRun("paper", ["+baseline=pretrained"])) == (0, 0)
    assert disk_use(PlannedRun("paper", ["model.path=somewhere/else"])) is None


def test_the_page_on_the_paper_has_the_room_that_table_2_takes():
    """Ten arms that differ; five motions."""
    arms = ("params_none", "params_kv", "params_all", "temporal_frozen", "temporal_frozen_spatial", "token_trained")
    arms += ("timesteps_uniform", "reg_none", "reg_synthetic", "lora")
    in_all = 5 * sum(disk_use(PlannedRun("paper", [f"+ablation={arm}"]))[0] for arm in arms) / 1e12
    page = (Path(__file__).parents[2] / "docs" / "reproducing_the_paper.md").read_text()
    (said,) = re.findall(r"Table 2's runs take up to ([0-9.]+) TB", page)
    assert float(said) == pytest.approx(in_all, abs=0.05)


def test_a_cache_that_cannot_be_written_is_found(tmp_path, monkeypatch):
    (tmp_path / "clip.mp4").write_text("a file")
    monkeypatch.setenv("VMC_CACHE", str(tmp_path / "clip.mp4"))
    row = disk(PlannedRun("mini"))
    assert row.state == "note" and "clip.mp4, which is a file" in row.found and "VMC_CACHE" in row.remedy
    row = disk(PlannedRun("mini", [f"output={tmp_path / 'clip.mp4' / 'run'}", f"cache={tmp_path}"]))
    assert row.state == "fails" and row.found.startswith("output is") and "set output=" in row.remedy


def test_little_memory_and_disk_are_notes(monkeypatch):
    monkeypatch.setattr(machine_checks, "available_memory", lambda: 2**29)
    run = PlannedRun("mini")
    assert machine_checks.memory(run).state == "note" and machine_checks.memory(run).remedy
    monkeypatch.setattr(machine_checks, "available_memory", lambda: None)
    assert "not known" in machine_checks.memory(run).found
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(50e9, 20e9, 30e9))
    row = disk(PlannedRun("paper"))
    assert row.state == "note" and "a run leaves about 28 and takes 35 while it saves" in row.found
    assert "(estimate)" in row.found and "the download of zeroscope 3.7" in row.found
    assert disk(run).state == "ok"


def test_the_table_has_each_remedy_below_its_finding():
    rows = [Row("a", "ok", "fine"), Row("bb", "fails", "gone", "get it")]
    assert list(lines(rows)) == ["ok     a   fine", "fails  bb  gone", "           -> get it"]


def test_help_answers(capsys):
    with pytest.raises(SystemExit) as stop:
        doctor.main(["--help"])
    assert stop.value.code == 0 and "--stack" in capsys.readouterr().out


def test_the_table_of_gpu_memory_is_asked_for(monkeypatch, capsys):
    monkeypatch.setattr("vmc.tools.doctor.machine_checks.memory_table", lambda: ["a table", "of two lines"])
    assert told(capsys, "--memory") == (0, "a table\nof two lines\n")
