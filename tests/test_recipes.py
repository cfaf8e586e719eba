"""The recipes of CONTRIBUTING.md: each is short, adds two files and no more, and does what it says."""

import csv
import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from vmc.config import command as composing
from vmc.config.run_config import check_run_config
from vmc.diffusion.process import VariancePreserving
from vmc.evaluate import TAKEN_OVER
from vmc.runs.earlier_versions import read_config
from vmc.runs.folder import RunFolder
from vmc.training.tuned_weights import Delta

ROOT = Path(__file__).parents[1]
LONGEST = 19
"""Lines of a recipe that are not blank, those of its code among them."""
NAMES = (
    *("a model family", "an objective", "a subset", "a timestep sampler", "a regularization", "a data source"),
    *("a metric", "a figure"),
)


@dataclass(frozen=True)
class Recipe:
    """A section of the page."""

    text: str

    @property
    def files(self) -> dict[str, str]:
        """Contents by path: blocks of code whose first line names a file."""
        return dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", self.text, re.M | re.S))

    @property
    def command(self) -> list[str]:
        """The words of its command, from the module on."""
        (line,) = re.findall(r"^`python -m (.*)`$", self.text, re.M)
        return shlex.split(line)


def recipes() -> dict[str, Recipe]:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (part,) = re.findall(r"^## Recipes$(.*?)^## ", page, re.M | re.S)
    return {name: Recipe(text) for name, text in re.findall(r"^### Add (.*?)$(.*?)(?=^### |\Z)", part, re.M | re.S)}


RECIPES = recipes()


def written(*folders: Path) -> set[Path]:
    """The files of some folders, what Python compiles left out."""
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {file for file in files if "__pycache__" not in file.parts}


class Kitchen:
    """An empty folder in which recipes are followed."""

    def __init__(self, folder: Path, entered) -> None:
        self.folder, self.entered = folder, entered

    def follow(self, name: str, *more: str) -> str:
        """Write the files of a recipe, run its command with further overrides, and return what it said."""
        shipped = ROOT / "src", ROOT / "conf"
        before = written(*shipped)
        for path, content in RECIPES[name].files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(content)
        said = self.run(*RECIPES[name].command, *more)
        assert written(self.folder / "own", *shipped) - before == {self.folder / path for path in RECIPES[name].files}
        return said

    def run(self, module: str, *words: str) -> str:
        """Run an entry point, which must succeed. Of two values for one key the first one holds."""
        chosen: dict[str, str] = {}
        for word in words:
            chosen.setdefault(word.partition("=")[0] if "=" in word else word, word)
        status, said = self.entered(import_module(module).main, *chosen.values())
        assert status == 0, said
        return said

    def train(self, name: str, *more: str) -> RunFolder:
        """Follow a recipe whose command trains, on a small scale."""
        small = [
            *(f"model.path={self.entered.model}", "data=videos", f"data.path={self.entered.clips}", "data.variants=1"),
            *("motion=custom", "motion.caption=a square doing the {token} sign", "regularization=none", "batch_size=1"),
            *("evaluate_every=0", "stop.appearance=null", "logger=csv", "trainer.threads=1", "steps=2", "output=run"),
        ]
        self.follow(name, *more, *small)
        run = RunFolder(self.folder / "run", config=read_config(self.folder / "run"))
        self.check_later(run)
        return run

    def check_later(self, run: RunFolder) -> None:
        """A command that reads the run takes its classes from the YAMLs of the folder, and asks for no trust."""
        composing.compose("evaluate", ["hydra.searchpath=[own]"])
        check_run_config(run.config, TAKEN_OVER, source="config.yaml")
        HydraConfig.instance().cfg = None


@pytest.fixture
def kitchen(tmp_path, entered, clips, monkeypatch) -> Iterator[Kitchen]:
    monkeypatch.syspath_prepend(tmp_path)  # as `python -m` does
    (tmp_path / "clips").symlink_to(clips)
    yield Kitchen(tmp_path, entered)
    HydraConfig.instance().cfg = None
    for name in [name for name in sys.modules if name.partition(".")[0] == "own"]:
        del sys.modules[name]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def trained(run: RunFolder) -> Delta:
    return Delta.load(run.path / "weights" / "000002.safetensors")


def test_there_is_a_recipe_for_each_kind_of_extension():
    assert tuple(RECIPES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_short_and_of_two_files(name):
    recipe = RECIPES[name]
    assert len([line for line in recipe.text.splitlines() if line.strip()]) <= LONGEST
    assert sorted(Path(path).suffix for path in recipe.files) == [".py", ".yaml"]
    assert recipe.command[1:3] == ["--config-dir", "own"]


def test_a_model_family_trains_a_group_of_its_own_and_makes_videos(kitchen):
    weights = trained(kitchen.train("a model family"))
    assert set(weights.tensors) == {"unet.conv_out.bias", "unet.conv_out.weight"}
    assert weights.about["family"] == "output_unet"
    made = ["prompt=a man doing the {token} sign", "seeds=[0]", "sampler.steps=1", "output=made"]
    kitchen.run("vmc.generate", "--config-dir", "own", "run=run", *made)
    assert len(list(Path("made").glob("*.mp4"))) == 1


def test_an_objectives_losses_are_logged_by_name(kitchen):
    run = kitchen.train("an objective", "objective.beta=0.5")
    logged = rows(run.path / "train.csv")
    assert len(logged) == 2
    assert all(0 < float(row["loss_huber"]) == float(row["loss"]) for row in logged)
    assert run.config["objective"] == {"_target_": "own.huber.Huber", "beta": 0.5}


def test_a_subset_is_trained_and_nothing_else(kitchen, base):
    names = trained(kitchen.train("a subset")).tensors.keys()
    every = {f"unet.{name}" for name, _ in base.empty_denoiser().named_parameters()}
    assert names == {name for name in every if ".norm" in name}
    assert 0 < len(names) < len(every)


def test_a_timestep_sampler_is_drawn_from(kitchen, monkeypatch):
    drawn, add_noise = list[float](), VariancePreserving.add_noise

    def noted(process, latents, noise, times_B):
        drawn.extend(times_B.tolist())
        return add_noise(process, latents, noise, times_B)

    monkeypatch.setattr(VariancePreserving, "add_noise", noted)
    kitchen.train("a timestep sampler", "timesteps.power=100")
    assert len(drawn) == 2 and min(drawn) > 0.8


def test_a_regularization_gives_the_clips_of_its_choice(kitchen, clips):
    run = kitchen.train("a regularization", f"regularization.path={clips.parent / 'related'}", "regularization.count=1")
    roles = [row["role"] for row in rows(run.path / "clips.csv")]
    assert roles == ["exemplar"] * 3 + ["regularization"]
    assert all(float(row["loss_regularization"]) > 0 for row in rows(run.path / "train.csv"))


def test_a_data_source_gives_its_clips_and_the_motion_its_name(kitchen):
    run = kitchen.train("a data source", "data.source.count=2")
    assert [Path(row["path"]).name for row in rows(run.path / "clips.csv")] == ["clip0.mp4", "clip1.mp4"]
    assert run.config["motion"]["name"] == "clips"


def test_a_metric_fills_its_column_and_has_an_interval(kitchen, metrics):
    run = kitchen.train("a metric", "evaluate_every=2", "evaluate_subset=1", "prompts.limit=2", *metrics)
    scores = rows(run.evaluation(2) / "scores.csv")
    assert len(scores) == 4 and all(0 < float(row["brightness"]) < 1 for row in scores)
    said = json.loads((run.evaluation(2) / "summary.json").read_text())["metrics"]["brightness"]
    assert said["low"] <= said["value"] <= said["high"]
    assert "brightness" in kitchen.run("vmc.evaluate", "--config-dir", "own", "run=run", "output=anew")
    assert rows(Path("anew/scores.csv")) == scores


def test_a_figure_is_drawn_and_stands_in_the_report(kitchen, train_into):
    train_into(kitchen.folder / "outputs" / "mini" / "run", "steps=1")
    assert "2 figures" in kitchen.follow("a figure")
    report = kitchen.folder / "outputs" / "report"
    assert {file.name for file in (report / "figures").glob("*.png")} == {"duration.png", "timesteps.png"}
    for page in ("report.md", "index.html"):
        assert "Minutes of training of each run." in (report / page).read_text()
