import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vmc.mini.__main__ import main
from vmc.mini.world import jester_folder
from vmc.mini.world.gestures import LABELS
from vmc.mini.world.hashing import SOURCES, renderer_hash
from vmc.mini.world.jester_folder import LABEL_ORDER, default_folder, write
from vmc.utils import processes
from vmc.utils.errors import VmcError

CLASSES = ("Drumming Fingers", "No gesture")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("jester") / "made"
    write(folder, per_class=2, classes=CLASSES, train_per_class=1, test_clips=1, workers=2)
    return folder


def rows(folder: Path, split: str) -> list[list[str]]:
    return [line.split(";") for line in (folder / f"jester-v1-{split}.csv").read_text().splitlines()]


def test_the_layout_is_jesters(folder):
    assert {path.name for path in folder.iterdir()} == {
        "20bn-jester-v1",
        *(f"jester-v1-{name}.csv" for name in ("labels", "train", "validation", "test")),
    }
    labels = [row[0] for row in rows(folder, "labels")]
    assert sorted(labels) == list(LABELS) and labels == list(LABEL_ORDER) != list(LABELS)
    assert sorted(label for _, label in rows(folder, "validation")) == sorted(CLASSES * 2)
    assert sorted(label for _, label in rows(folder, "train")) == sorted(CLASSES)
    assert len(rows(folder, "test")[0]) == 1
    written = {path.name for path in (folder / "20bn-jester-v1").iterdir()}
    assert written == {row[0] for split in ("train", "validation", "test") for row in rows(folder, split)}


def test_frames_are_numbered_from_one_and_100_pixels_high(folder):
    for clip in (folder / "20bn-jester-v1").iterdir():
        frames = sorted(path.name for path in clip.iterdir())
        assert frames == [f"{index:05d}.jpg" for index in range(1, len(frames) + 1)]
        assert 28 <= len(frames) <= 40
        with Image.open(clip / frames[0]) as picture:
            assert picture.size == (132, 100)


def test_two_writings_give_the_same_bytes_whatever_the_number_of_processes(folder, tmp_path):
    write(tmp_path / "again", per_class=2, classes=CLASSES, train_per_class=1, test_clips=1, workers=1)
    first = sorted(path for path in folder.rglob("*") if path.is_file())
    second = sorted(path for path in (tmp_path / "again").rglob("*") if path.is_file())
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_processes_inherit_no_locks_of_this_ones_threads(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "fork")
    write(tmp_path / "made", per_class=1, classes=CLASSES, train_per_class=0, test_clips=0, workers=2)
    assert len(list((tmp_path / "made" / "20bn-jester-v1").iterdir())) == 2


def test_arms_side_by_side_render_on_the_cores_of_all(tmp_path, monkeypatch):
    asked = []

    def pool(count, *, mp_context, initializer, initargs):
        asked.append((count, initializer, initargs))
        return ThreadPoolExecutor(1)

    monkeypatch.setattr(processes, "_cores_of_all", frozenset({4, 5}))
    monkeypatch.setattr(jester_folder, "ProcessPoolExecutor", pool)
    write(tmp_path / "made", per_class=1, classes=CLASSES, train_per_class=0, test_clips=0)
    assert asked == [(2, processes.use_cores, ({4, 5},))]


def test_another_seed_gives_other_clips(folder, tmp_path):
    write(tmp_path / "other", per_class=1, classes=CLASSES[:1], seed=1, train_per_class=0, test_clips=0, workers=1)
    (clip,) = (tmp_path / "other" / "20bn-jester-v1").iterdir()
    first = np.asarray(Image.open(clip / "00001.jpg"))
    for other in (folder / "20bn-jester-v1").iterdir():
        assert not np.array_equal(first, np.asarray(Image.open(other / "00001.jpg")))


def test_a_folder_with_something_in_it_is_refused_with_a_remedy(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    assert main(["render", "--output", str(tmp_path), "--per-class", "1"]) == 2
    message = capsys.readouterr().err
    assert str(tmp_path) in message and "not empty" in message and message.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "empty").mkdir()
    words = ["render", "--output", str(tmp_path / "empty"), "--per-class", "1", "--class", "Thumb Up"]
    assert main(words) == 0
    assert (tmp_path / "empty" / "jester-v1-labels.csv").is_file()


def test_a_folder_that_another_process_has_made_meanwhile_stays(tmp_path, monkeypatch):
    def made_beside(temporary: Path, *_: object) -> None:
        (tmp_path / "jester").mkdir()
        (tmp_path / "jester" / "theirs").touch()

    monkeypatch.setattr(jester_folder, "_write_clips", made_beside)
    write(tmp_path / "jester", per_class=1)
    assert [path.name for path in tmp_path.iterdir()] == ["jester"]
    assert [path.name for path in (tmp_path / "jester").iterdir()] == ["theirs"]


@pytest.mark.parametrize(("options", "named"), [({"classes": ("Waving",)}, "Waving"), ({"per_class": -1}, "-1")])
def test_what_cannot_be_written_is_refused_by_name(tmp_path, options, named):
    with pytest.raises(VmcError, match=named):
        write(tmp_path / "folder", **options)
    assert not (tmp_path / "folder").exists()


def test_the_default_folder_is_made_once_and_named_after_the_renderer(tmp_path, monkeypatch):
    monkeypatch.setenv("VMC_CACHE", str(tmp_path))
    asked = []

    def record(folder: Path, **options: object) -> None:
        asked.append(options["per_class"])
        folder.mkdir(parents=True)

    monkeypatch.setattr(jester_folder, "write", record)
    assert default_folder() == default_folder()
    assert default_folder().parent == tmp_path / "mini"
    assert len(asked) == 1
    assert asked[0]["Drumming Fingers"] == 30 and asked[0]["No gesture"] == 100 and asked[0]["Thumb Up"] == 10


def test_the_renderers_hash_covers_every_module_that_draws():
    """What renderer and captions import from the miniature is hashed."""
    package = Path(jester_folder.__file__).parent
    for name in SOURCES:
        for line in (package / f"{name}.py").read_text().splitlines():
            if line.startswith("from vmc.mini.world.") and " import " in line:
                assert line.split()[1].removeprefix("vmc.mini.world.") in SOURCES, line
            elif line.startswith("from vmc.mini"):
                imported = line.removeprefix("from vmc.mini.world import ").replace(",", " ").split()
                assert all(part in (*SOURCES, "as", "words") for part in imported), line
    assert renderer_hash() == renderer_hash() != renderer_hash("jester_folder")


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0 and "render" in capsys.readouterr().out
