"""Runs that train adapters: what is written, what stays, and that the same things hold as for other subsets."""

import csv

import pytest
import torch
from safetensors.torch import load_file

from vmc.evaluation.generation import TunedModel
from vmc.models.lora import LoraSubset
from vmc.models.token import MotionToken
from vmc.training.delta import Delta
from vmc.training.hardware import Hardware
from vmc.utils.errors import VmcError

LORA = ("+ablation=lora", "optimizer.lr=1e-2", "parameters.rank=2")


def weights(run, step: int = 3) -> dict[str, torch.Tensor]:
    return load_file(run.weights(step))


def losses(run) -> list[float]:
    with run.train_csv.open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_base_stays_bit_identical_and_every_adapter_moves(train, base, module):
    trained = weights(train(*LORA))
    fresh = dict(base.denoiser().named_parameters())
    held = {name.replace(".base_layer", ""): tensor for name, tensor in module["module"].denoiser.named_parameters()}
    assert all(torch.equal(tensor, held[name]) for name, tensor in fresh.items())
    begun = LoraSubset(rank=2, alpha=4, targets=["temporal", "spatial_kv"]).select_trainable(
        base.denoiser(), base.groups
    )
    assert trained.keys() == {f"unet.{name}" for name in begun}
    assert not any(torch.equal(trained[f"unet.{name}"], tensor) for name, tensor in begun.items())


def test_the_delta_is_small_and_needs_nothing_else(train, base, module):
    run = train(*LORA)
    whole = base.folder / "unet" / "diffusion_pytorch_model.safetensors"
    assert run.weights(3).stat().st_size < 0.1 * whole.stat().st_size
    about = Delta.load(run.weights(3)).about
    assert about["groups"] == ["lora"]
    assert about["lora"] == {"rank": 2, "alpha": 4, "targets": ["temporal", "spatial_kv"]}
    loaded = TunedModel.load(base, MotionToken(), run.weights(3), hardware=Hardware()).denoiser
    assert same(dict(loaded.named_parameters()), dict(module["module"].denoiser.named_parameters()))


def test_equal_runs_are_bit_identical_and_a_resumed_one_too(train, tmp_path):
    torch.manual_seed(0)
    whole = train(*LORA, "checkpoint_every=2", "steps=4", output=tmp_path / "whole")
    torch.manual_seed(1)
    train(*LORA, "checkpoint_every=2", "steps=2", output=tmp_path / "parts")
    parts = train(*LORA, "checkpoint_every=2", "steps=4", output=tmp_path / "parts")
    assert losses(parts) == losses(whole)
    assert same(weights(parts, 2), weights(whole, 2))
    assert same(weights(parts, 4), weights(whole, 4))


def test_low_precision_holds_the_base_low_and_the_adapters_in_float32(train, base, module, tmp_path):
    exact = train(*LORA, output=tmp_path / "exact")
    mixed = train(*LORA, "trainer.precision=bf16-mixed", output=tmp_path / "mixed")
    kinds = {name: tensor.dtype for name, tensor in module["module"].denoiser.named_parameters()}
    assert {kind for name, kind in kinds.items() if ".lora_" in name} == {torch.float32}
    assert {kind for name, kind in kinds.items() if ".lora_" not in name} == {torch.bfloat16}
    assert losses(mixed) == pytest.approx(losses(exact), rel=0.05)
    model = TunedModel.load(base, MotionToken(), mixed.weights(3), hardware=Hardware(precision="bf16-mixed"))
    assert {tensor.dtype for tensor in Delta.load(mixed.weights(3)).tensors.values()} == {torch.float32}
    assert model.denoiser.dtype == torch.float32


def test_checkpointed_activations_give_the_same_run(train, tmp_path):
    plain = train(*LORA, output=tmp_path / "plain")
    recomputed = train(*LORA, "trainer.checkpoint_activations=true", output=tmp_path / "recomputed")
    assert losses(recomputed) == pytest.approx(losses(plain), rel=1e-4)


def test_another_rank_belongs_to_another_folder(train):
    train(*LORA)
    with pytest.raises(VmcError, match=r"parameters\.rank differ"):
        train(*LORA[:2], "parameters.rank=3", "steps=4")
