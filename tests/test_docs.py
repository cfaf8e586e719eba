"""The pages of the documentation: their links lead somewhere, and their commands are ones that there are."""

import re
import shlex
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from vmc.config.checks import check_config, check_parts, fill_missing, missing_keys
from vmc.config.command import compose
from vmc.config.folders import sweeps_folder

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *DOCS]
HYDRA = ("train", "generate", "evaluate", "report")
NEEDS_PACKAGES = ("hydra/launcher", "hydra.launcher")


def commands(page: Path) -> list[tuple[str, tuple[str, ...]]]:
    """The verb and the words of each `python -m vmc.VERB` of a page's blocks and lines."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    code = re.findall(r"^ *```bash\n(.*?)^ *```$", text, re.M | re.S) + re.findall(r"`([^`\n]*)`", text)
    found = [re.search(r"python -m vmc\.(\w+)([^;]*)", line) for block in code for line in block.splitlines()]
    return list(dict.fromkeys((one[1], tuple(shlex.split(one[2], comments=True))) for one in found if one))


def test_there_are_pages_and_each_is_linked_from_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert DOCS and all(f"(docs/{page.name})" in readme for page in DOCS)


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "sweeps" / "README.md"], ids=lambda page: page.name
)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_overrides_in_commands_are_known(page):
    for verb, words in commands(page):
        if verb in HYDRA:
            assert composes(verb, list(words))


def composes(verb: str, words: list[str]) -> bool:
    """Compose and check a command of Hydra's as it is written, of a sweep the first choices."""
    sweep = "-m" in words or "--config-name" in words
    if "--config-name" in words:
        name = words[words.index("--config-name") + 1]
        assert name == "mine" or (sweeps_folder() / f"{name}.yaml").is_file()
    overrides = [word for word in words if "=" in word and not word.startswith(NEEDS_PACKAGES)]
    sizes = [word for word in overrides if sweep and word.startswith("size=")]
    assert all((sweeps_folder() / "size" / f"{word[5:]}.yaml").is_file() for word in sizes)
    given = [word.partition(",")[0] if sweep else word for word in overrides if word not in sizes]
    config = compose(verb, given)
    fill_missing(config)
    check_config(config, verb)
    check_parts(config)
    HydraConfig.instance().cfg = None
    return not missing_keys(config)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_in_commands_are_known(page, capsys):
    for verb, words in commands(page):
        if verb in HYDRA or verb == "VERB":
            continue
        main = import_module(f"vmc.{verb}.__main__" if verb == "mini" else f"vmc.{verb}").main
        below = [word for word in words[:1] if re.fullmatch("[a-z]+", word)]
        with pytest.raises(SystemExit) as ended:
            main([*below, "--help"])
        assert ended.value.code == 0
        known = capsys.readouterr().out
        assert all(word in known for word in words if word.startswith("--") and word != "--help"), (verb, words)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    "target", ["train", "sweep-ablations", "search-rates", "report", "bench", "setup", "test", "lint"]
)
def test_only_targets_of_development_install_its_tools(target, tmp_path):
    line = ["make", "-n", f"VENV={tmp_path / 'venv'}", target]
    said = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "pip install --editable '.[joblib]'\n" in said
    assert ("'.[dev]'" in said) == (target in ("setup", "test", "lint"))


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("given", "jobs"),
    [
        *((["JOBS=3"], 3), (["CORES=2"], 2), (["CORES=1"], 1), (["CORES=4", "ARGS=stack=paper seed=1"], 1)),
        *((["CORES=4", "ARGS=hydra/launcher=slurm"], 1), (["CORES=4", "STACK=paper"], 1)),
        (["CORES=4", "JOBS=2", "ARGS=trainer=gpu"], 2),
    ],
)
def test_arms_of_a_sweep_are_side_by_side_with_one_thread_each(given, jobs):
    for target in ("sweep-ablations", "sweep-baselines", "search-rates"):
        line = ["make", "-n", *given, target]
        (said,) = re.findall("vmc.train .*", subprocess.run(line, cwd=ROOT, capture_output=True, text=True).stdout)
        beside = f"hydra/launcher=joblib hydra.launcher.n_jobs={jobs} trainer.threads=1"
        assert (beside in said) == (jobs > 1) and ("joblib" in said) == (jobs > 1), said


def test_the_readmes_python_makes_a_video(monkeypatch, tmp_path):
    monkeypatch.setenv("VMC_CACHE", str(tmp_path))
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    names: dict = {}
    exec(code, names)
    (video_FCHW,) = names["frames_BFCHW"]
    assert tuple(video_FCHW.shape) == (8, 3, 64, 64)
