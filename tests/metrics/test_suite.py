"""The metrics groups: every network in its published format behind one object."""

import shutil
from copy import copy
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import nn

from vmc.config.folders import config_folder
from vmc.metrics.base import Record, RunContext
from vmc.metrics.networks.classifiers import TRNClassifier, TSMClassifier
from vmc.metrics.networks.files import ImageTextNetwork
from vmc.metrics.networks.sscd import CopyNetwork, SSCDNetwork
from vmc.metrics.networks.trn import TRN, save_trn
from vmc.metrics.people import People
from vmc.metrics.scores import COLUMNS as DECLARED
from vmc.metrics.suite import Suite
from vmc.mini.makers.appearance.network import make_model, write_model
from vmc.utils.errors import VmcError

COLUMNS = tuple(column.name for column in DECLARED)


@pytest.fixture(scope="module")
def suite(tmp_path_factory) -> Suite:
    """The miniature's architectures with random weights."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    model = TRN(arch="SmallResNet", classes=27)
    save_trn(model, folder / "classifier.pth.tar", arch="SmallResNet", epoch=0, accuracy=0.0)
    write_model(make_model(0), folder / "appearance")
    network = SSCDNetwork(bottleneck=False, layers=[1, 1, 1, 1], width=32, stem=16)
    torch.save(network.state_dict(), folder / "copying.torchvision.pt")
    return Suite(
        classifier=TRNClassifier(path=folder / "classifier.pth.tar"),
        appearance=ImageTextNetwork(path=folder / "appearance"),
        copying=CopyNetwork(path=folder / "copying.torchvision.pt", short_side=64),
    )


def network(suite: Suite, name: str):
    """The network that a metric of the suite measures with."""
    (found,) = suite.metrics[name].networks.values()
    return found


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def composed(name: str, *overrides: str) -> Suite:
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        return instantiate(compose(f"metrics/{name}", overrides=list(overrides)).metrics)


def test_scores_have_all_columns_and_do_not_hang_on_the_batch(suite, tmp_path):
    exemplars = [("a.mp4", noise(3, 3, 64, 64, seed=9))]
    evaluator = suite.evaluator(
        RunContext(target="Swiping Down", exemplars=exemplars, regularization=exemplars, cache=tmp_path)
    )
    videos = [noise(8, 3, 64, 64, seed=seed) for seed in range(4)] + [exemplars[0][1]]
    records = [
        Record(video=f"{place}.mp4", prompt=f"p{place}", seed=0, subject="a man", language="a man waving")
        for place in range(len(videos))
    ]
    together = evaluator.score(videos, records)
    alone = [evaluator.score(video[None], [record])[0] for video, record in zip(videos, records, strict=True)]
    for row, other in zip(together, alone, strict=True):
        assert list(row) == list(COLUMNS) and None not in row.values()
        for column in COLUMNS:
            assert other[column] == pytest.approx(row[column], abs=1e-4), column
    assert together[-1]["copied"] and together[-1]["copy_similarity_first"] == pytest.approx(1, abs=1e-4)
    protocol = evaluator.protocol()
    for part, place in (("motion", "classifier"), ("appearance", "model"), ("copying", "descriptor")):
        assert len(protocol[part][place]["sha256"]) == 64
    assert protocol["copying"]["exemplars"]["clips"] == 1


def test_videos_without_exemplars_and_motions_without_a_class(suite):
    evaluator = suite.evaluator(RunContext())
    (row,) = evaluator.score(noise(1, 8, 3, 64, 64), [Record(video="a.mp4", prompt="p", subject="a man")])
    empty = {name for name, value in row.items() if value is None}
    copying = {"copy_similarity_first", "copy_similarity_any", "copied", "nearest_clip", "nearest_frame"}
    assert empty == copying | {
        "regularization_similarity", "seed", "motion_correct", "motion_probability", "text_alignment",
    }  # fmt: skip
    with pytest.raises(VmcError, match=r"motion\.label is 'Dab'"):
        suite.evaluator(RunContext(target="Dab"))


def test_all_missing_files_are_named_with_their_commands(monkeypatch, tmp_path):
    monkeypatch.setenv("VMC_WEIGHTS", str(tmp_path))
    paper = composed("paper")
    with pytest.raises(VmcError) as refused:
        paper.check(target="Swiping Down")
    sentence = str(refused.value)
    assert "3 files" in sentence and "\n" not in sentence
    for file, command in {
        "TRN_jester_RGB_BNInception_TRNmultiscale_segment8_best.pth.tar": "trn",
        "ViT-B-32.pt": "clip",
        "sscd_disc_mixup.torchvision.pt": "sscd",
    }.items():
        assert f"{tmp_path / file} (python -m vmc.weights get {command})" in sentence
    with pytest.raises(VmcError, match="3 files"):
        paper.evaluator(RunContext(target="Swiping Down"))
    (tmp_path / "ViT-B-32.pt").touch()
    assert len(paper.missing_files(target="Swiping Down")) == 2
    assert isinstance(network(paper, "classifier"), TRNClassifier) and network(paper, "copying").short_side == 288


def test_a_motion_without_a_class_needs_no_classifier_and_takes_one_that_is_there(suite, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("VMC_WEIGHTS", str(tmp_path))
    paper = composed("paper")
    assert [Path(missing.split()[0]).name[:4] for missing in paper.missing_files(target=None)] == ["ViT-", "sscd"]
    classifier, appearance = network(paper, "classifier"), network(suite, "appearance")
    lacking = Suite(classifier=classifier, appearance=appearance, people=People())
    lacking.check(target=None)
    with caplog.at_level("INFO"):
        used = [metric.name for metric in lacking.evaluator(RunContext()).metrics]
    assert used == ["quality", "appearance"]
    assert all(f"metrics.{name} is left out" in caplog.text for name in ("classifier", "people"))
    assert "motion" in [metric.name for metric in suite.evaluator(RunContext()).metrics]
    with pytest.raises(VmcError, match=r"files that are not there: .*TRN_jester"):
        lacking.evaluator(RunContext(target="Swiping Down"))


def test_another_classifier_and_a_tag_are_chosen_in_the_config():
    suite = composed(
        "paper",
        "metrics.classifier._target_=vmc.metrics.networks.classifiers.TSMClassifier",
        "metrics.classifier.path=online.pth.tar",
        "metrics.appearance.path=null",
        "metrics.appearance.tag=openai",
        "metrics.copying=null",
    )
    assert isinstance(network(suite, "classifier"), TSMClassifier)
    assert len(suite.missing_files(target="Swiping Down")) == 1
    assert network(suite, "appearance").describe() == {"architecture": "ViT-B-32-quickgelu", "tag": "openai"}


def test_the_miniature_names_its_own_files():
    suite = composed("mini")
    files = [network(suite, name).path for name in ("classifier", "appearance", "copying")]
    assert [file.name for file in files] == ["classifier.pth.tar", "appearance", "copying.torchscript.pt"]
    assert {file.parent.name for file in files} == {"weights"}


def test_settings_are_checked(suite):
    with pytest.raises(VmcError, match=r"metrics\.copy_threshold is 25"):
        Suite(classifier=None, appearance=None, copying=None, copy_threshold=25)
    with pytest.raises(VmcError, match="give one of the two"):
        ImageTextNetwork(path="a", tag="openai")


def test_networks_open_once_and_move(suite, monkeypatch):
    assert network(suite, "copying").network is network(suite, "copying").network
    assert isinstance(network(suite, "copying").network, nn.Module)
    copying = CopyNetwork(path=network(suite, "copying").path, short_side=64)
    copying.check()
    opened = copying.network
    copying.to("cpu")
    assert copying.network is opened
    monkeypatch.setattr(CopyNetwork, "open", lambda self: 1 / 0)  # it is moved, and not read again
    copying.to("meta")
    assert copying.network is opened and {part.device.type for part in opened.parameters()} == {"meta"}


def damage(file: Path, how: str) -> None:
    file.write_bytes(b"<html>no network</html>" if how == "foreign" else file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("how", ["truncated", "foreign"])
@pytest.mark.parametrize("part", ["classifier", "appearance", "copying"])
def test_a_damaged_file_is_found_by_the_check_with_its_command(suite, tmp_path, part, how):
    damaged = copy(network(suite, part))
    damaged._opened, damaged.get = None, "python -m vmc.weights get it"
    place = tmp_path / damaged.path.name
    (shutil.copytree if damaged.path.is_dir() else shutil.copyfile)(damaged.path, place)
    damaged.path = place
    damage(place / "open_clip_model.safetensors" if place.is_dir() else place, how)
    whole = {name: network(suite, name) for name in ("classifier", "appearance", "copying")}
    with pytest.raises(VmcError) as refused:
        Suite(**{**whole, part: damaged}).check()
    sentence = str(refused.value)
    assert str(place) in sentence and sentence.endswith("(python -m vmc.weights get it)") and "\n" not in sentence


def test_the_check_looks_the_class_up(suite):
    suite.check(target="swiping_down")
    suite.check(target=None)
    with pytest.raises(VmcError, match=r"motion\.label is 'Dab', which the gesture classifier does not know"):
        suite.check(target="Dab")


def test_text_alignment_can_be_measured_and_stand_in_no_table(suite):
    def tables(**chosen) -> dict[str, tuple[str, ...]]:
        found = Suite(appearance=suite.metrics["appearance"].model, **chosen)
        return {measure.name: measure.tables for measure in found.measures}

    shown, hidden = tables(), tables(alignment_in_tables=False)
    assert shown["text_alignment"] == ("table1",) and hidden == shown | {"text_alignment": ()}
    assert tables() == shown, "the declaration of others is left alone"
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        chosen = {name: compose("train", overrides=[f"metrics={name}"]).metrics for name in ("mini", "paper")}
    assert chosen["mini"].alignment_in_tables is False and "alignment_in_tables" not in chosen["paper"]
