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
from vmc.tools.full_size import in_a_process, prove, random_folder, table
from vmc.train import main as train
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

    def command(file, module, words, cache):
        status, said = entered(MAINS[module], *words, *([f"cache={cache}"] if module == "vmc.train" else []))
        made_up = {
            "seconds": 3.0,
            "seconds_of_passes": [1.0],
            "peak_memory_bytes": 2**31,
            "peak_gpu_memory_bytes": None,
        }
        file.write_text(json.dumps(made_up))
        return status, said

    return command


def test_it_loads_trains_and_draws_by_the_ordinary_commands(here, tiny, output):
    given = options(output, "-o", "trainer.threads=1")
    result = prove(given, sizes=tiny, command=here)
    assert json.loads((output / "proof.json").read_text()) == result
    kept, recomputed, drawn = result["runs"]
    assert kept["loss"] == recomputed["loss"] and len(kept["loss"]) == 1
    assert kept["seconds_of_steps"][0] > 0
    trained = result["trained"]
    assert (trained["groups"], trained["tensors"]) == (["temporal", "spatial_kv"], 826)
    assert kept["weights_bytes"] == pytest.approx(4 * trained["parameters"], rel=0.2)
    assert kept["checkpoint_bytes"] > 3 * 4 * trained["parameters"]
    assert drawn["frames"] == [2, 3, 64, 64]
    (video,) = (output / "videos").glob("*.mp4")
    assert read_frames(video).any()
    assert {path.name for path in (output).iterdir()} == {"model-bin", "clips", "videos", "proof.json"}

    said = "\n".join(table(result))
    assert f"{trained['parameters']:,}" in said and "activations recomputed" in said and "2.00" in said
    assert str(output.parent) not in said

    # Again: the model is the one that is there.
    stamps = {path: path.stat().st_mtime_ns for path in (output / "model-bin").rglob("*")}
    with pytest.raises(VmcError, match="no training fits"):
        prove(given, sizes=tiny, command=said_by(-9, "Loading"))
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def said_by(status: int, said: str):
    def command(file, module, words, cache):
        file.write_text("{}")
        return status, said

    return command


def test_a_command_that_fails_is_told(tiny, output):
    wrong = said_by(1, "loading\nerror: the path is wrong\n")
    with pytest.raises(VmcError, match=r"vmc\.train ended with status 1 \(error: the path is wrong\)"):
        prove(options(output), sizes=tiny, command=wrong)


def test_what_does_not_fit_into_memory_is_a_finding(tmp_path):
    for status, said, reason in (
        (1, "error: CUDA out of memory. Tried ...", "error: CUDA out of memory. Tried ..."),
        (-9, "Loading", "it was ended by signal 9, as by a system that is out of memory"),
    ):
        given = proving.Proof(tmp_path, [], said_by(status, said))
        assert given.train([], {}, recomputed=False) == {"name": "training, activations kept", "failed": reason}
    with pytest.raises(VmcError, match=r"no training fits into memory here; give a smaller --size"):
        given.generate()


def test_a_folder_of_something_else_and_a_full_disk_are_refused(tiny, tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(VmcError, match=r"which holds notes\.txt"):
        prove(options(tmp_path), sizes=tiny)
    with pytest.raises(VmcError, match="which is a file"):
        prove(options(tmp_path / "notes.txt"), sizes=tiny)
    usage = proving.shutil._ntuple_diskusage(10, 5, 5)
    monkeypatch.setattr(proving.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(VmcError, match="GB are free"):
        prove(options(tmp_path / "out"), sizes=tiny)
    assert (tmp_path / "notes.txt").read_text() == "mine" and not (tmp_path / "out").exists()


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
    parts = {"unet": 1}
    run = {"name": "training", "failed": "error: out of memory"}
    result = {
        "model": {"format": "bin", "dtype": "float16", "tensors": parts, "parameters": parts},
        "trained": {"groups": ["temporal"], "tensors": 1, "parameters": 1},
        **{"video": [2, 64], "precision": "32-true", "runs": [run], "machine": {"processor": "p", "versions": {}}},
    }
    monkeypatch.setattr(proving, "prove", lambda options: result)
    assert proof.main(["--output", str(tmp_path)]) == 1
    assert "training failed: error: out of memory" in capsys.readouterr().out


def test_videos_and_overrides_are_those_of_the_command_line(output, tiny):
    given = []

    def note(file, module, words, cache):
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
    monkeypatch.setattr(proving.Proof, "train", lambda self, *words, **more: given.append(self.model[1:]) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prove(proof.parser().parse_args(["--output", str(tmp_path / "out")]), sizes=tiny)
    assert given == [["model.frames=16", "model.size=384"]]


@pytest.mark.slow
def test_figures_come_from_a_process_of_its_own(blank, tmp_path):
    words = [f"model.path={blank}", "prompt=a man", "sampler.steps=2", f"output={tmp_path / 'videos'}", "batch_size=1"]
    status, said = in_a_process(tmp_path / "figures.json", "vmc.generate", words, tmp_path / "cache")
    assert status == 0, said
    found = json.loads((tmp_path / "figures.json").read_text())
    assert len(found["seconds_of_passes"]) == 2 and sum(found["seconds_of_passes"]) < found["seconds"]
    assert found["peak_memory_bytes"] > 2**27 and found["peak_gpu_memory_bytes"] is None


def test_help_answers_without_torch():
    line = [sys.executable, "-X", "importtime", "-m", "vmc.proof", "--help"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0 and "--output" in done.stdout and " torch" not in done.stderr
