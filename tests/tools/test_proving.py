"""The proof, on a model of ZeroScope's layout in small."""

import json
import subprocess
import sys

import pytest
import torch

from vmc import proof
from vmc.data.video import read_frames
from vmc.generate import main as generate
from vmc.tools import full_size as proving
from vmc.tools.bench.common import make_report, report_text
from vmc.tools.full_size import in_a_process, prove, random_folder
from vmc.train import main as train
from vmc.training.hardware import Hardware
from vmc.utils.errors import VmcError

MAINS = {"vmc.train": train, "vmc.generate": generate}


def options(output, *words: str):
    """The command line."""
    return proof.parser().parse_args(["--output", str(output), "--device", "cpu", *words])


@pytest.fixture(scope="module")
def output(tmp_path_factory, tiny):
    """A proof's folder that has its model already."""
    folder = tmp_path_factory.mktemp("proof") / "out"
    random_folder(folder / "model-bin", tiny)
    return folder


@pytest.fixture
def here(entered):
    """Runs an entry point in this process, with figures that are made up."""

    def command(file, module, words):
        status, said = entered(MAINS[module], *words)
        made_up = {"all": ("s", [3.0]), "peak memory": ("GiB", [2.0])}
        file.write_text(json.dumps(made_up))
        return status, said

    return command


def test_it_loads_trains_and_draws_by_the_ordinary_commands(here, tiny, output):
    given = options(output, "-o", "trainer.threads=1")
    result = prove(given, sizes=tiny, command=here)
    assert json.loads((output / "proof.json").read_text()) == result and not result["failed"]
    found = {name: figure["values"] for name, figure in result["figures"].items()}
    kept, recomputed = (f"training, activations {how}" for how in ("kept", "recomputed"))
    assert found[f"{kept}, loss"] == found[f"{recomputed}, loss"] and len(found[f"{kept}, loss"]) == 1
    assert found[f"{kept}, a step"][0] > 0 and found["generation, 2 steps of the sampler, all"] == [3.0]
    trained = result["settings"]["trained_parameters"]
    assert result["settings"]["trained_tensors"] == 826
    assert found[f"{kept}, weights"] == [pytest.approx(4 * trained / 1e9, rel=0.2)]
    assert found[f"{kept}, checkpoint"][0] > 3 * 4 * trained / 1e9
    frames_FCHW = read_frames(output / "video.mp4")
    assert frames_FCHW.any() and frames_FCHW.shape == (2, 3, 64, 64)
    assert {path.name for path in (output).iterdir()} == {"model-bin", "video.mp4", "proof.json"}

    said = report_text(result)
    assert f"trained parameters {trained}" in said and "activations recomputed, peak memory" in said
    assert str(output.parent) not in said

    # Again: the model is the one that is there.
    stamps = {path: path.stat().st_mtime_ns for path in (output / "model-bin").rglob("*")}
    with pytest.raises(VmcError, match="no training fits"):
        prove(given, sizes=tiny, command=said_by(-9, "Loading"))
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def said_by(status: int, said: str):
    def command(file, module, words):
        file.write_text("{}")
        return status, said

    return command


def test_a_command_that_fails_is_told(tiny, output):
    wrong = said_by(1, "error: the path is wrong")
    with pytest.raises(VmcError, match=r"vmc\.train ended with status 1 \(error: the path is wrong\)"):
        prove(options(output), sizes=tiny, command=wrong)


def test_what_does_not_fit_into_memory_is_a_finding(tmp_path):
    for status, said, reason in (
        (1, "error: CUDA out of memory. Tried ...", "error: CUDA out of memory. Tried ..."),
        (-9, "Loading", "it was ended by signal 9, as by a system that is out of memory"),
    ):
        given = proving.Proof(tmp_path, [], said_by(status, said))
        given.train({}, recomputed=False)
        assert given.failed == {"training, activations kept": reason} and not given.figures
    with pytest.raises(VmcError, match=r"no training fits into memory here; give a smaller --size"):
        given.generate(tmp_path / "video.mp4")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--frames", "0"], "--frames is 0; it must be at least 1"),
        (["--device", "gpu"], "finds no GPU here"),
        (["-o", "steps"], "--override is 'steps'; give KEY=VALUE"),
    ],
)
def test_refusals(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert proof.main(["--output", str(tmp_path / "out"), *words]) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_exit_code_says_what_did_not_fit(tmp_path, monkeypatch, capsys):
    notes, failed = ["training failed: error: out of memory"], {"training": "error: out of memory"}
    result = make_report("proof", {"video": [2, 64]}, {}, notes, Hardware(threads=1)) | {"failed": failed}
    monkeypatch.setattr(proving, "prove", lambda options: result)
    assert proof.main(["--output", str(tmp_path)]) == 1
    assert "training failed: error: out of memory" in capsys.readouterr().out


def test_videos_and_overrides_are_those_of_the_command_line(output, tiny):
    given = []

    def note(file, module, words):
        given.append(words)
        return 1, "error: out of memory"

    words = ["-o", "trainer.threads=1", "-o", "trainer.precision=bf16-mixed", "-o", "steps=3", "--frames", "4"]
    with pytest.raises(VmcError, match="no training fits"):
        prove(options(output, *words), sizes=tiny, command=note)
    for recomputed, words in zip(("false", "true"), given, strict=True):
        expected = {"trainer=cpu", "trainer.threads=1", "trainer.precision=bf16-mixed", "steps=3", "model.frames=4"}
        assert expected | {"model.size=64", f"trainer.checkpoint_activations={recomputed}"} <= set(words)


def test_a_gpu_takes_the_models_own_video(tmp_path, tiny, monkeypatch):
    given = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(proving, "random_folder", lambda *words, **more: True)
    monkeypatch.setattr(proving.Proof, "train", lambda self, *words, **more: given.append(self.overrides[1:3]) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prove(proof.parser().parse_args(["--output", str(tmp_path / "out")]), sizes=tiny)
    assert given == [["model.frames=16", "model.size=384"]]


@pytest.mark.slow
def test_figures_come_from_a_process_of_its_own(blank, tmp_path):
    words = [f"model.path={blank}", "prompt=a man", "sampler.steps=2", f"output={tmp_path / 'videos'}", "batch_size=1"]
    status, said = in_a_process(tmp_path / "figures.json", "vmc.generate", words)
    assert status == 0, said
    found = json.loads((tmp_path / "figures.json").read_text())
    (seconds,), (peak,) = (found[name][1] for name in ("all", "peak memory"))
    assert seconds > 0.1 and peak > 2**-3 and "peak GPU memory" not in found


def test_help_answers_without_torch():
    line = [sys.executable, "-X", "importtime", "-m", "vmc.proof", "--help"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0 and "--output" in done.stdout and " torch" not in done.stderr
