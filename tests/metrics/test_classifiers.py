"""Labels, and classifiers of the transformers library."""

import json
import shutil

import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from vmc.metrics.base import Record, RunContext
from vmc.metrics.motion import MotionAccuracy
from vmc.metrics.networks.classifiers import JESTER_LABELS, HuggingFaceClassifier, class_index, read_labels
from vmc.mini.world.gestures import LABELS
from vmc.utils.errors import VmcError

NAMES = ("Swiping Up", "Drumming Fingers", "Swiping Down")  # not sorted


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny VideoMAE in the library's own layout."""
    torch.manual_seed(0)
    config = VideoMAEConfig(
        image_size=32,
        patch_size=16,
        num_frames=4,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        id2label=dict(enumerate(NAMES)),
        label2id={name: place for place, name in enumerate(NAMES)},
    )
    folder = tmp_path_factory.mktemp("videomae")
    model = VideoMAEForVideoClassification(config).eval()
    torch.nn.init.normal_(model.classifier.weight)
    model.save_pretrained(folder)
    prepared = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    prepared |= {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    return folder


def test_labels_are_sorted(tmp_path):
    assert len(JESTER_LABELS) == 27 and list(JESTER_LABELS) == sorted(JESTER_LABELS)
    assert LABELS == JESTER_LABELS
    (tmp_path / "labels.csv").write_text("Swiping Up\nDrumming Fingers\n\n")
    assert read_labels(tmp_path / "labels.csv") == ("Drumming Fingers", "Swiping Up")
    assert read_labels(["b", "a"]) == ("b", "a")
    with pytest.raises(VmcError, match=r"absent\.csv, which does not exist"):
        read_labels(str(tmp_path / "absent.csv"))


def test_classes_are_found_by_name():
    assert class_index(JESTER_LABELS, "swiping_down") == JESTER_LABELS.index("Swiping Down")
    with pytest.raises(VmcError, match=r"motion\.label is 'Dab', which the gesture classifier does not know"):
        class_index(JESTER_LABELS, "Dab")


def test_a_hugging_face_classifier_is_mapped_by_name(folder):
    classifier = HuggingFaceClassifier(path=folder)
    assert classifier.labels == NAMES
    frames = torch.randint(0, 256, (3, 8, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = classifier.probabilities(frames)
    pixels = frames[:, 1::2, :, :, 8:40] / 255
    pixels = (pixels - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    with torch.no_grad():
        direct = VideoMAEForVideoClassification.from_pretrained(folder).eval()(pixel_values=pixels).logits.softmax(1)
    assert torch.allclose(found, direct, atol=1e-5)
    motion = MotionAccuracy(classifier=classifier).begin(RunContext(target="Swiping Down"))
    scored = motion.score(frames, [Record(video=f"{place}.mp4", prompt="") for place in range(3)])
    assert scored["motion_probability"] == pytest.approx(direct[:, 2].tolist(), abs=1e-5)
    assert scored["predicted"] == [NAMES[place] for place in direct.argmax(1)]
    assert classifier.describe()["kind"] == "VideoMAEForVideoClassification"


def test_folders_that_do_not_fit_are_refused(folder, tmp_path):
    with pytest.raises(VmcError, match=r"config\.json does not read"):
        _ = HuggingFaceClassifier(path=tmp_path).labels
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "id2label": {}}))
    with pytest.raises(VmcError, match="no whole id2label"):
        _ = HuggingFaceClassifier(path=tmp_path).labels
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(VmcError, match=r"preprocessor_config\.json does not read"):
        HuggingFaceClassifier(path=tmp_path).open()
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(VmcError, match="does not load"):
        HuggingFaceClassifier(path=tmp_path).check()


def test_a_classifier_without_its_head_is_refused(folder, tmp_path):
    backbone = VideoMAEForVideoClassification.from_pretrained(folder).videomae
    backbone.save_pretrained(tmp_path)
    for file in folder.glob("*.json"):
        shutil.copyfile(file, tmp_path / file.name)
    with pytest.raises(VmcError, match=r"has no tensor classifier"):
        HuggingFaceClassifier(path=tmp_path).open()
