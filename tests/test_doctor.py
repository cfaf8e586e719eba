"""`python -m vmc.doctor`: its table, its remedies and its exit code."""

import pytest
import torch

from vmc import doctor
from vmc.checkup import machine, networks, services, software
from vmc.checkup.rows import Row, lines
from vmc.download.sources import SOURCES
from vmc.errors import VmcError
from vmc.fullsize.sizes import ZEROSCOPE


def told(capsys, *words: str) -> tuple[int, str]:
    status = doctor.main(words)
    return status, capsys.readouterr().out


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """No weights, no GPU, and no Slurm to wait for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VMC_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(services, "check_launcher", lambda name: None)
    return tmp_path


def test_the_miniature_can_run(elsewhere, capsys):
    status, said = told(capsys)
    assert status == 0 and said.endswith("stack=mini can run here\n")
    assert "fails" not in said
    for part in ("packages", "torchvision", "video codec", "memory", "disk", "GPU", "classifier", "W&B", "launcher"):
        assert part in said
    assert "estimate" in said


def test_the_papers_stack_names_what_is_missing_and_its_commands(elsewhere, capsys):
    status, said = told(capsys, "--stack", "paper")
    assert status == 1 and "cannot run here yet: GPU, zeroscope, trn, clip, sscd" in said
    for name in networks.PAPER:
        assert f"-> python -m vmc.weights get {name}" in said
    assert "python -m vmc.prepare jester PATH" in said


def test_weights_that_are_there_are_found(elsewhere, monkeypatch):
    monkeypatch.setenv("VMC_WEIGHTS", str(elsewhere / "own"))
    (elsewhere / "own").mkdir()
    (elsewhere / "own" / SOURCES["trn"].name).write_bytes(b"x")
    (elsewhere / "own" / f"{SOURCES['clip'].name}.part").write_bytes(b"x")
    rows = {row.part: row for row in networks.networks("paper")}
    assert rows["trn"].state == "ok" and rows["sscd"].state == "fails"
    assert "is not complete" in rows["clip"].found
    assert rows["Jester"].state == "note"


def test_a_cached_pipeline_is_found(blank, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *words, **more: str(blank))
    assert networks.networks("paper")[0].state == "ok"


def test_a_shipped_network_that_is_gone_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "shipped", lambda name: tmp_path / name)
    rows = networks.networks("mini")
    assert [row.state for row in rows] == ["ok", "fails", "fails", "fails"]
    assert rows[1].remedy == "python -m vmc.mini classifier"


def test_packages_that_do_not_fit_are_named():
    needs = ["torch>=2.0", "numpy<1", "no-such-package>=3", "pytest>=999; extra == 'dev'"]
    assert [need for need, _ in software.unmet(needs)] == ["numpy<1", "no-such-package>=3"]
    assert list(software.unmet(["no-such-package>=3"])) == [("no-such-package>=3", None)]


def test_nothing_else_is_looked_at_where_packages_are_missing(monkeypatch, capsys):
    monkeypatch.setattr(software, "requires", lambda name: ["no-such-package>=3"])
    monkeypatch.setattr(doctor, "import_module", lambda name: pytest.fail(name))
    status, said = told(capsys)
    assert status == 1 and "-> pip install 'no-such-package>=3'" in said and "cannot run here yet: packages" in said


def test_a_codec_that_is_missing_fails(monkeypatch):
    def refuse(*words, **more):
        raise VmcError("no libx264")

    monkeypatch.setattr("vmc.data.video.write_video", refuse)
    row = software._codec()
    assert row.state == "fails" and "libx264" in row.remedy


@pytest.mark.parametrize(("free", "total", "state"), [(70.0, 80.0, "ok"), (10.0, 24.0, "note"), (7.0, 8.0, "fails")])
def test_gpu_memory_is_held_against_the_need(free, total, state):
    row = machine.gpu_memory(free, total)
    assert row.state == state and "computed" in row.found
    assert bool(row.remedy) == (state != "ok")


def test_the_need_is_that_of_the_counted_parameters():
    held = 570_882_176 * 16 + (1_411_233_860 - 570_882_176) * 2 + 83_653_863 * 4
    assert pytest.approx(held / 2**30) == machine.HELD and 10 < machine.HELD < 12


def test_a_gpu_without_bfloat16_is_told_its_precision(monkeypatch):
    assert machine.precision(bf16=False).remedy == "add trainer.precision=16-mixed"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: "Some GPU")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda place: (30 * 2**30, 40 * 2**30))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: True)
    assert [(row.part, row.state) for row in machine._gpu("paper")] == [
        ("GPU", "ok"),
        ("GPU memory", "ok"),
        ("precision", "ok"),
    ]
    assert [row.part for row in machine._gpu("mini")] == ["GPU"]


def test_little_memory_and_disk_are_notes(monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 0.5)
    assert machine._memory("mini").state == "note" and machine._memory("mini").remedy
    monkeypatch.setattr(machine, "available_memory", lambda: None)
    assert "not known" in machine._memory("mini").found
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: machine.shutil._ntuple_diskusage(10, 5, 5))
    assert machine._disk("paper").state == "note"


def test_wandb_and_launchers_are_never_what_fails(monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr("vmc.runs.mirror.logged_in", lambda: False)

    def refuse(name):
        raise VmcError(f"{name} needs a package that is not installed; pip install 'vmc[{name}]'")

    monkeypatch.setattr(services, "check_launcher", refuse)
    rows = services.services()
    assert [row.state for row in rows] == ["note"] * 3
    assert rows[1].remedy == "pip install 'vmc[joblib]'"
    monkeypatch.setattr("vmc.runs.mirror.logged_in", lambda: True)
    assert services.services()[0].found.startswith("logged in")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert "disabled" in services.services()[0].found


def test_the_table_has_each_remedy_below_its_finding():
    rows = [Row(part="a", state="ok", found="fine"), Row(part="bb", state="fails", found="gone", remedy="get it")]
    assert lines(rows) == ["ok     a   fine", "fails  bb  gone", "           -> get it"]


def test_the_counts_are_those_of_the_real_architecture():
    """On the meta device, from the sizes that the published folders have."""
    networks = ZEROSCOPE.networks()
    counts = {name: sum(part.numel() for part in network.parameters()) for name, network in networks.items()}
    assert (counts["unet"], counts["vae"]) == (machine.ALL, machine.VAE)


def test_help_answers(capsys):
    with pytest.raises(SystemExit) as stop:
        doctor.main(["--help"])
    assert stop.value.code == 0 and "--stack" in capsys.readouterr().out


def test_the_table_of_gpu_memory_is_asked_for(monkeypatch, capsys):
    monkeypatch.setattr("vmc.checkup.memory.table", lambda: ["a table", "of two lines"])
    assert told(capsys, "--memory") == (0, "a table\nof two lines\n")
