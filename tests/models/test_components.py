"""Opening a pipeline folder: dtypes as asked, and nothing that does not fit is ever random."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

import vmc
from vmc.mini.makers.blank import write_blank
from vmc.models.base import families, family_of
from vmc.models.pretrained_weights import find_problem
from vmc.models.zeroscope import UNet3D
from vmc.utils.errors import VmcError

LOADERS = {
    "unet": lambda model, **options: model.denoiser(**options),
    "vae": lambda model, **options: model.autoencoder(**options).module,
    "text_encoder": lambda model, **options: model.text_encoder(**options).network,
}


@pytest.fixture
def copy(blank, tmp_path) -> Path:
    return Path(shutil.copytree(blank, tmp_path / "copy"))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(copy, part):
    shutil.rmtree(copy / part)
    with pytest.raises(VmcError, match=f"has no {part}/"):
        _ = UNet3D(path=copy).folder


def test_a_path_that_is_nothing_is_refused(tmp_path):
    for path in (tmp_path / "absent", "no-one/no-such-model"):
        with pytest.raises(VmcError, match=r"model\.path"):
            _ = UNet3D(path=path).folder


def test_a_family_that_is_not_known_is_told_beside_those_that_are(copy):
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"_class_name": "MochiPipeline"}))
    known = ("unet3d", "TextToVideoSDPipeline", "AnimateDiffPipeline", "WanPipeline")
    for opened in (lambda: UNet3D(path=copy).folder, lambda: family_of(copy)):
        with pytest.raises(VmcError, match="is a MochiPipeline, ") as caught:
            opened()
        assert all(name in str(caught.value) for name in known)


def test_a_missing_tensor_is_refused(copy, capfd):
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    del tensors["conv_in.bias"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(
        VmcError, match=rf"{file} does not fit its config\.json: it has no conv_in\.bias of shape \(32,\);"
    ):
        UNet3D(path=copy).denoiser()
    assert not capfd.readouterr().err


def test_a_truncated_file_is_refused(copy):
    file = copy / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(VmcError, match=rf"{file} does not load as AutoencoderKL: it is truncated, at 1,000 bytes; get"):
        UNet3D(path=copy).autoencoder()


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_tensor_of_another_shape_is_named_with_the_wanted_one(copy, part, capfd):
    (file,) = (copy / part).glob("*.safetensors")
    tensors = load_file(file)
    name, tensor = max(tensors.items(), key=lambda item: item[1].ndim)
    save_file({**tensors, name: torch.zeros(3, 2)}, file, metadata={"format": "pt"})
    name, wanted = re.escape(name.removeprefix("text_model.")), re.escape(str(tuple(tensor.shape)))
    words = rf"{file} does not fit .* holds {name} of shape \(3, 2\), but {wanted} is needed; get .* \(fetch it\)$"
    with pytest.raises(VmcError, match=words):
        LOADERS[part](UNet3D(path=copy, get="fetch it"))
    assert not capfd.readouterr().err


def test_unknown_tensors_are_left_out_with_a_warning_or_refused(copy, caplog):
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({**load_file(file), "extra.weight": torch.zeros(3)}, file, metadata={"format": "pt"})
    UNet3D(path=copy).denoiser()
    assert "holds 1 tensors that are not used, the first extra.weight" in caplog.text
    with pytest.raises(VmcError, match=r"it holds extra\.weight of shape \(3,\), which is unknown; get the complete"):
        UNet3D(path=copy, strict=True).denoiser()


def test_numbers_of_positions_in_a_text_encoder_are_harmless(copy, caplog):
    file = copy / "text_encoder" / "model.safetensors"
    numbers = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    save_file({**load_file(file), **numbers}, file, metadata={"format": "pt"})
    UNet3D(path=copy, strict=True).text_encoder()
    assert not caplog.records


def test_an_autoencoder_of_the_former_names_fits(tmp_path):
    vae = AutoencoderKL(block_out_channels=(32,), norm_num_groups=8)  # with attention in its middle
    vae.save_config(tmp_path)
    former = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = vae.state_dict()
    for new, old in former.items():
        state = {name.replace(f".{new}.", f".{old}."): tensor for name, tensor in state.items()}
    assert state.keys() != vae.state_dict().keys()
    save_file(state, tmp_path / "diffusion_pytorch_model.safetensors")
    assert find_problem(tmp_path, AutoencoderKL) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"is truncated, at 0 bytes"),
        (b"<html>no</html>", "is damaged, or no file of safetensors"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a mere pointer of Git LFS"),
    ],
)
def test_what_is_no_file_of_weights_is_said(copy, content, words):
    file = copy / "text_encoder" / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(VmcError, match=f"{file} does not load as CLIPTextModel: it {words}"):
        UNet3D(path=copy).text_encoder()
    file.unlink()
    with pytest.raises(VmcError, match=r"has no weights in text_encoder; it .* get the complete file again"):
        UNet3D(path=copy).text_encoder()


def test_a_config_that_is_damaged_is_named(copy):
    (copy / "vae" / "config.json").write_text('{"block_out')
    with pytest.raises(VmcError, match=r"vae/config\.json is no config of AutoencoderKL"):
        UNet3D(path=copy).autoencoder()
    with pytest.raises(VmcError, match=r"vae/config\.json is no JSON"):
        UNet3D(path=copy).latent_shape(frames=8, size=64)


@pytest.mark.parametrize("stored", [torch.float16, torch.float32])
@pytest.mark.parametrize("wanted", [torch.float16, torch.float32])
def test_dtypes_are_those_asked_for(copy, stored, wanted):
    for file in copy.rglob("*.safetensors"):
        save_file(
            {name: tensor.to(stored) for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"}
        )
    model = UNet3D(path=copy)
    for load in LOADERS.values():
        assert {parameter.dtype for parameter in load(model, dtype=wanted).parameters()} == {wanted}


@pytest.fixture
def pickled(copy) -> Path:
    """As ZeroScope is published: half precision in `.bin` files without a variant's suffix, and nothing else."""
    for file in copy.rglob("*.safetensors"):
        name = "pytorch_model.bin" if file.parent.name == "text_encoder" else "diffusion_pytorch_model.bin"
        torch.save({key: tensor.half() for key, tensor in load_file(file).items()}, file.with_name(name))
        file.unlink()
    return copy


@pytest.mark.parametrize("wanted", [torch.float16, torch.float32])
@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_pickled_weights_in_half_precision_load_in_the_dtype_asked_for(pickled, base, part, wanted, caplog):
    loaded, stored = LOADERS[part](UNet3D(path=pickled), dtype=wanted), LOADERS[part](base)
    assert {parameter.dtype for parameter in loaded.parameters()} == {wanted}
    assert {buffer.dtype for buffer in loaded.buffers() if buffer.is_floating_point()} <= {wanted}
    names = dict(stored.named_parameters())
    for name, parameter in loaded.named_parameters():
        assert torch.equal(parameter, names[name].half().to(wanted)), name
    assert not caplog.records


class Malicious:
    def __reduce__(self):
        return (print, ("this must never be printed",))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_pickle_that_would_run_code_is_refused(pickled, part, capsys):
    (file,) = (pickled / part).glob("*.bin")
    torch.save({**torch.load(file, weights_only=True), "extra": Malicious()}, file)
    with pytest.raises(
        VmcError, match=rf"{file} does not load as .*: it holds more than tensors and might run code; get the complete"
    ):
        LOADERS[part](UNet3D(path=pickled))
    assert "never be printed" not in capsys.readouterr().out


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_truncated_pickle_is_refused(pickled, part):
    (file,) = (pickled / part).glob("*.bin")
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(VmcError, match=f"{file} does not load as .*: it is truncated, at 5,000 bytes; get"):
        LOADERS[part](UNet3D(path=pickled))


def test_pickled_weights_of_another_shape_are_refused(pickled):
    (file,) = (pickled / "unet").glob("*.bin")
    torch.save({**torch.load(file, weights_only=True), "conv_in.bias": torch.zeros(3).half()}, file)
    with pytest.raises(VmcError, match=r"conv_in\.bias"):
        UNet3D(path=pickled).denoiser()


def test_the_text_encoder_is_written_as_the_published_ones_are(blank):
    names = load_file(blank / "text_encoder" / "model.safetensors")
    assert all(name.startswith("text_model.") for name in names)
    assert {path.name for path in (blank / "tokenizer").iterdir()} >= {"vocab.json", "merges.txt"}


def test_a_tokenizer_of_published_files_alone_reads_the_same(copy, base):
    """Published folders have no `tokenizer.json`."""
    (copy / "tokenizer" / "tokenizer.json").unlink()
    text = "A person doing the sks sign, it's 3!"
    assert UNet3D(path=copy).tokenizer()(text).input_ids == base.tokenizer()(text).input_ids


def test_a_fingerprint_tells_files_apart_and_reads_them_once(copy, base, monkeypatch):
    from vmc.models import base as seam

    read = []
    whole = seam.fingerprint
    monkeypatch.setattr(seam, "fingerprint", lambda path: read.append(path.name) or whole(path))
    model = UNet3D(path=copy)
    first = model.fingerprint("vae", "unet")
    assert (first, read) == (model.fingerprint("vae", "unet"), ["vae", "unet"])
    assert first == base.fingerprint("vae", "unet")
    (copy / "unet" / "config.json").write_text((copy / "unet" / "config.json").read_text() + " ")
    changed = UNet3D(path=copy).fingerprint("vae", "unet")
    assert changed.split()[0] == first.split()[0]
    assert changed.split()[1] != first.split()[1]


def test_parts_come_frozen_and_in_eval_mode(base):
    for load in LOADERS.values():
        part = load(base)
        assert not part.training
        assert not any(parameter.requires_grad for parameter in part.parameters())


def test_size_must_fit_the_autoencoder(base):
    assert base.latent_shape(frames=8, size=64) == (4, 8, 8, 8)
    with pytest.raises(VmcError, match=r"data\.size is 60; it must be divisible by 8, for example 64"):
        base.latent_shape(frames=8, size=60)


def test_the_prediction_type_is_the_configs(copy):
    file = copy / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prediction_type": "v_prediction"}))
    model = UNet3D(path=copy)
    assert model.process.prediction_type == model.solver().config.prediction_type == "v_prediction"


@pytest.mark.parametrize("family", ["unet3d", "animatediff", "wan"])
def test_networks_without_memory_are_those_that_are_loaded(family, tmp_path):
    write_blank(tmp_path / "blank", family=family)
    adapter = {"motion_adapter": tmp_path / "blank" / "motion_adapter"} if family == "animatediff" else {}
    model = families()[family](path=tmp_path / "blank", **adapter)
    parts = [model.empty(part) for part in model.networks if part not in model.parts_of("denoiser")]
    loaded = [model.open(part, torch.float32) for part in model.networks if part not in model.parts_of("denoiser")]
    for empty, network in zip([model.empty_denoiser(), *parts], [model.denoiser(), *loaded], strict=True):
        assert {name: tensor.shape for name, tensor in empty.named_parameters()} == {
            name: tensor.shape for name, tensor in network.named_parameters()
        }
        assert all(tensor.is_meta for tensor in empty.parameters())


def test_the_families_and_the_miniature_alone_name_classes_of_networks():
    source = Path(vmc.__file__).parent
    named = re.compile("UNet3DConditionModel|CLIPTextModel|CLIPTokenizer|AutoencoderKL|DDIMScheduler")
    files = [file.relative_to(source) for file in source.rglob("*.py") if named.search(file.read_text())]
    assert {file.parts[0] for file in files} == {"models", "mini"}
