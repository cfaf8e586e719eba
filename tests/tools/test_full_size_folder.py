"""Weight files of random tensors, and the folder that is made of them."""

import json

import pytest
import torch
from diffusers import TextToVideoSDPipeline
from safetensors.torch import load_file

from vmc.models.base import families
from vmc.models.parameters import ParameterSubset
from vmc.models.zeroscope import ZEROSCOPE, UNet3D
from vmc.tools import full_size as written
from vmc.tools.full_size import count, random_folder, random_network


@pytest.mark.parametrize("format", ["bin", "safetensors"])
def test_the_folder_opens_here_and_in_the_published_pipeline(tmp_path, tiny, format):
    folder = tmp_path / "model"
    random_folder(folder, tiny, format=format)
    base = UNet3D(path=folder, frames=2, size=64)
    for part in base.networks:
        network = base.open(part, torch.float32)
        assert sum(parameter.numel() for parameter in network.parameters()) == count(tiny.empty(part).state_dict())
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    found = base.denoiser().get_parameter(name)
    assert torch.equal(found, random_network(tiny, "unet").get_parameter(name).float()), "equal every time"
    assert 0 < found.abs().max() <= found.shape[1] ** -0.5 + 1e-3
    read = torch.load if format == "bin" else load_file
    (text,) = (folder / "text_encoder").glob(f"*.{format}")
    assert {(name.startswith("text_model."), tensor.dtype) for name, tensor in read(text).items()} == {
        (True, torch.float16)
    }
    files = sorted(path.name for path in folder.rglob(f"*.{format}"))
    text = {"bin": "pytorch_model.bin", "safetensors": "model.safetensors"}[format]
    assert files == sorted([f"diffusion_pytorch_model.{format}"] * 2 + [text])
    pipeline = TextToVideoSDPipeline.from_pretrained(folder, use_safetensors=format == "safetensors")
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "TextToVideoSDPipeline"
    for name, part in pipeline.components.items():
        assert index[name] == [type(part).__module__.partition(".")[0], type(part).__name__]


def test_nothing_is_left_of_a_folder_that_could_not_be_finished(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(written, "load_file", lambda *words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        random_folder(tmp_path / "model", tiny)
    assert not list(tmp_path.iterdir())


def test_the_counts_of_the_published_architecture():
    shapes = {part: ZEROSCOPE.empty(part).state_dict() for part in ZEROSCOPE.networks}
    counts = {part: (len(tensors), count(tensors)) for part, tensors in shapes.items()}
    assert counts == {"unet": (1480, 1_411_233_860), "text_encoder": (372, 340_387_840), "vae": (248, 83_653_863)}
    assert len(ParameterSubset().select(ZEROSCOPE.empty_denoiser(), ZEROSCOPE.groups)) == 826
    assert ZEROSCOPE.latent_shape(frames=16, size=384) == (4, 16, 48, 48)


def test_sizes_are_no_family_of_their_own():
    assert families()["unet3d"] is UNet3D
