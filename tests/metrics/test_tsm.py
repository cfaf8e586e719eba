"""The online TSM against torchvision's MobileNetV2, fed frame by frame with what it remembers."""

import pytest
import torch
from torchvision.models import mobilenet_v2

from vmc.metrics.networks.classifiers import JESTER_LABELS, OnlineTSM, TSMClassifier, load_tsm
from vmc.utils.errors import VmcError

SHIFTED = (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)  # of `features`, in the published network
REMEMBERED = (3, 4, 4, 8, 8, 8, 12, 12, 20, 20)  # channels that each of these takes from the frame before


@pytest.fixture(scope="module")
def model() -> OnlineTSM:
    torch.manual_seed(0)
    model = OnlineTSM(classes=27).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.02, 0.1)  # a signal that does not fade on its way
            module.bias.data.uniform_(0, 0.5)
    return model


def frame_by_frame(model: OnlineTSM, frames_SCHW: torch.Tensor) -> torch.Tensor:
    """logits_K: the mean of what torchvision's own network says of each frame, remembering the one before."""
    network = mobilenet_v2(num_classes=27).eval()
    # Other names, the same tensors in the same order.
    network.load_state_dict(dict(zip(network.state_dict(), model.state_dict().values(), strict=True)))
    memory: dict[int, torch.Tensor] = {}
    logits = []
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    for frame in frames_SCHW:
        x = ((frame / 255 - mean.view(3, 1, 1)) / deviation.view(3, 1, 1))[None]
        for place, feature in enumerate(network.features):
            if place not in SHIFTED:
                x = feature(x)
                continue
            count = REMEMBERED[SHIFTED.index(place)]
            before = memory.get(place, torch.zeros_like(x[:, :count]))
            memory[place] = x[:, :count]
            x = x + feature.conv(torch.cat([before, x[:, count:]], dim=1))
        logits.append(network.classifier(x.mean((2, 3))))
    return torch.cat(logits).mean(0)


def test_it_sees_the_frames_before(model):
    frames = torch.randint(0, 256, (1, 3, 3, 256, 256), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        found, expected = model(frames)[0], frame_by_frame(model, frames[0, :, :, 16:240, 16:240])
        assert not torch.allclose(found, model(frames.flip(1))[0], atol=1e-4)
    assert torch.allclose(found, expected, atol=1e-4)
    assert found.std() > 0.01


def test_the_published_names(model):
    state = model.state_dict()
    assert len(state) == 314
    for name, shape in {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.1.conv.0.weight": (32, 1, 3, 3),
        "features.3.conv.7.running_mean": (24,),
        "features.18.0.weight": (1280, 320, 1, 1),
        "classifier.weight": (27, 1280),
    }.items():
        assert state[name].shape == shape


def test_the_published_file_loads(model, tmp_path):
    file = tmp_path / "mobilenetv2_jester_online.pth.tar"
    torch.save({name: part for name, part in model.state_dict().items() if "num_batches" not in name}, file)
    classifier = TSMClassifier(path=file)
    frames = torch.randint(0, 256, (1, 4, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    probabilities = classifier.probabilities(frames)
    assert probabilities.shape == (1, 27)
    assert torch.allclose(probabilities, model(frames[:, [0, 0, 1, 1, 2, 2, 3, 3]]).softmax(1), atol=1e-5)
    assert classifier.labels == JESTER_LABELS
    assert classifier.describe()["file"] == file.name


class Malicious:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_files_that_do_not_fit_are_refused(model, tmp_path, capsys):
    file = tmp_path / "bad.pth.tar"
    state = model.state_dict()

    def refused(content, words, classes=27):
        torch.save(content, file)
        with pytest.raises(VmcError, match=words):
            load_tsm(file, classes=classes)

    refused(state, r"does not fit the online TSM of 5 classes: .*classifier", classes=5)
    refused({name: state[name] for name in list(state)[1:]}, r"features\.0\.0\.weight")
    refused({"state_dict": state}, "holds no classifier")
    refused({**state, "extra": Malicious()}, "does not load")
    with pytest.raises(VmcError, match="does not exist"):
        load_tsm(tmp_path / "absent", classes=27)
    assert "never be printed" not in capsys.readouterr().out
