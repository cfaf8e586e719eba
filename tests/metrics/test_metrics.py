"""Metrics on videos made by hand, with tiny networks in the published formats."""

import pytest
import torch
from torch import nn

from vmc.metrics.appearance import Appearance
from vmc.metrics.base import Record, RunContext
from vmc.metrics.copying import Copying
from vmc.metrics.motion import MotionAccuracy
from vmc.metrics.networks import trn
from vmc.metrics.networks.classifiers import JESTER_LABELS, TRNClassifier
from vmc.metrics.networks.sscd import CopyNetwork, SSCDNetwork
from vmc.metrics.quality import Quality, dynamic_degree, flicker
from vmc.utils.errors import VmcError


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """uint8 of that shape."""
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def records(count: int, **changes) -> list[Record]:
    return [Record(**{"video": f"{place}.mp4", "prompt": "p", "seed": place, **changes}) for place in range(count)]


class Brightness(trn.Backbone):
    """features_NC: the mean brightness, four times."""

    features = width = 4
    short_side = crop = 16
    bgr, mean, deviation = True, [0.0] * 3, [255.0] * 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((1, 2, 3))[:, None].expand(-1, 4)


@pytest.fixture
def classifier(tmp_path, monkeypatch) -> TRNClassifier:
    """Says 'Swiping Up' of a video that gets brighter and 'Swiping Down' of one that gets darker."""
    monkeypatch.setitem(trn.BACKBONES, "Brightness", Brightness)
    torch.manual_seed(0)
    model = trn.TRN(arch="Brightness", classes=27)
    nn.init.constant_(model.new_fc.weight, 0.25)
    nn.init.zeros_(model.new_fc.bias)
    for network in model.consensus.fc_fusion_scales:
        for layer in (network[1], network[3]):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        last = network[1].in_features - 4
        network[1].weight.data[:2, [0, last]] = torch.tensor([[-10.0, 10.0], [10.0, -10.0]])  # last less first
        network[3].weight.data[JESTER_LABELS.index("Swiping Up"), 0] = 1
        network[3].weight.data[JESTER_LABELS.index("Swiping Down"), 1] = 1
    trn.save_trn(model, tmp_path / "classifier.pth.tar", arch="Brightness", epoch=1, accuracy=100.0)
    return TRNClassifier(path=tmp_path / "classifier.pth.tar")


@pytest.fixture
def copying(tmp_path) -> CopyNetwork:
    """A tiny SSCD with random weights."""
    torch.manual_seed(1)
    network = SSCDNetwork(bottleneck=False, layers=[1, 1, 1, 1], width=64, stem=16).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.bias.data.normal_()
    torch.save(network.state_dict(), tmp_path / "tiny.torchvision.pt")
    return CopyNetwork(path=tmp_path / "tiny.torchvision.pt", short_side=64)


class Colors:
    """Mean colours of frames; a text is a colour. Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(frames.float().mean((2, 3)))

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        self.asked += texts
        return torch.stack([torch.eye(3)[["red", "green", "blue"].index(text)] for text in texts])

    def describe(self):
        return {"name": "colours"}


def brightening() -> torch.Tensor:
    """frames_FCHW."""
    return (torch.arange(16) * 15).to(torch.uint8).view(16, 1, 1, 1).expand(16, 3, 32, 32).clone()


def test_reversed_frames_change_the_motion(classifier):
    motion = MotionAccuracy(classifier=classifier).begin(RunContext(target="Swiping Up"))
    found = motion.score(torch.stack([brightening(), brightening().flip(0)]), records(2))
    assert found["predicted"] == ["Swiping Up", "Swiping Down"]
    assert found["motion_correct"] == [True, False]
    assert found["motion_probability"][0] > 0.9 > 0.1 > found["motion_probability"][1]
    described = motion.describe()
    assert described["target"] == "Swiping Up" and len(described["classifier"]["sha256"]) == 64
    assert described["classifier"]["relations"][0] == [list(range(8))]


def test_a_motion_without_a_class_is_only_predicted(classifier):
    motion = MotionAccuracy(classifier=classifier).begin(RunContext(target=None))
    assert motion.score(brightening()[None], records(1)) == {"predicted": ["Swiping Up"]}


def test_appearance_is_a_raw_cosine_of_frames_and_texts():
    model = Colors()
    appearance = Appearance(model=model).begin(RunContext())
    half = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    half[:2, 0], half[2:, 1] = 200, 100  # two red frames, two green
    red = torch.zeros_like(half)
    red[:, 0] = 90
    both = [*records(1, subject="red", language="green"), *records(1, language="red")]
    found = appearance.score(torch.stack([half, red]), both)
    assert found["appearance"] == pytest.approx([0.5, None])
    assert found["text_alignment"] == pytest.approx([0.5, 1.0])
    assert found["frame_consistency"] == pytest.approx([2 / 3, 1.0])
    assert appearance.score(red[None], records(1, subject="red"))["appearance"] == pytest.approx([1.0])
    assert sorted(model.asked) == ["green", "red"]  # once each


def test_a_copy_is_found(copying):
    exemplars = [("first.mp4", noise(3, 3, 64, 64, seed=1)), ("second.mp4", noise(5, 3, 64, 64, seed=2))]
    metric = Copying(descriptor=copying, threshold=0.999).begin(RunContext(exemplars=exemplars))
    other = noise(4, 3, 64, 64, seed=3) // 4
    of_first, of_later = other.clone(), other.clone()
    of_first[2] = exemplars[0][1][0]
    of_later[1] = exemplars[1][1][4]
    found = metric.score(torch.stack([of_first, of_later, other]), records(3))
    assert found["copied"] == [True, False, False]
    assert found["copy_similarity_first"][0] == pytest.approx(1, abs=1e-4)
    assert found["copy_similarity_any"][:2] == pytest.approx([1, 1], abs=1e-4)
    assert found["copy_similarity_first"][1] < 0.999
    assert list(zip(found["nearest_clip"], found["nearest_frame"], strict=True))[:2] == [
        ("first.mp4", 0),
        ("second.mp4", 4),
    ]
    assert found["regularization_similarity"] == [None] * 3


def test_regularization_clips_are_a_column_of_their_own(copying):
    generated = noise(4, 3, 64, 64, seed=3)
    regularization = ((name, frames) for name, frames in [("other.mp4", generated[1:2].clone())])
    run = RunContext(exemplars=[("a", noise(3, 3, 64, 64) // 4)], regularization=regularization)
    metric = Copying(descriptor=copying, threshold=0.999).begin(run)
    found = metric.score(generated[None], records(1))
    assert found["regularization_similarity"] == pytest.approx([1], abs=1e-4)
    assert found["copied"] == [False] and found["nearest_clip"] == ["a"]
    assert metric.describe()["regularization"]["clips"] == 1


def test_descriptors_of_clips_are_made_once(copying, tmp_path, monkeypatch, caplog):
    clips = [("a", noise(3, 3, 64, 64)), ("b", noise(3, 3, 64, 64, seed=1))]
    cold = Copying(descriptor=copying).begin(RunContext(exemplars=clips, cache=tmp_path / "cache"))
    monkeypatch.setattr(CopyNetwork, "__call__", lambda *_: pytest.fail("described again"))
    warm = Copying(descriptor=copying).begin(RunContext(exemplars=clips, cache=tmp_path / "cache"))
    assert torch.equal(cold.exemplars.descriptors_RD, warm.exemplars.descriptors_RD)
    assert cold.describe() == warm.describe()
    for change in ([("a", noise(3, 3, 64, 64, seed=2))], [("a", clips[0][1].reshape(3, 3, 32, 128))]):
        with pytest.raises(pytest.fail.Exception, match="described again"):
            Copying(descriptor=copying).begin(RunContext(exemplars=change, cache=tmp_path / "cache"))
    monkeypatch.undo()
    for file in (tmp_path / "cache").rglob("*.safetensors"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    again = Copying(descriptor=copying).begin(RunContext(exemplars=clips, cache=tmp_path / "cache"))
    assert torch.equal(cold.exemplars.descriptors_RD, again.exemplars.descriptors_RD)
    assert "is damaged (its checksum is of another content); it is made again" in caplog.text


def test_clips_to_compare_with_are_checked(copying):
    with pytest.raises(VmcError, match="no exemplars"):
        Copying(descriptor=copying).begin(RunContext(exemplars=[]))
    with pytest.raises(VmcError, match=r"a video has values of torch\.int64"):
        Copying(descriptor=copying).begin(RunContext(exemplars=[("a", torch.zeros(2, 3, 8, 8).long())]))


def test_flicker_and_dynamic_degree():
    frozen = noise(3, 8, 8)[None].expand(6, -1, -1, -1)
    assert flicker(frozen) == 1 and dynamic_degree(frozen) == 0
    blinking = torch.zeros(4, 3, 2, 2, dtype=torch.uint8)
    blinking[1::2] = 51
    assert flicker(blinking) == pytest.approx(0.8) and dynamic_degree(blinking) == 1
    moving = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    for place in range(4):
        moving[place, :, :2, 2 * place : 2 * place + 2] = 255
    assert dynamic_degree(moving) == 0.25
    assert dynamic_degree(noise(4, 3, 8, 8) % 20) == 0  # less than a tenth of the scale
    assert flicker(moving[:1]) is None


def test_batch_size_changes_no_score(classifier, copying):
    videos = noise(7, 9, 3, 64, 80, seed=5)
    metrics = [
        MotionAccuracy(classifier=classifier),
        Copying(descriptor=copying),
        Appearance(model=Colors()),
        Quality(),
    ]
    clips = {"exemplars": [("a", noise(3, 3, 64, 64))], "regularization": [("b", noise(2, 3, 64, 64))]}
    run = RunContext(target="Swiping Up", **clips)
    for metric in (metric.begin(run) for metric in metrics):
        found = []
        for size in (1, 3, 7):
            scored = [
                metric.score(part, records(len(part), subject="red", language="blue")) for part in videos.split(size)
            ]
            found.append({name: [value for part in scored for value in part[name]] for name in scored[0]})
        for column in metric.columns:
            for other in found[1:]:
                assert other[column.name] == pytest.approx(found[0][column.name], abs=1e-4), column
