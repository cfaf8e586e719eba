"""A GPU that cannot hold a training, or not compute in its precision, is named before any weights are loaded."""

import json
from functools import partial

import pytest
import torch

from vmc.mini.shipped import shipped
from vmc.models.lora import LoraSubset
from vmc.models.parameters import ParameterSubset
from vmc.models.zeroscope import ZEROSCOPE, UNet3D
from vmc.runs.folder import read_state
from vmc.training import memory, session
from vmc.training.hardware import Hardware
from vmc.training.memory import GIB, SAVINGS, check_memory, explain_oom
from vmc.training.module import MotionModule
from vmc.utils.errors import VmcError

ADAMW = partial(torch.optim.AdamW, lr=1e-3)


@pytest.fixture
def gpu(monkeypatch):
    """Says what PyTorch would say of a GPU; `gpu(GiB)` changes how much memory it has."""

    def says(total: float, *, bf16: bool = True) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: bf16)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(total * GIB / 2), int(total * GIB)))
        monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: int(total * GIB * 0.9))

    return says


@pytest.fixture(scope="module")
def zeroscope(tmp_path_factory) -> UNet3D:
    """ZeroScope's config files, and weight files of which not one is read."""
    folder = tmp_path_factory.mktemp("zeroscope")
    for part, file in UNet3D.parts.items():
        (folder / part).mkdir()
        (folder / part / file).write_text(json.dumps(ZEROSCOPE.configs.get(part, {})))
    for part in UNet3D.networks:
        name = "pytorch_model.bin" if part == "text_encoder" else "diffusion_pytorch_model.bin"
        (folder / part / name).touch()
    return UNet3D(path=folder)


def check(base: UNet3D, hardware: Hardware, **changes) -> None:
    parts = {"subset": ParameterSubset(), "optimizer": ADAMW, "text_trained": False}
    check_memory(base, hardware=hardware, **{**parts, **changes})


def on_gpu(**more) -> Hardware:
    return Hardware(**{"accelerator": "gpu", "precision": "bf16-mixed", "checkpoint_activations": True, **more})


def test_a_gpu_that_is_too_small_is_refused_with_the_settings_that_need_less(gpu, zeroscope):
    gpu(8)
    with pytest.raises(VmcError) as refused:
        check(zeroscope, on_gpu())
    said = str(refused.value)
    # vmc.proof knows such an end by its first words.
    assert said.startswith("this training does not fit into memory: weights, gradients and optimizer state alone")
    assert "alone take 10.1 GiB, and the GPU has 8.0; give trainer.checkpoint_activations=true, " in said
    assert "optimizer=adamw8bit" in said and "parameters=lora" in said


def test_what_might_fit_is_not_refused(gpu, zeroscope):
    gpu(10.2)
    check(zeroscope, on_gpu())
    gpu(10.0)
    with pytest.raises(VmcError, match=r"take 10\.1 GiB, and the GPU has 10\.0"):
        check(zeroscope, on_gpu())
    gpu(3)
    check(zeroscope, on_gpu(), subset=LoraSubset(rank=4, alpha=4, targets=["temporal", "spatial_kv"]))


def test_what_is_held_is_the_sum_of_weights_gradients_and_optimizer_state(gpu):
    base = UNet3D(path=shipped("pipeline"), attention="plain")
    gpu(1e-9)
    every = sum(tensor.numel() for tensor in base.empty_denoiser().parameters())
    text = sum(tensor.numel() for tensor in base.text_encoder().network.parameters())
    subset, nothing = ParameterSubset(groups=["temporal"]), ParameterSubset(groups=[])
    trained = sum(t.numel() for t in subset.select(base.empty_denoiser(), base.groups).values())
    eight = partial(type("AdamW8bit", (), {}))
    for settings, held in (
        ({"subset": subset}, 16 * trained + 2 * (every - trained)),
        ({"subset": subset, "optimizer": eight}, 10 * trained + 2 * (every - trained)),
        ({"subset": subset, "optimizer": partial(torch.optim.SGD)}, 8 * trained + 2 * (every - trained)),
        ({"subset": nothing, "text_trained": True}, 2 * every + 4 * text),
    ):
        gpu((held - 1) / GIB)
        with pytest.raises(VmcError, match="does not fit"):
            check(base, on_gpu(), **settings)
        gpu(held / GIB)
        check(base, on_gpu(), **settings)


def test_nothing_is_computed_for_a_cpu(zeroscope, monkeypatch):
    asked = []
    monkeypatch.setattr(memory, "count_held", lambda *words, **settings: asked.append(words))
    check(zeroscope, Hardware())
    assert not asked


def test_a_run_is_refused_before_weights_are_loaded(train, gpu, monkeypatch):
    gpu(0.001)
    for part in ("denoiser", "autoencoder", "text_encoder"):
        monkeypatch.setattr(UNet3D, part, lambda self, **options: pytest.fail("weights are loaded"))
    for regularization in ("none", "synthetic"):
        captions = ["regularization.captions={a person dancing: 1}"] if regularization == "synthetic" else []
        with pytest.raises(VmcError, match=r"does not fit into memory: .*, and the GPU has 0.0; give"):
            train("trainer=gpu", f"regularization={regularization}", *captions)


def test_memory_that_runs_out_in_a_step_is_a_sentence(train, gpu, tmp_path, monkeypatch):
    gpu(24)
    monkeypatch.setattr(session, "check_memory", lambda *words, **more: None)

    def full(self, batch, place):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    monkeypatch.setattr(MotionModule, "training_step", full)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(VmcError, match=r"does not fit into memory: it took 21.6 GiB, and the GPU has 24.0; end"):
        train()
    assert f"or give {SAVINGS}" in read_state(tmp_path / "run")["reason"]


def test_other_errors_stay_what_they_are(gpu):
    gpu(24)
    with pytest.raises(RuntimeError, match="another"), explain_oom(torch.device("cuda")):
        raise RuntimeError("another")


def test_a_precision_that_the_gpu_has_not_is_refused(gpu):
    gpu(16, bf16=False)
    with pytest.raises(VmcError, match=r"bf16-mixed, but Some GPU has no bfloat16; use trainer.precision=16-mixed"):
        on_gpu()
    assert on_gpu(precision="16-mixed").precision == "16-mixed"
    assert Hardware(precision="bf16-mixed").precision == "bf16-mixed"  # a CPU's
