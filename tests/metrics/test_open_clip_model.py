"""A tiny model with random weights, against open_clip itself."""

import json
import logging

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from vmc.metrics.networks.files import ImageTextNetwork
from vmc.metrics.networks.open_clip import ImageText, load_image_text
from vmc.utils.errors import VmcError

CONFIG = {
    "embed_dim": 24,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
PREPROCESS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.25], "interpolation": "bicubic", "resize_mode": "shortest"}
TEXTS = ["A firefighter swiping hand down", "a nurse", "a knight in front of a red wall, " * 5]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """As on the hub, in half precision."""
    folder = tmp_path_factory.mktemp("clip")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = open_clip.CLIP(**CONFIG).state_dict()
    save_file({name: part.half() for name, part in state.items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}))
    return folder


@pytest.fixture(autouse=True)
def architectures(monkeypatch):
    """`tiny` and `tiny-quickgelu`, known to open_clip by name."""
    registry = open_clip.factory._MODEL_CONFIGS
    monkeypatch.setitem(registry, "tiny-quickgelu", CONFIG)
    monkeypatch.setitem(registry, "tiny", {name: value for name, value in CONFIG.items() if name != "quick_gelu"})


@pytest.fixture
def state(folder):
    return {name: part.float() for name, part in load_file(folder / "open_clip_model.safetensors").items()}


def frames_of(height: int, width: int, count: int = 5) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    smooth = torch.rand(count, 3, 7, 9, generator=draw)
    large = torch.nn.functional.interpolate(smooth, size=(height, width), mode="bicubic")
    return (large * 255).clamp(0, 255).to(torch.uint8)


def reference(folder, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(prepared images, features of frames, features of texts) by open_clip alone."""
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    pictures = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in frames]
    with torch.no_grad():
        images = torch.stack([transform(picture) for picture in pictures])
        tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
        return images, model.encode_image(images, normalize=True), model.encode_text(tokens, normalize=True)


def test_features_are_open_clips(folder):
    frames = frames_of(32, 32)
    loaded = load_image_text(folder)
    _, images, texts = reference(folder, frames)
    assert all(parameter.dtype == torch.float32 for parameter in loaded.model.parameters())
    assert torch.allclose(loaded.encode_frames(frames), images, atol=1e-4)
    assert torch.allclose(loaded.encode_texts(TEXTS), texts, atol=1e-4)
    assert torch.allclose(loaded.encode_frames(frames).norm(dim=1), torch.ones(5), atol=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (100, 132), (75, 40), (20, 24), (33, 32)])
def test_resized_frames_are_open_clips_to_half_a_gray_level(folder, size):
    frames = frames_of(*size)
    loaded = load_image_text(folder)
    images, features, _ = reference(folder, frames)
    prepared = loaded.prepare(frames)
    deviation = torch.tensor(PREPROCESS["std"]).view(3, 1, 1)
    assert prepared.shape == images.shape
    difference = ((prepared - images) * deviation * 255).abs()
    assert float(difference.max()) < 4.01 and float(difference.mean()) < 0.5  # PIL rounds between its two passes
    assert float((loaded.encode_frames(frames) * features).sum(1).min()) > 0.999


def test_squashed_frames_are_open_clips_too(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = {"model_cfg": CONFIG, "preprocess_cfg": {**PREPROCESS, "resize_mode": "squash"}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    images, _, _ = reference(tmp_path, frames_of(40, 90))
    prepared = load_image_text(tmp_path).prepare(frames_of(40, 90))
    assert float((prepared - images).abs().max()) < 2.01 / 255 / 0.2
    config["preprocess_cfg"]["resize_mode"] = "longest"
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(VmcError, match="resizes with longest"):
        load_image_text(tmp_path)


@pytest.mark.parametrize("kind", ["safetensors", "state dict", "training", "openai"])
def test_local_files_give_the_folders_model(folder, state, tmp_path, kind, openai_archive):
    file = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pt")
    if kind == "safetensors":
        save_file(state, file)
    elif kind == "openai":
        openai_archive(state, file)
    else:
        wrapped = {"epoch": 3, "state_dict": {f"module.{name}": part for name, part in state.items()}}
        torch.save(state if kind == "state dict" else wrapped, file)
    loaded = load_image_text(file, architecture="tiny-quickgelu")
    assert torch.allclose(loaded.encode_texts(TEXTS), load_image_text(folder).encode_texts(TEXTS), atol=1e-6)


def test_openais_weights_are_refused_without_quickgelu(state, tmp_path, openai_archive):
    archive, named, plain = (tmp_path / name for name in ("ViT.pt", "ViT-openai.safetensors", "state.pt"))
    openai_archive(state, archive)
    save_file(state, named)
    torch.save({**state, "input_resolution": torch.tensor(32)}, plain)
    for file in (archive, named, plain):
        assert isinstance(load_image_text(file, architecture="tiny-quickgelu"), ImageText)
        with pytest.raises(VmcError, match=r"need QuickGELU.*choose tiny-quickgelu"):
            load_image_text(file, architecture="tiny")
    with pytest.raises(VmcError, match=r"need QuickGELU.*ViT-B-32 has none; choose ViT-B-32-quickgelu"):
        load_image_text(None, architecture="ViT-B-32", tag="openai")


def test_other_weights_are_taken_without_quickgelu(state, tmp_path):
    save_file(state, tmp_path / "mine.safetensors")
    assert load_image_text(tmp_path / "mine.safetensors", architecture="tiny").encode_texts(TEXTS).shape == (3, 24)


class Malicious:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_files_that_do_not_fit_are_refused(state, tmp_path, capsys):
    file = tmp_path / "bad.pt"

    def refused(content, words):
        torch.save(content, file)
        with pytest.raises(VmcError, match=words):
            load_image_text(file, architecture="tiny")

    refused({"something": torch.zeros(1)}, "holds no logit_scale")
    refused([torch.zeros(1)], "holds no logit_scale")
    refused({**state, "extra": Malicious()}, "bad.pt does not load")
    refused(
        {name: part for name, part in state.items() if name != "ln_final.bias"}, r"does not fit tiny:.*ln_final.bias"
    )
    refused({**state, "text_projection": torch.zeros(16, 5)}, r"does not fit tiny:.*text_projection")
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(VmcError, match=r"bad\.pt does not load"):
        load_image_text(file, architecture="tiny")
    with pytest.raises(VmcError, match=r"absent\.pt does not exist"):
        load_image_text(tmp_path / "absent.pt", architecture="tiny")
    assert "never be printed" not in capsys.readouterr().out


def test_folders_that_are_incomplete_are_refused(folder, tmp_path):
    with pytest.raises(VmcError, match=r"has no open_clip_config\.json"):
        load_image_text(tmp_path)
    config, weights = tmp_path / "open_clip_config.json", tmp_path / "open_clip_model.safetensors"
    config.write_bytes((folder / config.name).read_bytes())
    with pytest.raises(VmcError, match=r"has no open_clip_model\.safetensors"):
        load_image_text(tmp_path)
    weights.write_bytes((folder / weights.name).read_bytes()[:5000])
    with pytest.raises(VmcError, match=r"open_clip_model\.safetensors does not load"):
        load_image_text(tmp_path)
    config.write_text('{"model_cfg": {"embed_dim": 3}}')
    with pytest.raises(VmcError, match="describes no model of open_clip"):
        load_image_text(tmp_path)


def test_what_is_named_must_be_one_model(folder):
    with pytest.raises(VmcError, match="has the path None and the tag None; give one of the two"):
        ImageTextNetwork(architecture="tiny")
    with pytest.raises(VmcError, match="and the tag openai; give one of the two"):
        ImageTextNetwork(path=folder, tag="openai")
    with pytest.raises(VmcError, match="has the tag openai of no architecture"):
        ImageTextNetwork(tag="openai")
    with pytest.raises(VmcError, match="is a folder, which names its own architecture; set metrics"):
        ImageTextNetwork(path=folder, architecture="tiny").check()
    with pytest.raises(VmcError, match="knows no architecture 'huge'"):
        load_image_text(None, architecture="huge", tag="openai")
    with pytest.raises(VmcError, match="no weights 'none' of RN50; its tags are openai"):
        load_image_text(None, architecture="RN50", tag="none")


def test_the_users_random_numbers_and_warnings_are_left_alone(folder, caplog):
    before = torch.get_rng_state()
    with caplog.at_level(logging.WARNING):
        load_image_text(folder)
    assert torch.equal(before, torch.get_rng_state())
    assert not caplog.records
