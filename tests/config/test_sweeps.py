"""Sweeps: what ships, what is refused before any training, and how a sweep ends, goes on and is run side by side."""

import csv
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors.torch import load_file
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from vmc.config.checks import check_overlays
from vmc.config.folders import config_folder, find_sweep, sweeps_folder
from vmc.runs.folder import RunFolder
from vmc.runs.lock import LOCK, run_lock
from vmc.runs.resuming import differing_keys
from vmc.tools.rates import SEARCHED
from vmc.train import main

SWEEPS = ("ablations", "baselines", "tradeoff")
ARMS = {
    "ablations": {
        *("method", "params_none", "params_all", "temporal_frozen", "temporal_frozen_spatial", "token_trained"),
        *("timesteps_uniform", "reg_none", "reg_synthetic", "lora"),
    },
    "baselines": {"method", "textual_inversion", "dreambooth", "custom_diffusion", "pretrained"},
    "tradeoff": {"method", "params_all", "timesteps_uniform", "reg_none"},
}
MOTIONS = ("swiping_down", "drumming_fingers", "rolling_hand_forward", "sliding_two_fingers_up")
WANDB = sorted((sweeps_folder() / "wandb").glob("*.yaml"))


@pytest.fixture
def settings(blank, clips) -> list[str]:
    """Overrides of short runs on the blank model."""
    return [
        *(f"model.path={blank}", "data=videos", f"data.path={clips}", "data.variants=3"),
        *("motion=custom", "motion.name=custom"),
        *(
            "motion.caption=a square doing the {token} sign",
            "regularization=none",
            "stop.appearance=null",
            "evaluate_every=0",
            "logger=csv",
        ),
        *("batch_size=2", "steps=2", "trainer.threads=1", "checkpoint_every=1"),
    ]


def table(file: Path) -> dict[str, dict[str, str]]:
    """The rows of a sweep's table by arm."""
    with file.open(newline="") as stream:
        return {row["arm"]: row for row in csv.DictReader(stream)}


def weights(root: Path, arm: str, step: int) -> dict[str, torch.Tensor]:
    return load_file(root / arm / "custom" / "seed0" / "weights" / f"{step:06d}.safetensors")


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


# --- what ships ------------------------------------------------------------------------------------------------------


def grid(name: str, size: str) -> dict[str, list[str]]:
    """The values of each parameter of a sweep."""
    with initialize_config_dir(str(sweeps_folder().resolve()), version_base="1.3"):
        overrides = [f"hydra.searchpath=[{config_folder().resolve()}]", f"size={size}"]
        config = compose(name, overrides=overrides, return_hydra_config=True)
    assert config.hydra.mode.name == "MULTIRUN"
    return {key: [part.strip() for part in str(text).split(",")] for key, text in config.hydra.sweeper.params.items()}


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_that_ships_has_every_arm(name):
    quick, full, paper, laptop = (grid(name, size) for size in ("quick", "full", "paper", "laptop"))
    assert laptop == full
    assert (set(paper["motion"]), paper["seed"]) == ({*MOTIONS, "shaking_hand"}, ["0"])
    assert (quick["motion"], quick["seed"]) == (["swiping_down"], ["0"])
    assert (tuple(full["motion"]), full["seed"]) == (MOTIONS, ["0", "1", "2"])
    (overlay,) = [key for key in quick if key.startswith("+")]
    assert quick[overlay] == full[overlay] == paper[overlay]
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        arms = [compose("train", overrides=[f"{overlay}={value}"]).arm for value in quick[overlay]]
    assert set(arms) == ARMS[name]
    folder = config_folder() / overlay.removeprefix("+")
    if name != "tradeoff":
        # Tune-A-Video stands in Figure 5, and in no table.
        assert set(quick[overlay]) == {path.stem for path in folder.glob("*.yaml")} - {"tune_a_video"}


@pytest.mark.parametrize(
    ("arm", "stack"), [("method", "mini"), ("method", "paper"), ("lora", "mini"), ("custom_diffusion", "mini")]
)
def test_a_search_tries_an_arms_own_rates_on_a_motion_that_is_not_reported(arm, stack, entered, monkeypatch):
    begun = []
    monkeypatch.setattr("vmc.config.build.build_session", lambda config, run: begun.append(run.config) or 1 / 0)
    chosen = [f"stack={stack}", *(["data.path=jester"] if stack == "paper" else [])]
    entered(main, "--config-name", f"rates_{arm}", *chosen)
    kind = "ablation" if (config_folder() / "ablation" / f"{arm}.yaml").is_file() else "baseline"
    overlay = f"+{kind}={arm}"
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        alone = OmegaConf.to_container(compose("train", overrides=[overlay, *chosen]), resolve=True)
    keys, rates = SEARCHED[arm], alone["rates"]
    around = {key: sorted({float(f"{rates[key] * factor:.2g}") for factor in (1 / 2, 1, 2)}) for key in keys}
    if arm == "custom_diffusion":  # the row has a sweep of its own, in which that of the UNet is the stack's
        entered(main, "--config-name", "rates_custom_diffusion_token", *chosen)
    tried = [(rates | {key: rate}, seed) for key in keys for seed in (0, 1) for rate in around[key]]
    assert [(config["rates"], config["seed"]) for config in begun] == tried
    found = {config["motion"]["name"] for config in begun}
    assert len(found) == 1 and not found & set(MOTIONS)
    assert len({config["output"] for config in begun}) == len({(*one.items(), seed) for one, seed in tried})
    for config in begun:
        assert config["arm"].partition("@")[0] == arm
        assert (
            config["output"] == f"outputs/rates/{stack}/{config['arm']}/{config['motion']['name']}/seed{config['seed']}"
        )
        assert config["evaluate_every"] == alone["search"]["every"]
        assert config["stop"] == alone["stop"] | {"appearance": alone["search"]["appearance"]}
        assert config["steps"] == alone["steps"]  # as many as are reported
        different = {key for key in differing_keys(config, alone) if not key.startswith("motion.")}
        different = {key for key in different if key.rpartition(".")[2] != "seed"}
        assert config["prompts"] == alone["prompts"] | {"limit": None if arm == "method" else 24, "each": 1}
        known = {"arm", "optimizer.lr", "token.learning_rate", "stop.appearance", "evaluate_subset"}
        assert different <= known | {"prompts.limit", "prompts.each"}


def test_every_rate_of_the_stacks_is_searched():
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        rates = compose("train").rates
    tried = {"subject"}  # what stills teach is no motion, which the search asks for
    assert set(rates) - tried == {key for keys in SEARCHED.values() for key in keys}
    for arm, keys in SEARCHED.items():
        for key in keys:  # the first in the sweep of the arm's name, a further one in one of its own
            found = grid(f"rates_{arm if key == keys[0] else key}", "search")
            assert {float(rate) for rate in found.pop(f"rates.{key}")} == {
                float(f"{rates[key] * factor:.2g}") for factor in (1 / 2, 1, 2)
            }
            assert found == {"motion": ["shaking_hand"], "seed": ["0", "1"]}
    sweeps = [*SEARCHED, "custom_diffusion_token"]
    assert {f"rates_{sweep}" for sweep in sweeps} == {path.stem for path in sweeps_folder().glob("rates_*.yaml")}
    makefile = (sweeps_folder().parent / "Makefile").read_text()
    # Tune-A-Video stands in no table.
    (named,) = re.findall(r"^RATES \?= ((?:.*\\\n)*.*)$", makefile, flags=re.MULTILINE)
    assert set(named.replace("\\\n", " ").split()) == {*sweeps} - {"tune_a_video"}


def test_the_laptops_sizes_are_fixed_and_nothing_stops_a_run():
    with initialize_config_dir(str(sweeps_folder().resolve()), version_base="1.3"):
        overrides = [f"hydra.searchpath=[{config_folder().resolve()}]", "size=laptop"]
        found, plain = (compose("ablations", overrides=chosen) for chosen in (overrides, overrides[:1]))
    assert found.stop == {"appearance": plain.stop.appearance, "early": False}
    assert (found.steps, found.evaluate_every, found.prompts.limit, found.prompts.each) == (600, 100, 48, 1)
    assert found.evaluate_subset >= 48 and found.output == plain.output


def test_nothing_stops_a_run_of_the_tradeoff():
    with initialize_config_dir(str(sweeps_folder().resolve()), version_base="1.3"):
        config = compose("tradeoff", overrides=[f"hydra.searchpath=[{config_folder().resolve()}]"])
    assert config.stop.appearance is None
    assert config.output == "outputs/mini/tradeoff/method/swiping_down/seed0"
    assert (config.evaluate_every, config.steps) == (50, 600)


@pytest.mark.parametrize("file", WANDB, ids=lambda file: file.stem)
def test_what_an_agent_of_wandb_runs_composes(file):
    sweep = yaml.safe_load(file.read_text())
    values = {key: part["values"] for key, part in sweep["parameters"].items()}
    (overlay,) = [key for key in values if key.startswith("+")]
    assert len(values[overlay]) == len(ARMS[file.stem])
    first = {key: part[0] for key, part in values.items()}
    points = [{**first, key: value} for key, part in values.items() for value in part]
    arms, outputs = set(), set()
    for point in points:
        rendered = create_sweep_command_args({"args": {key: {"value": value} for key, value in point.items()}})
        line = list(itertools.chain(*(rendered.get(part[2:-1], [part]) for part in map(str, sweep["command"]))))
        assert line[:4] == ["${env}", "${interpreter}", "-m", "${program}"]
        with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
            config = compose("train", overrides=line[4:])
        check_overlays(config, {})
        assert config.logger.group == sweep["name"]
        arms.add(config.arm)
        outputs.add(config.output)
    assert arms == ARMS[file.stem]
    assert len(outputs) == len({tuple(point.items()) for point in points})


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["-cn", "ablations", "size=full"], ["--config-dir", str(sweeps_folder()), "-cn", "ablations", "size=full"]),
        (["--config-name=baselines"], ["--config-dir", str(sweeps_folder()), "--config-name=baselines"]),
        (["--config-dir", "mine", "--config-name", "ablations"], None),
        (["--config-name", "mine"], None),
        (["-c", "job", "--resolve", "x=1"], None),
        (["+ablation=lora", "-m"], ["-m", "+ablation=lora"]),
    ],
)
def test_sweeps_are_found_by_name(given, found):
    assert find_sweep(given) == (found or given)


# --- what is refused before any training -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-m", "+ablation=params_kv,nothing"], ["ablation/nothing", "params_none"]),
        (["--config-name", "ablations", "+ablation=params_kv,nothing"], ["ablation/nothing", "params_none"]),
        (["-m", "+ablation=params_kv,params_all", "+baseline=dreambooth"], ["choose one of them"]),
        (
            ["-m", "optimizer.lr=1e-3,1e-4"],
            ["two different arms", "optimizer.lr differ", "arm='method-${optimizer.lr}'"],
        ),
        (["-m", "steps=2,3"], ["two different arms", "steps differ"]),
        (["-m", "motion=custom,shaking_hand", "data.path=???"], ["data.path is not set"]),
        (["-m", "output=one,two"], ["output=one,two", "the folder of all arms"]),
        (["-m", "hydra.sweep.dir=elsewhere", "output=root"], ["elsewhere", "hydra.sweep.dir"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_cannot_be_swept_is_said_before_any_training(arguments, words, entered, settings, monkeypatch):
    monkeypatch.setattr("vmc.config.build.build_session", lambda *_: pytest.fail("training began"))
    given = {argument.partition("=")[0] for argument in arguments}
    status, said = entered(main, *arguments, *[text for text in settings if text.partition("=")[0] not in given])
    assert status == 1
    assert "Traceback" not in said
    for word in words:
        assert word in said
    assert not Path("outputs").exists() and not Path("root").exists() and not Path("elsewhere").exists()


@pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher/joblib' is validated")
def test_a_launcher_that_is_not_installed_names_its_extra(entered, settings, monkeypatch):
    monkeypatch.setattr("vmc.config.launchers.find_spec", lambda name: None)
    status, said = entered(main, "-m", "hydra/launcher=joblib", "+ablation=params_kv,params_none", *settings)
    assert status == 1
    assert "pip install 'vmc[joblib]'" in said
    assert not Path("outputs").exists()


# --- how a sweep goes ------------------------------------------------------------------------------------------------


def test_equal_arms_run_once_and_a_failed_one_stops_no_other(entered, settings, tmp_path):
    line = ["-m", "output=root", "+ablation=params_kv,timesteps_coarse,token_frozen"]
    line += ["trainer.accumulate=3,1", "arm='by${trainer.accumulate}'", *settings]
    status, said = entered(main, *line)
    assert status == 1
    assert "2 arms: 1 failed, 1 finished" in said
    rows = table(tmp_path / "root" / "sweep.csv")
    assert (rows["by3"]["status"], rows["by3"]["step"]) == ("failed", "")
    assert "batch_size is 2" in rows["by3"]["reason"]
    assert (rows["by1"]["status"], rows["by1"]["step"]) == ("finished", "2")
    assert not Path("outputs").exists() and not (tmp_path / "root" / "by3").exists()
    status, said = entered(main, *line, "batch_size=3")
    assert "batch_size differ" in said, "the finished arm is another's now, the failed one may be tried anew"
    assert table(tmp_path / "root" / "sweep.csv")["by3"]["status"] == "finished"
    assert status == 1


def test_a_finished_sweep_is_quick_and_changes_nothing(entered, settings, tmp_path):
    line = ["-m", "+ablation=params_kv,timesteps_coarse", *settings]
    status, said = entered(main, *line)
    assert status == 0, said
    alone = RunFolder(Path("outputs/mini/method/custom/seed0"), config={})
    assert alone.weights(2).is_file(), "the folder of a run without a sweep"
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    code = (
        f"import sys, runpy; sys.argv = ['vmc.train', *{line!r}]\n"
        "try: runpy.run_module('vmc.train', run_name='__main__')\n"
        "except SystemExit as end: print('ENDED', end.code)\n"
        "print('HEAVY', sorted({'torch', 'diffusers', 'pytorch_lightning', 'wandb', 'pandas'} & set(sys.modules)))"
    )
    again = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "1 arms: 1 finished" in again.stdout and "ENDED" not in again.stdout, again.stderr
    assert "HEAVY []" in again.stdout
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_an_arm_in_other_hands_is_left_alone(entered, settings, monkeypatch):
    monkeypatch.setattr("vmc.config.build.build_session", lambda *_: pytest.fail("training began"))
    with run_lock(Path("outputs/mini/method/custom/seed0")):
        status, said = entered(main, "-m", "+ablation=params_kv", *settings)
    assert status == 1
    assert "1 running" in said
    assert f"pid {os.getpid()}" in table(Path("outputs/mini/sweep.csv"))["method"]["reason"]


ONE_WORKER = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=1")


@pytest.mark.parametrize("launcher", [(), ONE_WORKER], ids=["basic", "one worker"])
def test_a_signal_stops_the_arm_and_the_sweep(entered, settings, monkeypatch, launcher):
    append = RunFolder.append

    def append_and_send(run, row):
        append(run, row)
        if row["step"] == 1 and "params_none" in str(run.path):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunFolder, "append", append_and_send)
    line = ["-m", "+ablation=params_none,params_kv", *settings, *launcher]
    status, said = entered(main, *line)
    assert status == 1
    rows = table(Path("outputs/mini/sweep.csv"))
    assert [rows[arm]["status"] for arm in ("params_none", "method")] == ["stopped", "waiting"], said
    assert (Path(rows["params_none"]["folder"]) / "checkpoints" / "000001.ckpt").is_file()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    monkeypatch.setattr(RunFolder, "append", append)
    status, said = entered(main, *line)
    assert (status, "2 finished" in said) == (0, True)


def test_a_sweep_is_a_group_in_wandb(entered, settings, monkeypatch, tmp_path):
    groups = []
    monkeypatch.setattr(
        "vmc.config.build.build_session", lambda config, run: groups.append(config.logger.group) or 1 / 0
    )
    (tmp_path / "mine.yaml").write_text(
        "defaults: [train, _self_]\nhydra: {mode: MULTIRUN, sweeper: {params: {+ablation: 'params_none, params_kv'}}}\n"
    )
    line = [text for text in settings if text != "logger=csv"]
    entered(main, "--config-dir", ".", "--config-name", "mine", *line)
    entered(main, "--config-dir", ".", "--config-name", "mine", *line, "logger.group=own")
    assert groups == ["mine", "mine", "own", "own"]
    assert {row["status"] for row in table(Path("outputs/mini/mine.csv")).values()} == {"failed"}


# --- processes of their own ------------------------------------------------------------------------------------------


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "vmc.train", *arguments]


def rows_of(run: Path) -> int:
    file = run / "train.csv"
    return len(file.read_text().splitlines()) - 1 if file.is_file() else 0


@pytest.mark.slow
def test_a_sweep_that_is_killed_ends_as_the_undisturbed_one(entered, settings, metrics, tmp_path):
    scored = [*metrics, "evaluate_every=4", "evaluate_subset=2", "steps=4", "checkpoint_every=1", "prompts.limit=1"]
    given = {text.partition("=")[0] for text in scored}
    settings = [text for text in settings if text.partition("=")[0] not in given] + scored
    line = ["-m", "+ablation=params_none,params_kv,temporal_frozen"]  # finished, killed, not begun
    killed = [*line, *settings, "output=killed", f"cache={tmp_path / 'of killed'}"]
    process = subprocess.Popen(command(*killed), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    second = tmp_path / "killed" / "method" / "custom" / "seed0"
    try:
        while rows_of(second) < 3:
            assert process.poll() is None, process.communicate()[0].decode()
            time.sleep(0.02)
    finally:
        process.kill()
        process.communicate()
    assert json.loads((second / "run.json").read_text())["status"] == "running"
    assert (second / LOCK).is_file()
    status, said = entered(main, *killed)
    assert status == 0, said
    assert "was interrupted at step" in said and "3 finished" in said
    assert "params_none custom seed0" not in said, "the first arm was finished"
    status, said = entered(main, *line, *settings, "output=whole", f"cache={tmp_path / 'of whole'}")
    assert status == 0, said
    for arm in ("params_none", "method", "temporal_frozen"):
        assert_same(weights(tmp_path / "killed", arm, 4), weights(tmp_path / "whole", arm, 4))
        for step in ("000000", "000004"):
            scores = Path(arm, "custom", "seed0", "evaluation", step, "scores.csv")
            assert (tmp_path / "killed" / scores).read_text() == (tmp_path / "whole" / scores).read_text()
    shown = [
        [(row["status"], row["videos"], row["motion_accuracy"], row["appearance"]) for row in table(file).values()]
        for file in (tmp_path / "killed" / "sweep.csv", tmp_path / "whole" / "sweep.csv")
    ]
    assert shown[0] == shown[1]
    assert all(status == "finished" and videos == "2" and appearance for status, videos, _, appearance in shown[0])


@pytest.mark.slow
def test_workers_of_joblib_give_the_weights_of_one_process(entered, settings, tmp_path):
    line = ["-m", "+ablation=params_none,params_kv", *settings]
    assert entered(main, *line, "output=one")[0] == 0
    workers = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "output=two")
    done = subprocess.run(command(*line, *workers), cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 finished" in done.stdout
    for arm in ("params_none", "method"):
        assert_same(weights(tmp_path / "one", arm, 2), weights(tmp_path / "two", arm, 2))
        state = json.loads((tmp_path / "two" / arm / "custom" / "seed0" / "run.json").read_text())
        assert state["command"].startswith("python") and "hydra/launcher=joblib" in state["command"]


@pytest.mark.slow
def test_a_second_process_is_refused_and_a_killed_one_is_not_waited_for(entered, settings, tmp_path):
    line = command(*settings, "steps=4000", "checkpoint_every=0", "output=run")
    process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while rows_of(tmp_path / "run") < 2:
            assert process.poll() is None
            time.sleep(0.02)
        status, said = entered(main, *line[3:])
        assert status == 1
        assert "output is run, which another process is writing" in said
        assert f"pid {process.pid}" in said
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    status, said = entered(main, *line[3:], "steps=1")
    assert status == 0, said
    assert "was interrupted at step 0, its process is gone; it goes on" in said
    assert not (tmp_path / "run" / LOCK).exists()
