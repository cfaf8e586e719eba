"""Weights that come as TorchScript archives or folders are read, and no code that they hold is run."""

import io
import json
import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch

from vmc.metrics.networks.classifiers import HuggingFaceClassifier
from vmc.metrics.networks.files import is_torchscript, read_tensors
from vmc.metrics.networks.open_clip import load_image_text
from vmc.metrics.networks.sscd import CopyNetwork, SSCDNetwork, load_sscd, prepare_frames
from vmc.mini.makers.appearance.network import make_model, write_model
from vmc.mini.shipped import shipped
from vmc.tools.weight_kinds import check
from vmc.utils.errors import VmcError
from vmc.weights import main as weights

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")


class Writes(torch.nn.Module):
    """Writes a file while it loads."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file, self.size = file, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.file, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.file = state[0]
        self.training = state[1]
        self.size = torch.from_file(self.file, True, 4).numel()


@pytest.fixture
def writing(tmp_path) -> tuple[Path, Path]:
    """An archive that writes a file while TorchScript loads it, and that file."""
    archive, written = tmp_path / "writes.torchscript.pt", tmp_path / "written"
    torch.jit.script(Writes(str(written))).save(str(archive))
    assert not written.exists()
    return archive, written


def test_an_archive_that_writes_files_is_opened_on_trust_alone(writing, capsys):
    archive, written = writing
    with pytest.raises(VmcError, match=r"\(SHA-256 [0-9a-f]{64}\) is a TorchScript.*metrics\.copying\.trust=true"):
        load_sscd(archive)
    for kind in (None, "sscd", "clip", "trn", "tsm", "delta"):
        with pytest.raises(VmcError):
            check(archive, kind=kind)
    with pytest.raises(VmcError, match="does not load"):
        load_image_text(archive, architecture="ViT-B-32-quickgelu")
    assert weights(["check", str(archive)]) == 2
    assert "a TorchScript archive whose network is code of its own" in capsys.readouterr().err
    assert not written.exists()
    CopyNetwork(path=archive, trust=True).check()
    assert written.exists(), "the archive of this test does nothing"


def test_the_key_is_yes_or_no():
    with pytest.raises(VmcError, match=r"metrics\.copying\.trust is 'no'; it must be true or false"):
        CopyNetwork(path="x", trust="no")


def test_the_tensors_are_those_that_torchscript_has(tmp_path):
    torch.manual_seed(0)
    network = SSCDNetwork(bottleneck=True, layers=[1, 2, 1, 1], width=16, stem=8).half().eval()
    torch.jit.script(network.backbone.layer2).save(str(tmp_path / "scripted.pt"))
    torch.jit.trace(network.float(), torch.rand(1, 3, 64, 64)).save(str(tmp_path / "traced.pt"))
    for file in (tmp_path / "scripted.pt", tmp_path / "traced.pt", shipped("copying.torchscript.pt")):
        expected, found = torch.jit.load(str(file)).state_dict(), read_tensors(file)
        assert is_torchscript(file) and expected.keys() == found.keys()
        for name, tensor in expected.items():
            assert torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype


def test_the_miniatures_descriptor_is_its_archives():
    file = shipped("copying.torchscript.pt")
    frames = torch.randint(0, 256, (3, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    descriptor = CopyNetwork(path=file, short_side=64)
    assert isinstance(descriptor.network, SSCDNetwork)
    with torch.no_grad():
        expected = torch.jit.load(str(file))(prepare_frames(frames, short_side=64))
    assert torch.allclose(descriptor(frames), expected, atol=1e-5)


# --- archives that somebody has made ----------------------------------------------------------------------------------


def archive(file: Path, pickled: bytes, *, storage: bytes = b"\0" * 16, how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(file, "w", how) as opened:
        files = {"data.pkl": pickled, "code/__torch__.py": b"", "data/0": storage, "version": b"3\n"}
        for name, content in files.items():
            opened.writestr(f"made/{name}", content)
    return file


def module(values: bytes) -> bytes:
    """A pickle of a module with one attribute `x`."""
    return b"\x80\x02c__torch__\nM\n)\x81}X\x01\x00\x00\x00x" + values + b"sb."


def tensor(shape: bytes, strides: bytes = b"K\x01\x85", count: bytes = b"K\x04") -> bytes:
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + count + b"tQ"
    empty = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + shape + strides + b"\x89" + empty + b"tR"


class Runs:
    def __reduce__(self):
        return (Path.write_text, (Path("written"), "x"))


@pytest.mark.parametrize(
    ("pickled", "options"),
    [
        (pickle.dumps(Runs(), 2), {}),
        (b"\x80\x02cbuiltins\nexec\nX\x01\x00\x00\x001\x85R.", {}),
        (b"\x80\x02ctorch\nload\nX\x01\x00\x00\x001\x85R.", {}),
        (module(tensor(b"K\x05\x85")), {}),
        (module(tensor(b"K\x04\x85")), {"storage": b"\0" * 15}),
        (module(tensor(b"K\x04\x85")), {"how": zipfile.ZIP_DEFLATED}),
        (module(tensor(b"K\x04\x85", strides=b"K\x09\x85")), {}),
        (module(tensor(b"K\x04\x85"))[:-3], {}),
        (b"", {}),
        (b"\x80\x02Nr\xf0\xff\xff\xff.", {}),  # an object with a number of 32 bits, for which C's unpickler takes 32 GB
        (b"\x80\x02K\x05.", {}),
    ],
)
def test_what_is_more_than_tensors_is_refused(tmp_path, monkeypatch, pickled, options):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError):
        read_tensors(archive(tmp_path / "made.pt", pickled, **options))
    assert [path.name for path in tmp_path.iterdir()] == ["made.pt"]


def test_a_size_that_the_file_cannot_fill_is_refused_before_a_network_is_made(tmp_path):
    state = SSCDNetwork(bottleneck=False, layers=[1, 1, 1, 1], width=16, stem=8).state_dict()
    torch.save({**state, "backbone.conv1.weight": torch.empty(2**40, 0)}, tmp_path / "sscd.torchvision.pt")
    with pytest.raises(VmcError, match="does not fit a ResNet"):
        load_sscd(tmp_path / "sscd.torchvision.pt")


def test_a_made_archive_reads_where_it_is_right(tmp_path):
    found = read_tensors(archive(tmp_path / "made.pt", module(tensor(b"K\x04\x85"))))
    assert torch.equal(found["x"], torch.zeros(4)) and list(found) == ["x"]


def test_a_module_of_itself_ends(tmp_path):
    for values in (b"h\x00", b"h\x00sX\x01\x00\x00\x00yh\x00"):
        pickled = b"\x80\x02c__torch__\nM\n)\x81q\x00}X\x01\x00\x00\x00x" + values + b"sb."
        with pytest.raises(pickle.UnpicklingError, match="its modules have no end"):
            read_tensors(archive(tmp_path / "made.pt", pickled))


def test_flipped_bytes_give_tensors_or_a_sentence(tmp_path):
    source = shipped("copying.torchscript.pt")
    with zipfile.ZipFile(source) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith("data.pkl"))
        pickled = opened.read(name)
        parts = {entry: opened.read(entry) for entry in opened.namelist() if entry != name}
    generator = random.Random(0)
    refused = 0
    for _ in range(20):
        changed = bytearray(pickled)
        for _ in range(3):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as opened:
            for entry, content in {**parts, name: bytes(changed)}.items():
                opened.writestr(entry, content)
        (tmp_path / "sscd.torchscript.pt").write_bytes(stream.getvalue())
        try:
            check(tmp_path / "sscd.torchscript.pt")
        except VmcError:
            refused += 1
    assert refused > 10


# --- folders that bring code ------------------------------------------------------------------------------------------


def test_a_video_classifier_that_brings_code_or_is_of_no_known_class_is_refused(tmp_path):
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'written')!r}, 'w')\n")
    config = {"id2label": {"0": "a", "1": "b"}, "architectures": ["Own"], "model_type": "own"}
    auto_map = {"AutoConfig": "own.Config", "AutoModelForVideoClassification": "own.Own"}
    (tmp_path / "preprocessor_config.json").write_text("{}")
    for changes, told in (
        ({"auto_map": auto_map}, "has an auto_map, which names code of its own"),
        ({}, "is of Own, which is no video classifier of transformers"),
        ({"model_type": "videomae"}, "is of Own, which is no video classifier of transformers"),
        ({"architectures": ["VideoMAEForVideoClassification"]}, "is of own, which is no video classifier"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
        with pytest.raises(VmcError, match=told):
            HuggingFaceClassifier(path=tmp_path).open()
        with pytest.raises(VmcError, match=told):
            check(tmp_path)
    assert not (tmp_path / "written").exists()


def test_a_clip_folder_whose_tokenizer_brings_code_is_refused(tmp_path):
    write_model(make_model(0), tmp_path / "clip")
    file = tmp_path / "clip" / "open_clip_config.json"
    content = json.loads(file.read_text())
    content["model_cfg"]["text_cfg"] |= {"hf_tokenizer_name": "own", "tokenizer_kwargs": {"trust_remote_code": True}}
    file.write_text(json.dumps(content))
    (tmp_path / "clip" / "own.py").write_text(f"open({str(tmp_path / 'written')!r}, 'w')\nclass Own: pass\n")
    settings = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    (tmp_path / "clip" / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "clip" / "config.json").write_text(
        json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "own.C"}})
    )
    with pytest.raises(VmcError, match=r"tokenizer of the CLIP folder .* does not load"):
        load_image_text(tmp_path / "clip")
    assert not (tmp_path / "written").exists()


def test_a_clip_folder_brings_no_code_for_its_text_model(tmp_path, monkeypatch):
    """open_clip would ask whether it may run; whoever says yes has run it."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    written = tmp_path / "written"
    text = tmp_path / "text"
    text.mkdir()
    (text / "own.py").write_text(
        f"from transformers import RobertaConfig\nopen({str(written)!r}, 'w')\nclass C(RobertaConfig): pass\n"
    )
    (text / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "own.C"}}))
    write_model(make_model(0), tmp_path / "clip")
    file = tmp_path / "clip" / "open_clip_config.json"
    described = json.loads(file.read_text())
    described["model_cfg"]["text_cfg"] = {"hf_model_name": str(text), "hf_proj_type": "mlp"}
    file.write_text(json.dumps(described))
    with pytest.raises(
        VmcError, match=r"^the CLIP folder .* has the text model .*, which is none of transformers' own"
    ):
        check(tmp_path / "clip")
    assert not written.exists()
