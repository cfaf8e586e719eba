"""Opening a pipeline folder: dtypes as asked, and nothing that does not fit is ever random."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from vmc.diffusion.components import BaseModel
from vmc.errors import VmcError


@pytest.fixture
def copy(blank, tmp_path) -> Path:
    return Path(shutil.copytree(blank, tmp_path / "copy"))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(copy, part):
    shutil.rmtree(copy / part)
    with pytest.raises(VmcError, match=f"has no {part}/"):
        _ = BaseModel(path=copy).folder


def test_a_path_that_is_nothing_is_refused(tmp_path):
    for path in (tmp_path / "absent", "no-one/no-such-model"):
        with pytest.raises(VmcError, match=r"model\.path"):
            _ = BaseModel(path=path).folder


def test_a_missing_tensor_is_refused(copy):
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    del tensors["conv_in.bias"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(VmcError, match=r"missing keys begin with conv_in\.bias"):
        BaseModel(path=copy).unet()


def test_a_truncated_file_is_refused(copy):
    file = copy / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(VmcError, match="does not load as AutoencoderKL"):
        BaseModel(path=copy).vae()


@pytest.mark.parametrize("stored", [torch.float16, torch.float32])
@pytest.mark.parametrize("wanted", [torch.float16, torch.float32])
def test_dtypes_are_those_asked_for(copy, stored, wanted):
    for file in copy.rglob("*.safetensors"):
        save_file(
            {name: tensor.to(stored) for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"}
        )
    model = BaseModel(path=copy)
    for part in (model.unet, model.vae, model.text_encoder):
        assert {parameter.dtype for parameter in part(dtype=wanted).parameters()} == {wanted}


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
    loaded, stored = getattr(BaseModel(path=pickled), part)(dtype=wanted), getattr(base, part)()
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
        VmcError, match=rf"{part} does not load as .*: its \.bin .* might run code; get the complete file"
    ):
        getattr(BaseModel(path=pickled), part)()
    assert "never be printed" not in capsys.readouterr().out


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_truncated_pickle_is_refused(pickled, part):
    (file,) = (pickled / part).glob("*.bin")
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(VmcError, match=f"{part} does not load as"):
        getattr(BaseModel(path=pickled), part)()


def test_pickled_weights_of_another_shape_are_refused(pickled):
    (file,) = (pickled / "unet").glob("*.bin")
    torch.save({**torch.load(file, weights_only=True), "conv_in.bias": torch.zeros(3).half()}, file)
    with pytest.raises(VmcError, match=r"conv_in\.bias"):
        BaseModel(path=pickled).unet()


def test_the_text_encoder_is_written_as_the_published_ones_are(blank):
    names = load_file(blank / "text_encoder" / "model.safetensors")
    assert all(name.startswith("text_model.") for name in names)
    assert {path.name for path in (blank / "tokenizer").iterdir()} >= {"vocab.json", "merges.txt"}


def test_a_tokenizer_of_published_files_alone_reads_the_same(copy, base):
    """Published folders have no `tokenizer.json`."""
    (copy / "tokenizer" / "tokenizer.json").unlink()
    text = "A person doing the sks sign, it's 3!"
    assert BaseModel(path=copy).tokenizer()(text).input_ids == base.tokenizer()(text).input_ids


def test_a_fingerprint_tells_files_apart_and_reads_them_once(copy, base, monkeypatch):
    from vmc.diffusion import components

    read = []
    whole = components.fingerprint
    monkeypatch.setattr(components, "fingerprint", lambda path: read.append(path.name) or whole(path))
    model = BaseModel(path=copy)
    first = model.fingerprint("vae", "unet")
    assert (first, read) == (model.fingerprint("vae", "unet"), ["vae", "unet"])
    assert first == base.fingerprint("vae", "unet")
    (copy / "unet" / "config.json").write_text((copy / "unet" / "config.json").read_text() + " ")
    changed = BaseModel(path=copy).fingerprint("vae", "unet")
    assert changed.split()[0] == first.split()[0]
    assert changed.split()[1] != first.split()[1]


def test_parts_come_frozen_and_in_eval_mode(base):
    for part in (base.unet(), base.vae(), base.text_encoder()):
        assert not part.training
        assert not any(parameter.requires_grad for parameter in part.parameters())


def test_size_must_fit_the_autoencoder(base):
    assert base.latent_shape(frames=8, size=64) == (4, 8, 8, 8)
    with pytest.raises(VmcError, match=r"data\.size is 60, which is not divisible by 8"):
        base.latent_shape(frames=8, size=60)


def test_the_prediction_type_is_the_configs(copy):
    file = copy / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prediction_type": "v_prediction"}))
    model = BaseModel(path=copy)
    assert model.scheduler().config.prediction_type == model.solver().config.prediction_type == "v_prediction"
