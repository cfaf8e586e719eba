"""SSCD from random weights in both published formats, against a few plain lines."""

import pytest
import torch
from torchvision.models.resnet import Bottleneck, ResNet

from vmc.metrics.networks.sscd import CopyNetwork, SSCDNetwork, generalized_mean, load_sscd, prepare_frames
from vmc.utils.errors import VmcError


@pytest.fixture(scope="module")
def network() -> SSCDNetwork:
    """A ResNet of the published kind, with fewer blocks and a narrower descriptor."""
    torch.manual_seed(0)
    return SSCDNetwork(bottleneck=True, layers=[1, 2, 1, 1], width=32).eval()


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 40, 60), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def plain(network: SSCDNetwork, frames: torch.Tensor, short_side: int) -> torch.Tensor:
    """The same, on torchvision's own ResNet up to its pooling."""
    reference = ResNet(Bottleneck, [1, 2, 1, 1], num_classes=32).eval()
    reference.load_state_dict({name.removeprefix("backbone."): part for name, part in network.state_dict().items()})
    size = (short_side, round(short_side * 60 / 40))
    images = torch.nn.functional.interpolate(frames / 255, size=size, mode="bilinear", antialias=True)
    images -= torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    images /= torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    x = reference.maxpool(reference.relu(reference.bn1(reference.conv1(images))))
    x = reference.layer4(reference.layer3(reference.layer2(reference.layer1(x))))
    pooled = (x.clamp(min=1e-6) ** 3).flatten(2).mean(2) ** (1 / 3)
    descriptor = pooled @ reference.fc.weight.T + reference.fc.bias
    return descriptor / (descriptor**2).sum(1, keepdim=True).sqrt()


def test_generalized_mean_lies_between_average_and_maximum():
    x = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert (x.mean((2, 3)) < generalized_mean(x)).all() and (generalized_mean(x) < x.amax((2, 3))).all()
    expected = torch.tensor([(1 + 8 + 27 + 64) / 4]) ** (1 / 3)
    assert torch.allclose(generalized_mean(torch.tensor([1.0, 2, 3, 4]).view(1, 1, 2, 2)).flatten(), expected)


@pytest.mark.parametrize("kind", ["torchvision", "torchscript"])
def test_published_files_give_the_descriptor(network, frames, tmp_path, kind):
    file = tmp_path / f"sscd.{kind}.pt"
    if kind == "torchvision":
        torch.save(network.state_dict(), file)
    else:
        torch.jit.trace(network, torch.rand(1, 3, 64, 64)).save(str(file))
    described = CopyNetwork(path=file, short_side=64)(frames)
    assert described.shape == (2, 32)
    assert torch.allclose(described.norm(dim=1), torch.ones(2), atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(described, plain(network, frames, 64), atol=1e-4)


def test_the_published_shapes():
    with torch.device("meta"):
        network = SSCDNetwork(bottleneck=True, layers=[3, 4, 6, 3], width=512)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes["backbone.fc.weight"] == (512, 2048)
    assert shapes["backbone.layer4.2.conv3.weight"] == (2048, 512, 1, 1)
    assert all(name.startswith("backbone.") for name in shapes)


def test_a_smaller_network_is_recognized_by_its_tensors(tmp_path):
    small = SSCDNetwork(bottleneck=False, layers=[1, 1, 2, 1], width=64, stem=8)
    torch.save(small.state_dict(), tmp_path / "small.torchvision.pt")
    loaded = CopyNetwork(path=tmp_path / "small.torchvision.pt", short_side=32)
    assert loaded(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, 64)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_narrower_stages_in_half_precision_are_recognized_by_their_tensors(tmp_path, bottleneck):
    torch.manual_seed(0)
    narrow = SSCDNetwork(bottleneck=bottleneck, layers=[1, 1, 2, 1], width=20, stem=8)
    shapes = {name: tuple(tensor.shape) for name, tensor in narrow.state_dict().items()}
    wider = 4 if bottleneck else 1
    assert shapes["backbone.conv1.weight"] == (8, 3, 7, 7) and shapes["backbone.fc.weight"] == (20, 64 * wider)
    assert [shapes[f"backbone.layer{stage}.0.conv1.weight"][0] for stage in (1, 2, 3, 4)] == [8, 16, 32, 64]
    halves = {name: value.half() if value.is_floating_point() else value for name, value in narrow.state_dict().items()}
    torch.save(halves, tmp_path / "narrow.torchvision.pt")
    frames = torch.randint(0, 256, (2, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    loaded = CopyNetwork(path=tmp_path / "narrow.torchvision.pt", short_side=32)
    expected = narrow.eval()(prepare_frames(frames, short_side=32))
    assert loaded(frames).dtype == torch.float32
    assert torch.allclose(loaded(frames), expected, atol=1e-2) and loaded(frames).shape == (2, 20)


def test_a_narrow_network_is_torchvisions_but_for_its_channels():
    """With the stem's own 64 the rebuilt stages have torchvision's names and shapes, and its strides."""
    usual = SSCDNetwork(bottleneck=True, layers=[1, 2, 1, 1], width=16)
    rebuilt = SSCDNetwork(bottleneck=True, layers=[1, 2, 1, 1], width=16, stem=32)
    assert usual.state_dict().keys() == rebuilt.state_dict().keys()
    strides = [
        [
            (name, part.stride, part.padding, part.kernel_size)
            for name, part in network.named_modules()
            if isinstance(part, torch.nn.Conv2d)
        ]
        for network in (usual, rebuilt)
    ]
    assert strides[0] == strides[1]


class Malicious:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_files_that_do_not_fit_are_refused(network, tmp_path, capsys):
    file = tmp_path / "bad.pt"
    state = network.state_dict()

    def refused(content, words):
        torch.save(content, file)
        with pytest.raises(VmcError, match=words):
            load_sscd(file)

    refused({"something": torch.zeros(1)}, r"holds no backbone\.fc\.weight")
    refused({**state, "extra": Malicious()}, "does not load")
    without = {name: tensor for name, tensor in state.items() if name != "backbone.layer2.1.bn1.weight"}
    refused(without, r"does not fit a ResNet of \[1, 2, 1, 1\] blocks: .*layer2\.1\.bn1\.weight")
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(VmcError, match="does not load"):
        load_sscd(file)
    with pytest.raises(VmcError, match="does not exist"):
        load_sscd(tmp_path / "absent.pt")
    assert "never be printed" not in capsys.readouterr().out
