"""`runs=[a:1.0,b:0.6]`: what is typed is what is read, and what cannot be is refused in a sentence."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from vmc.config.command import compose
from vmc.config.run_config import choose_runs
from vmc.training.merging import name_of_runs, read_runs
from vmc.utils.errors import VmcError

NAMES = ("a", "deep/b c=1,5 (x).y", "it's", "c:2")


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """Folders of runs with weights of steps 5 and 10, in the working folder; `bare` has none."""
    for name in (*NAMES, "bare"):
        (tmp_path / name / "weights").mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text(f"motion: {{name: '{name[0]}_motion'}}")
        for step in (5, 10) * (name != "bare"):
            (tmp_path / name / "weights" / f"{step:06d}.safetensors").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "a" / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(typed: str) -> list[tuple[str, int, float]]:
    """Folder, step and scale of each run that a command line names."""
    config = compose("generate", [f"runs={typed}"])
    return [(str(run.path), run.step, run.scale) for run in read_runs(config.runs)]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("[a:1.0,a:0.6]", [("a", 10, 1.0), ("a", 10, 0.6)]),
        ("[ a , a : -1 ]", [("a", 10, 1.0), ("a", 10, -1.0)]),
        ("[a/weights/000005.safetensors:2e-1]", [("a", 5, 0.2)]),
        ("['deep/b c=1,5 (x).y':0.6,a]", [("deep/b c=1,5 (x).y", 10, 0.6), ("a", 10, 1.0)]),
        ("[it's:0.5,./a:.5]", [("it's", 10, 0.5), ("a", 10, 0.5)]),
        ("[c:2:0.5,c:2]", [("c:2", 10, 0.5), ("c:2", 10, 1.0)]),
        ("a:0.6", [("a", 10, 0.6)]),
        ("a", [("a", 10, 1.0)]),
    ],
)
def test_runs_are_read_as_they_are_typed(runs, typed, expected):
    assert read(typed) == expected


def test_a_path_may_begin_at_home(runs, monkeypatch):
    monkeypatch.setenv("HOME", str(runs))
    assert read("[~/a:0.5]") == [(f"{runs}/a", 10, 0.5)]


def test_a_yaml_may_list_texts_and_mappings(runs):
    given = ["a:0.5", {"run": "deep/b c=1,5 (x).y", "scale": -0.25}, {"run": "c:2"}]
    assert [run.scale for run in read_runs(given)] == [0.5, -0.25, 1.0]
    config = compose("generate")
    config.runs = OmegaConf.create(given)
    assert choose_runs(config) == read_runs(given)


def test_commas_between_runs_are_no_choices_of_a_sweep():
    from vmc.config.command import quote_free_text

    assert quote_free_text(["-m", "runs=[a:1,b:2]", "seed=0,1"]) == ["-m", 'runs="[a:1,b:2]"', "seed=0,1"]


def test_the_name_is_of_motions_and_scales(runs):
    assert name_of_runs(read_runs("[a,c:2:-0.6]")) == "a_motion@1+c_motion@-0.6"
    assert name_of_runs([]) == ""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("[]", r"runs is \[\], which names no run"),
        ([], r"runs is \[\], which names no run"),
        (5, "runs is 5, which names no run"),
        ("[a:1,,a:2]", "runs holds an empty item"),
        ([{"path": "a"}], r"runs holds \{'path': 'a'\}, which names no run"),
        ([{"run": "a", "scale": True}], "with the scale 'True'; it must be a number from -100 to 100"),
        ([{"run": "a", "scale": None}], "with the scale 'None'; it must be a number"),
        ("[a:big]", "runs names a with the scale 'big'; it must be a number from -100 to 100, as in a:0.6"),
        ("[a:]", "with the scale ''"),
        ("[a:nan]", "with the scale 'nan'"),
        ("[a:-inf]", "with the scale '-inf'"),
        ("[a:1e9]", "with the scale '1e9'"),
        ("[nowhere:1]", "runs names nowhere, which does not exist; give the folder of a run"),
        ("[nowhere:x/y]", "runs names nowhere:x/y, which does not exist"),
        ("[a\0:1]", "which does not exist"),
        ("[empty:1]", "runs names empty, which holds no run"),
        ("[bare:1]", "runs names bare, which has trained no weights yet"),
        ("[a/notes.txt:1]", "runs names a/notes.txt, which is no file of a run's weights/"),
    ],
)
def test_what_names_no_run_is_refused(runs, given, words):
    with pytest.raises(VmcError, match=words):
        read_runs(given)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("run=a", "run and runs are both given; choose one"),
        ("step=5", r"step and runs are both given; name a file of the run's weights/"),
        ("videos=a", "videos and runs are both given"),
    ],
)
def test_weights_are_named_once(runs, more, words):
    with pytest.raises(VmcError, match=words):
        choose_runs(compose("evaluate", ["runs=[a:0.5]", more]))
