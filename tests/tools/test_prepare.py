"""`python -m vmc.prepare jester` on small folders in both layouts."""

import csv
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from vmc.config.checks import check_complete
from vmc.config.command import quote_free_text
from vmc.config.folders import config_folder
from vmc.data.folder import VideoFolder
from vmc.data.jester import Jester, check_split
from vmc.data.video import count_frames
from vmc.prepare import main
from vmc.utils.text_files import normalize_label

LABELS = ("Swiping Down", "No gesture", "Doing other things", "Shaking Hand")
FRAMES = 3
SMALL = ("--exemplars", "2", "--regularization-count", "1")


def rows(split: str) -> list[tuple[str, str]]:
    start, count = {"train": (100, 1), "validation": (7, 3)}[split]
    return [(str(start + number), LABELS[number % len(LABELS)]) for number in range(count * len(LABELS))]


def save_frames(folder: Path, count: int = FRAMES) -> None:
    folder.mkdir(parents=True)
    pixels = torch.randint(0, 256, (20, 30, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for number in range(1, count + 1):
        Image.fromarray(pixels.numpy()).save(folder / f"{number:05d}.jpg")


@pytest.fixture
def release(tmp_path) -> Path:
    root = tmp_path / "jester"
    for split in ("train", "validation"):
        for id, _ in rows(split):
            save_frames(root / "20bn-jester-v1" / id)
        (root / f"jester-v1-{split}.csv").write_text("".join(f"{id};{label}\n" for id, label in rows(split)))
    (root / "jester-v1-labels.csv").write_text("\n".join(LABELS) + "\n")
    (root / "jester-v1-test.csv").write_text("1234\n5678\n")
    return root


@pytest.fixture
def mirror(tmp_path) -> Path:
    root = tmp_path / "mirror"
    for split in ("train", "validation"):
        name = split.capitalize()
        for id, _ in rows(split):
            save_frames(root / name / id)
        lines = "".join(f'{id},{label},{FRAMES},3,"(100, 176)",jpg\n' for id, label in rows(split))
        (root / f"{name}.csv").write_text(f"video_id,label,frames,label_id,shape,format\n{lines}")
    return root


def told(capsys, *words: object) -> tuple[int, str, str]:
    status = main(["jester", *map(str, words)])
    both = capsys.readouterr()
    return status, both.out, both.err


@pytest.mark.parametrize("layout", ["release", "mirror"])
def test_both_layouts_are_counted_and_drawn_from(layout, request, capsys):
    folder = request.getfixturevalue(layout)
    status, out, err = told(capsys, folder, *SMALL)
    assert (status, err) == (0, "")
    table = [line.split() for line in out.splitlines()]
    assert ["Swiping", "Down", "1", "3", *(["0"] if layout == "release" else [])] in table
    assert "validation: 12 of 12 clips complete, 3 to 3 frames, median 3; 12 shorter than 16" in out
    if layout == "release":
        assert "test: 2 clips in the table, none unpacked" in out
    drawn = Jester(folder, exemplars=2).exemplars(label="Swiping Down", caption="a {token}", seed=0)
    assert f"2 exemplars of Swiping Down: {' '.join(clip.path.name for clip in drawn)}" in out
    assert "1 regularization clips, 'a person doing other things'" in out


def test_motion_and_seed_choose_the_clips(release, capsys):
    lines = [
        next(line for line in told(capsys, release, *SMALL, *words)[1].splitlines() if "exemplars of" in line)
        for words in (
            ("--motion", "shaking_hand"),
            ("--motion", "Shaking Hand"),
            ("--motion", "shaking_hand", "--seed", "4"),
        )
    ]
    assert "of Shaking Hand" in lines[0] or "of shaking hand" in lines[0].lower()
    assert lines[0].split(": ")[1] == lines[1].split(": ")[1]
    seeds = {
        tuple(
            clip.path.name for clip in Jester(release, exemplars=2).exemplars(label="Shaking Hand", caption="a", seed=s)
        )
        for s in range(8)
    }
    assert tuple(lines[2].split(": ")[1].split()) in seeds and len(seeds) > 1


def composed(out: str):
    """The config of the command that was printed."""
    (line,) = (line for line in out.splitlines() if line.startswith("train on them: "))
    words = shlex.split(line.removeprefix("train on them: "))
    assert words[:3] == ["python", "-m", "vmc.train"]
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        config = compose("train", quote_free_text(words[3:]))
    check_complete(config)
    return config


def sources_of(out: str):
    return instantiate(composed(out).data).source


@pytest.mark.parametrize("layout", ["release", "mirror"])
@pytest.mark.parametrize(
    "words",
    [
        ("--motion", "shaking_hand"),
        ("--motion", "Shaking Hand", "--seed", "4"),
        ("--motion", "shaking-hand", "--exemplars", "1", "--split", "train", "--regularization-count", "0"),
        ("--motion", "Thumb Up", "--exemplars", "3", "--regularization-count", "2"),
    ],
)
def test_the_printed_command_draws_the_same_clips(layout, words, request, capsys, tmp_path):
    folder = request.getfixturevalue(layout).rename(tmp_path / "Jester's (all), v=1")
    for table in folder.glob("*.csv"):  # a class that is none of conf/motion
        text = table.read_text()
        table.write_text(text.replace("Swiping Down", "Thumb Up") if "Thumb Up" in words else text)
    status, out, err = told(capsys, folder, *SMALL, *words)
    assert (status, err) == (0, "")
    config, source = composed(out), sources_of(out)
    motion = instantiate(config.motion)
    exemplars = source.exemplars(label=motion.label, caption=motion.caption, seed=config.seed)
    assert f"exemplars of {motion.label}: {' '.join(clip.path.name for clip in exemplars)}\n" in out
    assert config.output == f"outputs/paper/method/{normalize_label(motion.label).replace(' ', '_')}/seed{config.seed}"
    regularization = instantiate(config.regularization, source=source, seed=config.seed, base_videos=None)
    counts = [count for option, count in pairwise((*SMALL, *words)) if option == "--regularization-count"]
    assert len(regularization.clips()) == 2 * int(counts[-1])
    assert motion.prompt == "{subject} doing the {token} sign."


def test_what_is_no_motion_has_no_command(release, capsys, tmp_path):
    for words in ((), ("--export", tmp_path / "out")):
        status, out, _ = told(capsys, release, *SMALL, "--motion", "No gesture", *words)
        assert status == 0 and "vmc.train" not in out and "no run learns No gesture" in out


def test_export_is_read_by_the_folder_of_videos(release, tmp_path, capsys):
    status, out, _ = told(capsys, release, *SMALL, "--export", tmp_path / "out")
    assert status == 0
    assert sources_of(out).exemplars(label=None, caption="a", seed=0)
    config = composed(out)
    assert (config.stack_name, config.motion.label, config.seed) == ("mini", "Swiping Down", 0)
    assert "add stack=paper" in out
    assert config.regularization.path == str(tmp_path / "out" / "regularization")
    source = VideoFolder(tmp_path / "out" / "exemplars", regularization_path=tmp_path / "out" / "regularization")
    clips = source.exemplars(label=None, caption=None, seed=0)
    assert [clip.caption for clip in clips] == ["a person doing a {token} sign"] * 2
    assert {count_frames(clip.path) for clip in clips} == {FRAMES}
    captions = {clip.caption for clip in source.regularization(seed=0)}
    assert captions == {"a person doing other things", "a person in front of a computer"}
    with (tmp_path / "out" / "exemplars" / "captions.csv").open() as stream:
        assert next(csv.reader(stream)) == ["file", "caption"]
    (tmp_path / "out" / "mine.txt").write_text("keep")
    status, _, err = told(capsys, release, *SMALL, "--export", tmp_path / "out")
    assert status == 2 and "not empty" in err and (tmp_path / "out" / "mine.txt").is_file()


def test_missing_frames_are_named(release, capsys):
    frames = release / "20bn-jester-v1"
    (frames / "8" / "00002.jpg").unlink()
    status, out, err = told(capsys, release, *SMALL)
    assert status == 2 and "validation: 11 of 12 clips complete" in out
    assert "1 of 12 validation clips are broken, the first 8" in err and "has no frame 00002.jpg" in err
    for file in (frames / "9").iterdir():
        file.unlink()
    (frames / "9").rmdir()
    status, _, err = told(capsys, release, *SMALL)
    assert status == 2 and "1 of 12 validation clips have no frames, the first 9" in err and err.count("\n") == 1


def test_the_last_frames_are_missed_where_the_table_counts_them(mirror, capsys):
    (mirror / "Validation" / "8" / "00003.jpg").unlink()
    status, _, err = told(capsys, mirror, *SMALL)
    assert status == 2 and "has 2 frames, where the table says 3" in err


def test_a_split_that_was_never_unpacked_is_no_error_unless_it_is_drawn_from(release, capsys):
    for id, _ in rows("train"):
        for file in (release / "20bn-jester-v1" / id).iterdir():
            file.unlink()
    status, out, _ = told(capsys, release, *SMALL)
    assert status == 0 and "train: 4 clips in the table, none unpacked" in out
    status, _, err = told(capsys, release, "--exemplars", 1, "--regularization-count", 0, "--split", "train")
    assert status == 2 and err.count("\n") == 1


@pytest.mark.parametrize(
    ("table", "old", "new", "words"),
    [
        ("jester-v1-train.csv", "100;Swiping Down", "100;Waving", "clip 100 of the class 'Waving', which is not in"),
        ("jester-v1-train.csv", "100;Swiping Down", "100;", "clip 100 of the class '', which is none"),
        ("jester-v1-train.csv", "100;", "7;", "which stands in two rows or splits"),
        ("jester-v1-validation.csv", "8;", "7;", "which stands in two rows or splits"),
        ("jester-v1-labels.csv", "Shaking Hand", "Shaking Fist", "the class 'Shaking Hand', which is not in"),
    ],
)
def test_tables_that_disagree_are_refused(release, capsys, table, old, new, words):
    file = release / table
    file.write_text(file.read_text().replace(old, new, 1))
    status, _, err = told(capsys, release, *SMALL)
    assert status == 2 and words in err and err.count("\n") == 1


def test_a_class_that_the_mirror_invents_is_refused(mirror, capsys):
    file = mirror / "Train.csv"
    file.write_text(file.read_text().replace("Swiping Down", "Waving"))
    status, _, err = told(capsys, mirror, *SMALL)
    assert status == 2 and "'Waving', which is not in Jester's 27 classes" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--motion", "waving"), "'waving' is no label of Jester"),
        (("--motion", "custom"), "which is no class of Jester"),
        (("--motion", "dab"), "which is no class of Jester"),
        (
            ("--exemplars", "50"),
            "--exemplars is 50, but the validation split has 3 clips of 'Swiping Down': set it to 3",
        ),
        (("--exemplars", "0"), "--exemplars is 0; it must"),
        (
            ("--regularization-count", "9"),
            "--regularization-count is 9, but the validation split has 3 clips of 'Doing",
        ),
        (("--split", "all"), "--split is 'all'; it must be one of train, validation, test"),
    ],
)
def test_what_cannot_be_drawn_is_said(release, capsys, words, said):
    status, _, err = told(capsys, release, *SMALL, *words)
    assert status == 2 and said in err and err.count("\n") == 1


def test_no_jester_folder(tmp_path, capsys):
    status, _, err = told(capsys, tmp_path)
    assert status == 2 and err.startswith(f"PATH is {tmp_path}, where no table") and "jester-v1-validation.csv" in err


def test_a_damaged_picture_among_the_drawn_is_found(release, capsys):
    drawn = Jester(release, exemplars=2).exemplars(label="Swiping Down", caption="a", seed=0)
    (drawn[0].path / "00002.jpg").write_bytes(b"no picture")
    status, _, err = told(capsys, release, *SMALL)
    assert status == 2 and str(drawn[0].path) in err and "data." not in err


def test_check_counts_without_opening(release):
    found = check_split(Jester(release), "validation")
    assert found.labels.total() == 12 and found.problem is None and f"{FRAMES} to {FRAMES} frames" in found.summary
