"""Whole commands in processes of their own: killed and resumed, on two ranks, from an installed wheel."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file

from vmc.metrics.scores import read_scores

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run_here(command, compose_session):
    """Runs a command's line in this process, which has imported all that a run needs."""

    def run(name: str, *overrides: str) -> None:
        assert compose_session(command(name, *overrides)[3:])[1].train() == 0

    return run


@pytest.fixture
def command(blank, clips, tmp_path):
    """The command line of a short run; its output goes to `name`."""

    def line(name: str, *overrides: str) -> list[str]:
        return [
            *(sys.executable, "-m", "vmc.train", f"model.path={blank}", "data=videos", f"data.path={clips}"),
            *("data.variants=3", "motion=custom", "motion.caption=a square doing the {token} sign"),
            *(
                "regularization=none",
                "stop.appearance=null",
                "evaluate_every=0",
                "logger=csv",
                "batch_size=2",
                "steps=6",
                "trainer.threads=1",
            ),
            *("checkpoint_every=2", f"output={tmp_path / name}", *overrides),
        ]

    return line


def run(line: list[str], folder: Path) -> str:
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(folder: Path) -> list[dict[str, str]]:
    file = folder / "train.csv"
    return list(csv.DictReader(file.open())) if file.is_file() else []


def begin_and_send(line: list[str], folder: Path, number: int, *, after: int, output: Path) -> tuple[int, str]:
    """Start a run, send it a signal when it has written `after` rows; its exit code and what it said."""
    process = subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while len(rows(output)) < after:
            assert process.poll() is None, "it ended before it could be sent a signal"
            time.sleep(0.02)
        process.send_signal(number)
        said, _ = process.communicate()
    finally:
        process.kill()
    return process.returncode, said


def test_a_run_stopped_and_then_killed_ends_as_the_undisturbed_one(command, run_here, tmp_path):
    settings, output = ("steps=16", "checkpoint_every=8"), tmp_path / "disturbed"
    line = command("disturbed", *settings)
    status, said = begin_and_send(line, tmp_path, signal.SIGTERM, after=3, output=output)
    assert status == 143, said
    assert "stopped at step" in said
    step = len(rows(output))
    assert (output / "checkpoints" / f"{step:06d}.ckpt").is_file()
    begin_and_send(line, tmp_path, signal.SIGKILL, after=step + 2, output=output)
    assert not (output / "weights" / "000016.safetensors").exists()
    run_here("disturbed", *settings)
    run_here("whole", *settings)
    one, other = (load_file(tmp_path / name / "weights" / "000016.safetensors") for name in ("disturbed", "whole"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in other)
    assert [{**row, "seconds": 0} for row in rows(output)] == [
        {**row, "seconds": 0} for row in rows(tmp_path / "whole")
    ]


def test_two_processes_of_a_sweeps_arm_give_the_weights_and_share_the_videos_of_one(
    command, run_here, metrics, tmp_path
):
    settings = (*metrics, "batch_size=4", "evaluate_every=3", "evaluate_subset=3", "steps=3", "motion.name=square")
    run_here("one", *settings, f"cache={tmp_path / 'of one'}")
    sweep = ("-m", "+ablation=params_kv", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    said = run(command("sweep", *settings, *sweep, f"cache={tmp_path / 'of two'}"), tmp_path)
    assert said.count("1 arms: 1 finished") == 1, "each rank has begun a sweep"
    folders = tmp_path / "one", tmp_path / "sweep" / "method" / "square" / "seed0"
    state = json.loads((folders[1] / "run.json").read_text())
    assert (state["status"], state["step"], state["machine"]["ranks"]) == ("finished", 3, 2)
    assert OmegaConf.load(folders[1] / "config.yaml").motion.caption == "a square doing the {token} sign"
    one, two = (load_file(folder / "weights" / "000003.safetensors") for folder in folders)
    base = load_file(Path(command("x")[3].partition("=")[2]) / "unet" / "diffusion_pytorch_model.safetensors")
    for name, tensor in one.items():
        # AdamW's first steps are nearly the sign of the gradient: where that is rounding noise it may turn over.
        moved = (tensor - base[name.removeprefix("unet.")]).abs().max()
        assert (tensor - two[name]).abs().mean() < 0.02 * moved, name
    for row, other in zip(*map(rows, folders), strict=True):
        assert float(row["loss"]) == pytest.approx(float(other["loss"]), rel=1e-3)
        assert row["exemplar_updates"] == other["exemplar_updates"]
    for step, videos in (("000000", 3), ("000003", 6)):
        one, two = (read_scores(folder / "evaluation" / step / "scores.csv") for folder in folders)
        assert list(one["video"]) == list(two["video"]) and len(one) == videos
        for column in ("motion_probability", "appearance", "text_alignment", "copy_similarity_first"):
            # Training on two processes itself differs in rounding; before it the networks are the same.
            near = 1e-4 if step == "000000" else 1e-2
            assert one[column].to_numpy() == pytest.approx(two[column].to_numpy(), abs=near), (step, column)
    assert not list((folders[1] / "evaluation").rglob(".rows*"))


def test_of_two_processes_stills_leave_temporal_parameters_bit_identical(command, base, tmp_path):
    """In some steps both draw stills, in some both clips, in some one of them each."""
    Image.new("RGB", (64, 64), "red").save(tmp_path / "still.png")
    subject = ("subject=images", f"subject.path={tmp_path / 'still.png'}", "subject.caption=a {subject_token} wall")
    parallel = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "optimizer.weight_decay=0.1")
    settings = ("checkpoint_every=1", "steps=12", "optimizer.lr=1e-2", "subject.share=0.6")
    run(command("two", *subject, *parallel, *settings), tmp_path)
    kinds = [(bool(row["loss_motion"]), bool(row["loss_subject"])) for row in rows(tmp_path / "two")]
    assert {*kinds[1:]} == {(True, True), (True, False), (False, True)}
    steps = [load_file(tmp_path / "two" / "weights" / f"{step:06d}.safetensors") for step in range(1, 13)]
    row = "text_encoder.token.subject"
    temporal = {key for key in steps[0] if key != row and base.groups["temporal"](key.removeprefix("unet."))}
    for before, after, (is_motion, is_still) in zip(steps, steps[1:], kinds[1:], strict=False):
        same = {key for key, tensor in after.items() if torch.equal(tensor, before[key])}
        assert same == ({row} if not is_still else set() if is_motion else temporal)


def test_an_installed_wheel_works_from_any_folder(tmp_path):
    """The dependencies are those of this environment; vmc itself comes from the wheel alone."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("vmc-*.whl")
    venv.create(tmp_path / "empty", with_pip=False)
    python = tmp_path / "empty" / "bin" / "python"
    packages = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], text=True
    ).strip()
    options = ("--quiet", "--no-deps", "--no-compile")
    install = [sys.executable, "-m", "pip", "install", *options, "--target", packages, wheel]
    subprocess.run(install, check=True, capture_output=True)
    others = [path for path in sys.path if path.endswith("site-packages")]
    # Editable installs reach an interpreter by .pth files, which PYTHONPATH does not read.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([packages, *others])}
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for module in ("vmc.train", "vmc.generate"):
        line = [python, "-m", module, "--help"]
        shown = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
        assert shown.returncode == 0, shown.stderr
        assert "motion: air_quotes, carlton, custom, dab, drumming_fingers" in shown.stdout
    line = [python, "-m", "vmc.train", "--config-name", "ablations", "optimizer.lr=1,2"]
    swept = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
    assert "two different arms would write outputs/mini/reg_synthetic/swiping_down/seed0" in swept.stderr
    where = subprocess.check_output([python, "-c", "import vmc; print(vmc.__file__)"], env=environment, text=True)
    assert where.startswith(str(tmp_path / "empty"))
    assert (Path(where.strip()).parent / "sweeps").is_dir()
