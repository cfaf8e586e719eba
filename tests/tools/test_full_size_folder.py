"""Weight files of random tensors, and the folder that is made of them."""

import json

import pytest
import torch
from diffusers import TextToVideoSDPipeline
from safetensors.torch import load_file

from vmc.models.parameters import ParameterSubset
from vmc.models.pipelines import families
from vmc.models.unet3d import UNet3D
from vmc.tools import full_size as written
from vmc.tools.full_size import (
    ZEROSCOPE,
    count,
    draw_tensor,
    part_shapes,
    random_folder,
    write_bin,
    write_safetensors,
)
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator

SHAPES = {"a.weight": (3, 5), "b.weight": (2, 3, 1, 1), "a.bias": (7,), "norm.weight": (1,), "c": (129, 65)}


def draw(name, shape):
    return draw_tensor(name, shape, generator(1, name))


def drawn():
    return ((name, draw(name, shape)) for name, shape in SHAPES.items())


@pytest.mark.parametrize("mapped", [False, True])
def test_a_pickle_is_what_pytorch_reads(tmp_path, mapped):
    write_bin(tmp_path / "one.bin", SHAPES, drawn())
    loaded = torch.load(tmp_path / "one.bin", weights_only=True, mmap=mapped)
    assert list(loaded) == list(SHAPES)
    for name, tensor in loaded.items():
        assert tensor.dtype == torch.float16 and tensor.is_contiguous()
        assert torch.equal(tensor, draw(name, SHAPES[name]).half())


def test_a_safetensors_file_is_what_its_library_reads(tmp_path):
    write_safetensors(tmp_path / "one.safetensors", SHAPES, drawn())
    loaded = load_file(tmp_path / "one.safetensors")
    assert loaded.keys() == SHAPES.keys()
    assert all(torch.equal(tensor, draw(name, SHAPES[name]).half()) for name, tensor in loaded.items())


@pytest.mark.parametrize("format", ["bin", "safetensors"])
def test_the_folder_opens_here_and_in_the_published_pipeline(tmp_path, tiny, format):
    folder = tmp_path / "model"
    assert random_folder(folder, tiny, format=format)
    base = UNet3D(path=folder, frames=2, size=64)
    shapes = part_shapes(tiny)
    for part in base.networks:
        network = base.open(part, torch.float32)
        assert sum(parameter.numel() for parameter in network.parameters()) == count(shapes[part])
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    expected = draw_tensor(name, shapes["unet"][name], generator(0, "unet", name)).half().float()
    assert torch.equal(base.denoiser().get_parameter(name), expected)
    files = sorted(path.name for path in folder.rglob(f"*.{format}"))
    text = {"bin": "pytorch_model.bin", "safetensors": "model.safetensors"}[format]
    assert files == sorted([f"diffusion_pytorch_model.{format}"] * 2 + [text])
    pipeline = TextToVideoSDPipeline.from_pretrained(folder, use_safetensors=format == "safetensors")
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "TextToVideoSDPipeline"
    for name, part in pipeline.components.items():
        assert index[name] == [type(part).__module__.partition(".")[0], type(part).__name__]


def test_a_folder_of_the_same_weights_stays_and_any_other_is_refused(tmp_path, tiny):
    folder = tmp_path / "model"
    random_folder(folder, tiny)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert not random_folder(folder, tiny)
    for other in ({"seed": 1}, {"format": "safetensors"}):
        with pytest.raises(VmcError, match="holds something else than these random weights"):
            random_folder(folder, tiny, **other)
    (folder / written.RECORD).unlink()
    with pytest.raises(VmcError, match="choose another --output"):
        random_folder(folder, tiny)
    before.pop(folder / written.RECORD)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert {path for path in after if after[path] != before[path]} <= {folder}


def test_nothing_is_left_of_a_folder_that_could_not_be_finished(tmp_path, tiny, monkeypatch):
    monkeypatch.setitem(written.WRITERS, "bin", lambda *words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        random_folder(tmp_path / "model", tiny)
    assert not list(tmp_path.iterdir())


def test_the_counts_of_the_published_architecture():
    shapes = part_shapes(ZEROSCOPE)
    counts = {part: (len(tensors), count(tensors)) for part, tensors in shapes.items()}
    assert counts == {"unet": (1480, 1_411_233_860), "text_encoder": (372, 340_387_840), "vae": (248, 83_653_863)}
    assert all(name.startswith("text_model.") for name in shapes["text_encoder"])
    assert len(ParameterSubset().select(ZEROSCOPE.empty_denoiser(), ZEROSCOPE.groups)) == 826
    assert ZEROSCOPE.latent_shape(frames=16, size=384) == (4, 16, 48, 48)


def test_sizes_are_no_family_of_their_own():
    assert families()["unet3d"] is UNet3D
