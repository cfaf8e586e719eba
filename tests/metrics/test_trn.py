"""TRN against an independent backbone, a few plain lines for its relations, and files in the published format."""

import itertools
from collections import OrderedDict

import numpy as np
import pytest
import torch

from vmc.metrics.networks.trn import RELATIONS, TRN, BNInception, load_trn, save_trn, segment_indices
from vmc.utils.errors import VmcError

CLASSES = 27


def published_state(model: TRN, *, old: bool) -> OrderedDict:
    """The model's tensors as the published file has them: (1, C) BatchNorm, no counters, `module.` before all."""
    state = OrderedDict()
    for name, tensor in model.state_dict().items():
        if old and name.endswith("num_batches_tracked"):
            continue
        state["module." + name] = tensor[None] if old and "_bn." in name else tensor
    return state


@pytest.fixture(scope="module")
def model() -> TRN:
    torch.manual_seed(0)
    return TRN(arch="BNInception", classes=CLASSES).eval()


def test_the_backbone_is_bninception():
    published = pytest.importorskip("pretrainedmodels").bninception(pretrained=None, num_classes=3).eval()
    ours = BNInception().eval()
    tensors = {name: tensor for name, tensor in published.state_dict().items() if not name.startswith("last_linear")}
    ours.load_state_dict(tensors)
    images = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(ours(images), published.features(images).mean((2, 3)), atol=1e-4)


def test_counts_are_those_of_the_published_file(model):
    assert len(published_state(model, old=True)) == 444
    assert sum(parameter.numel() for parameter in model.base_model.parameters()) == 10_270_240
    assert sum(parameter.numel() for parameter in model.consensus.parameters()) == 2_344_125
    assert model.state_dict()["consensus.fc_fusion_scales.6.1.weight"].shape == (256, 512)


def test_relations_are_sums_over_tuples(model):
    features = torch.randn(2, 8, 256, generator=torch.Generator().manual_seed(1))
    expected = torch.zeros(2, CLASSES)
    for scale, tuples, network in zip(
        range(8, 1, -1), model.consensus.tuples, model.consensus.fc_fusion_scales, strict=True
    ):
        assert len(tuples) == min(RELATIONS, len(list(itertools.combinations(range(8), scale))))
        for chosen in tuples:
            assert chosen == sorted(set(chosen))
            joined = torch.cat([features[:, index] for index in chosen], dim=1)
            hidden = torch.relu(network[1](torch.relu(joined)))
            expected += network[3](hidden)
    assert torch.allclose(model.consensus(features), expected, atol=1e-4)


@pytest.mark.parametrize(("old", "accuracy"), [(True, np.float64(94.78)), (False, 94.78)])
def test_published_files_load(model, tmp_path, old, accuracy):
    file = tmp_path / "trn.pth.tar"
    state = published_state(model, old=old)
    torch.save({"epoch": 120, "arch": "BNInception", "state_dict": state, "best_prec1": accuracy}, file)
    loaded = load_trn(file, classes=CLASSES)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_what_is_saved_is_loaded(model, tmp_path):
    save_trn(model, tmp_path / "own.pth.tar", arch="BNInception", epoch=1, accuracy=50.0)
    loaded = load_trn(tmp_path / "own.pth.tar", classes=CLASSES)
    assert torch.equal(loaded.new_fc.weight, model.new_fc.weight)


def test_time_matters_and_scores_repeat():
    torch.manual_seed(0)
    model = TRN(arch="SmallResNet", classes=CLASSES).eval()
    frames = (torch.arange(8) * 35).to(torch.uint8).view(1, 8, 1, 1, 1).expand(1, 8, 3, 64, 96)
    with torch.no_grad():
        forward, again, reversed_ = model(frames), model(frames), model(frames.flip(1))
    assert torch.equal(forward, again)
    assert not torch.allclose(forward, reversed_, atol=1e-4)


def test_frames_are_prepared_as_the_original_does(model):
    frame = torch.zeros(1, 3, 100, 150, dtype=torch.uint8)
    frame[:, 0] = 200  # red
    prepared = model.prepare(frame)
    assert prepared.shape == (1, 3, 224, 224)
    # Blue first, each channel less its mean.
    assert [prepared[0, channel, 100, 100].item() for channel in range(3)] == [-104, -117, 72]


@pytest.mark.parametrize(
    ("frames", "expected"), [(8, list(range(8))), (16, list(range(1, 16, 2))), (5, [0, 0, 1, 2, 2, 3, 4, 4])]
)
def test_segments_take_the_middle_of_each_part(frames, expected):
    assert segment_indices(frames) == expected


class Malicious:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_files_that_do_not_fit_are_refused(tmp_path, capsys):
    state = published_state(TRN(arch="SmallResNet", classes=CLASSES), old=False)
    file = tmp_path / "bad.pth.tar"

    def refused(content, words, classes=CLASSES):
        torch.save(content, file)
        with pytest.raises(VmcError, match=words):
            load_trn(file, classes=classes)

    def small(state):
        return {"arch": "SmallResNet", "state_dict": state}

    refused({"arch": "ResNet", "state_dict": state}, "arch is 'ResNet'")
    refused({"state_dict": state}, "does not fit a TRN of arch BNInception and 27 classes: ")
    refused(
        small(state),
        r"does not fit a TRN of arch SmallResNet and 5 classes: .* of shape \(27, 128\), but \(5, 128\)",
        classes=5,
    )
    refused(small({**state, "module.new_fc.weight": torch.zeros(3, 3)}), r"new_fc\.weight of shape \(3, 3\)")
    refused(
        small({name: state[name] for name in list(state)[1:]}),
        r"it has no base_model\.\S+ of shape \(16, 6, 5, 5\)",
    )
    refused(small({**state, "module.head": torch.zeros(1)}), r"it holds head of shape \(1,\), which is unknown")
    refused({"something": 1}, "holds no state_dict")
    refused({"state_dict": state, "extra": Malicious()}, "does not load")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(VmcError, match="does not load"):
        load_trn(file, classes=CLASSES)
    with pytest.raises(VmcError, match="does not exist"):
        load_trn(tmp_path / "absent.pth.tar", classes=CLASSES)
    assert "never be printed" not in capsys.readouterr().out
