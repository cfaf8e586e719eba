"""`python -m vmc.prepare classifier` on a small rendered folder, in both layouts."""

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vmc.data.jester import RELEASE, Jester
from vmc.data.video import count_frames, read_frames
from vmc.metrics.networks.classifiers import TRNClassifier
from vmc.metrics.networks.trn import BACKBONES, TRN, load_trn, save_trn, segment_indices
from vmc.mini.world import jester_folder
from vmc.prepare import main
from vmc.tools import jester_classifier as training
from vmc.tools.jester_classifier import JesterBatches, Split, decode, drawn_by_runs
from vmc.tools.learning.training import Clock

LABELS = ("Doing other things", "No gesture", "Swiping Down")
EXEMPLARS = ("--motions", "swiping_down", "--run-seeds", "0", "1", "--exemplars", "1", "--regularization-count", "1")
SHORT = (*EXEMPLARS, "--epochs", "2", "--batch", "4", "--threads", "1", "--device", "cpu")


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("jester") / "release"
    jester_folder.write(folder, per_class=4, classes=LABELS, train_per_class=2, test_clips=0, workers=1)
    (folder / "jester-v1-labels.csv").write_text("\n".join(reversed(LABELS)) + "\n")
    return folder


@pytest.fixture(scope="module")
def mirror(release, tmp_path_factory) -> Path:
    """The same clips in the other layout, which has no list of classes."""
    folder = tmp_path_factory.mktemp("jester") / "mirror"
    for split in ("train", "validation"):
        lines = ["video_id,label,frames,label_id,shape,format"]
        for id, label in rows(release, split):
            place = folder / split.capitalize() / id
            shutil.copytree(release / RELEASE / id, place)
            lines.append(f'{id},{label},{count_frames(place)},3,"(100, 132)",jpg')
        (folder / f"{split.capitalize()}.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def finished(release, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("classifier") / "mine.pth.tar"
    assert main(["classifier", str(release), "--output", str(file), *SHORT]) == 0
    return file


@pytest.fixture
def told(tmp_path, capsys):
    """Status, output and errors of a short command; words that come later win."""

    def command(folder: Path, *words: object, output: Path = tmp_path / "mine.pth.tar") -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["classifier", str(folder), "--output", str(output), *SHORT, *map(str, words)])
        both = capsys.readouterr()
        return status, both.out, both.err

    return command


@pytest.fixture
def copy(release, tmp_path) -> Path:
    return shutil.copytree(release, tmp_path / "copy")


def rows(folder: Path, split: str) -> list[list[str]]:
    return [line.split(";") for line in (folder / f"jester-v1-{split}.csv").read_text().splitlines()]


def tensors(file: Path) -> dict[str, torch.Tensor]:
    return torch.load(file, weights_only=True)["state_dict"]


def equal(first: Path, second: Path) -> bool:
    one, two = tensors(first), tensors(second)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_the_file_loads_and_classifies_and_its_figures_lie_beside_it(finished, release):
    classifier = TRNClassifier(path=finished, labels=release / "jester-v1-labels.csv")
    assert classifier.labels == LABELS
    clip = read_frames(release / RELEASE / rows(release, "validation")[0][0])
    probabilities = classifier.probabilities(clip[None])
    assert probabilities.shape == (1, 3) and probabilities.sum().item() == pytest.approx(1)
    content, said = torch.load(finished, weights_only=True), json.loads(Path(f"{finished}.json").read_text())
    assert said["sha256"] == hashlib.sha256(finished.read_bytes()).hexdigest(), "what the doctor compares it with"
    assert set(content) == {"epoch", "arch", "state_dict", "best_prec1"} and content["arch"] == "SmallResNet"
    assert said["accuracy"] == pytest.approx(content["best_prec1"] / 100) and said["chosen_epoch"] == content["epoch"]
    assert list(said["classes"]) == list(LABELS) and said["steps"] == 4
    assert {row["training_clips"] for row in said["classes"].values()} == {2}
    assert said["clips"] + said["clips_left_out"] == 12 == 3 * 4
    measured = [round(row["accuracy"] * row["clips"]) for row in said["classes"].values()]
    assert sum(measured) == round(said["accuracy"] * said["clips"])


def test_the_accuracy_is_that_of_the_evaluations_own_way_of_reading(finished, release):
    """Decoded once and cropped, a clip is read as the loader reads it from the disk."""
    source = Jester(release, exemplars=1, regularization_count=1)
    drawn = drawn_by_runs(source, motions=["Swiping Down"], seeds=[0, 1])
    classifier = TRNClassifier(path=finished, labels=LABELS)
    wanted = [(id, label) for id, label in rows(release, "validation") if id not in drawn]
    found = [classifier.probabilities(read_frames(release / RELEASE / id)[None]).argmax().item() for id, _ in wanted]
    right = np.mean([LABELS[place] == label for place, (_, label) in zip(found, wanted, strict=True)])
    assert json.loads(Path(f"{finished}.json").read_text())["accuracy"] == pytest.approx(right)


def test_clips_that_runs_train_on_choose_no_model(release):
    source = Jester(release, exemplars=1, regularization_count=1)
    drawn = drawn_by_runs(source, motions=["Swiping Down"], seeds=[0, 1])
    runs = [
        clip.path.name
        for seed in (0, 1)
        for clip in (
            *source.exemplars(label="swiping_down", caption="{token}", seed=seed),
            *source.regularization(seed=seed),
        )
    ]
    assert drawn == set(runs) and len(drawn) >= 3
    split = Split(source=source, name="validation", classes=LABELS, arch="SmallResNet", left_out=drawn)
    assert not drawn & {split.ids[place] for place in split.used} and len(split.used) + len(drawn) == 12
    assert split.counts.sum() == len(split.used)


def test_a_training_that_was_cut_ends_as_one_that_was_not(finished, release, tmp_path, told, monkeypatch):
    with monkeypatch.context() as patch:
        asked = iter([False] * 3 + [True])
        patch.setattr(Clock, "over", lambda self: next(asked))
        patch.setattr("vmc.tools.learning.training.SAVE_SECONDS", 0.0)
        status, out, _ = told(release)
        assert status == 0 and "3 of 4 steps; the same command goes on" in out
        assert not (tmp_path / "mine.pth.tar").exists()
    status, out, _ = told(release)
    assert status == 0 and "wrote" in out and "metrics.classifier.labels=" in out
    assert equal(finished, tmp_path / "mine.pth.tar")
    said = [json.loads(Path(f"{file}.json").read_text()) for file in (finished, tmp_path / "mine.pth.tar")]
    assert said[0]["classes"] == said[1]["classes"] and said[0]["settings"] == said[1]["settings"]


def test_the_other_layout_gives_the_same_file(finished, release, mirror, tmp_path, told, monkeypatch):
    monkeypatch.setattr("vmc.metrics.networks.classifiers.JESTER_LABELS", LABELS)
    assert told(mirror)[0] == 0
    assert equal(finished, tmp_path / "mine.pth.tar")


def test_a_finished_training_says_so_and_others_are_refused(finished, release, told, tmp_path):
    before = finished.read_bytes()
    assert told(release, output=finished)[1].endswith("is done already\n")
    status, _, err = told(release, "--batch", 3, "--seed", 1, output=finished)
    assert status == 2 and "with seed 0, and this one has 1; with batch 4, and this one has 3" in err
    status, _, err = told(release, "--run-seeds", 0, output=finished)
    assert status == 2 and "validation clips" in err
    assert finished.read_bytes() == before
    (tmp_path / "mine.pth.tar").write_text("mine")
    status, _, err = told(release)
    assert status == 2 and "name another file" in err and (tmp_path / "mine.pth.tar").read_text() == "mine"


def test_the_first_of_equally_good_epochs_is_kept(tmp_path):
    network, file = TRN(arch="SmallResNet", classes=3), tmp_path / "best.pth.tar"
    for epoch, accuracy in enumerate((0.25, 0.5, 0.5, 0.25), start=1):
        training.keep_best(network, file, arch="SmallResNet", epoch=epoch, accuracy=accuracy)
    content = torch.load(file, weights_only=True)
    assert (content["epoch"], content["best_prec1"]) == (2, 50.0)


def test_every_epoch_shows_every_clip_in_an_order_of_its_own(release, finished):
    split = Split(source=Jester(release), name="train", classes=LABELS, arch="SmallResNet")
    batches = JesterBatches(clips=split, seed=0, size=3)
    orders = [[batches._clip(6 * epoch + place) for place in range(6)] for epoch in range(3)]
    assert all(sorted(order) == list(range(6)) for order in orders) and orders[0] != orders[1]
    first, again, other = batches(1), batches(1), batches(3)
    assert torch.equal(first.frames_BSCHW, again.frames_BSCHW) and not torch.equal(
        first.frames_BSCHW, other.frames_BSCHW
    )
    assert first.frames_BSCHW.shape == (3, 8, 3, 64, 64)
    assert first.labels_B.tolist() == [LABELS.index(dict(rows(release, "train"))[split.ids[c]]) for c in orders[0][3:]]


def test_clips_are_decoded_in_time_order_by_what_other_processes_can_run(release):
    split = Split(source=Jester(release), name="train", classes=LABELS, arch="BNInception")
    shards = split.shards
    assert shards.shape == (16, 100, 100, 3) and shards.prepare(workers=1)
    assert pickle.loads(pickle.dumps(shards.make)).func is decode
    folder = release / RELEASE / split.ids[4]
    whole = read_frames(folder, segment_indices(count_frames(folder), 16))[..., 16:116]
    assert np.array_equal(shards.items([4])[0], whole.permute(0, 2, 3, 1).numpy())
    assert np.array_equal(decode([4], root=str(release), split="train", frames=16, size=100), shards.items([4]))


@pytest.mark.slow
def test_the_papers_backbone_begins_with_published_weights(release, tmp_path, told, monkeypatch):
    for name, pixels in {"short_side": 96, "crop": 64}.items():
        monkeypatch.setattr(BACKBONES["BNInception"], name, pixels)
    first = TRN(arch="BNInception", classes=3)
    save_trn(first, tmp_path / "first.pth.tar", arch="BNInception", epoch=1, accuracy=0.0)
    words = (
        "--backbone",
        "bninception",
        "--weights",
        tmp_path / "first.pth.tar",
        "--epochs",
        1,
        "--batch",
        6,
        "--rate",
        1e-6,
    )
    assert told(release, *words, "--rate", 1e-6)[0] == 0
    network = load_trn(tmp_path / "mine.pth.tar", classes=3)
    assert torch.allclose(network.new_fc.weight, first.new_fc.weight, atol=1e-3)
    status, _, err = told(release, "--weights", tmp_path / "first.pth.tar", output=tmp_path / "other.pth.tar")
    assert status == 2 and "of another backbone than SmallResNet" in err


def test_weights_of_other_classes_are_refused(release, tmp_path, told):
    save_trn(TRN(arch="SmallResNet", classes=5), tmp_path / "w.pth.tar", arch="SmallResNet", epoch=0, accuracy=0.0)
    status, _, err = told(release, "--weights", tmp_path / "w.pth.tar")
    assert status == 2 and "a TRN of arch SmallResNet and 3 classes" in err and err.count("\n") == 1


def test_broken_and_missing_frames_are_named(copy, told, tmp_path):
    id = rows(copy, "train")[0][0]
    for file in (copy / RELEASE / id).iterdir():
        file.write_bytes(b"no picture")
    status, _, err = told(copy)
    assert status == 2 and f"{id}/0000" in err and "cannot be read" in err and err.count("\n") == 1
    shutil.rmtree(copy / RELEASE / id)
    status, _, err = told(copy)
    assert status == 2 and "1 of 6 train clips have no frames" in err and id in err
    assert not (tmp_path / "mine.pth.tar").exists()


@pytest.mark.parametrize(
    ("table", "old", "new", "words"),
    [
        ("labels", "Swiping Down\n", "", "the class 'Swiping Down', which is not in"),
        ("labels", "Swiping Down", "Swiping Down\nThumb Up", "the train split has no clip of 'Thumb Up'"),
        ("train", ";Swiping Down", ";", "the class '', which is none"),
    ],
)
def test_tables_that_do_not_fit_are_refused(table, old, new, words, copy, told):
    file = copy / f"jester-v1-{table}.csv"
    file.write_text(file.read_text().replace(old, new))
    status, _, err = told(copy)
    assert status == 2 and words in err and err.count("\n") == 1


def test_options_out_of_range_and_too_few_clips_are_refused(release, told, tmp_path):
    for words, message in (
        (("--epochs", 0), "--epochs is 0"),
        (("--batch", 0), "--batch is 0"),
        (("--rate", 0), "--rate is 0"),
        (("--threads", 0), "--threads is 0"),
        (("--exemplars", 9), "has 4 clips of 'Swiping Down'"),
        (("--exemplars", 4), "lower --exemplars"),
        (("--motions", "waving"), "'waving' is no label of Jester"),
    ):
        status, _, err = told(release, *words)
        assert status == 2 and message in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_wide_and_single_frames_are_read(tmp_path):
    """A clip of one frame repeats it; a picture wider than high is cropped at its centre."""
    for split in ("train", "validation"):
        (tmp_path / f"jester-v1-{split}.csv").write_text("7;No gesture\n")
    (tmp_path / RELEASE / "7").mkdir(parents=True)
    pixels = np.zeros((100, 176, 3), np.uint8)
    pixels[:, 60:116] = 200
    Image.fromarray(pixels).save(tmp_path / RELEASE / "7" / "00001.jpg")
    frames = decode([0], root=str(tmp_path), split="validation", frames=8, size=64)
    assert frames.shape == (1, 8, 64, 64, 3) and (frames[0] == frames[0, 0]).all()
    assert frames[0, 0, 32, 32].min() > 190 and frames[0, 0, 32, [2, -3]].max() < 10
