"""Runs that train adapters: what is written, what stays, and that the same things hold as for other subsets."""

import csv

import pytest
import torch
from safetensors.torch import load_file

from vmc.evaluation.generation import TunedModel
from vmc.models.lora import LoraSubset
from vmc.models.token import MotionToken
from vmc.training import session
from vmc.training.hardware import Hardware
from vmc.training.module import MotionModule
from vmc.training.tuned_weights import Delta
from vmc.utils.errors import VmcError

LORA = ("+ablation=lora", "optimizer.lr=1e-2", "parameters.rank=2")


def weights(run, step: int = 3) -> dict[str, torch.Tensor]:
    return load_file(run.weights(step))


def losses(run) -> list[float]:
    with run.train_csv.open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def adapted(train_into, tmp_path_factory):
    """A run of four steps and its denoiser, which others are compared with; nobody writes into its folder."""
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "MotionModule", lambda **parts: kept.append(MotionModule(**parts)) or kept[0])
        torch.manual_seed(0)
        run = train_into(tmp_path_factory.mktemp("lora") / "run", *LORA, "checkpoint_every=2", "steps=4")
    return run, kept[0].denoiser


def test_the_base_stays_bit_identical_and_every_adapter_moves(adapted, base):
    run, denoiser = adapted
    trained = weights(run, 4)
    fresh = dict(base.denoiser().named_parameters())
    held = {name.replace(".base_layer", ""): tensor for name, tensor in denoiser.named_parameters()}
    assert all(torch.equal(tensor, held[name]) for name, tensor in fresh.items())
    begun = LoraSubset(rank=2, alpha=4, targets=["temporal", "spatial_kv"]).select_trainable(
        base.denoiser(), base.groups
    )
    assert trained.keys() == {f"unet.{name}" for name in begun}
    assert not any(torch.equal(trained[f"unet.{name}"], tensor) for name, tensor in begun.items())


def test_the_delta_is_small_and_needs_nothing_else(adapted, base):
    run, denoiser = adapted
    whole = base.folder / "unet" / "diffusion_pytorch_model.safetensors"
    assert run.weights(4).stat().st_size < 0.1 * whole.stat().st_size
    about = Delta.load(run.weights(4)).about
    assert about["groups"] == ["lora"]
    assert about["lora"] == {"rank": 2, "alpha": 4, "targets": ["temporal", "spatial_kv"]}
    loaded = TunedModel.load(base, MotionToken(), run.weights(4), hardware=Hardware()).denoiser
    assert same(dict(loaded.named_parameters()), dict(denoiser.named_parameters()))


def test_equal_runs_are_bit_identical_and_a_resumed_one_too(train, adapted):
    whole, _ = adapted
    torch.manual_seed(1)
    train(*LORA, "steps=2")
    parts = train(*LORA, "steps=4")
    assert losses(parts) == losses(whole)
    assert same(weights(parts, 2), weights(whole, 2))
    assert same(weights(parts, 4), weights(whole, 4))


def test_low_precision_holds_the_base_low_and_the_adapters_in_float32(train, base, module, adapted):
    mixed = train(*LORA, "trainer.precision=bf16-mixed", "trainer.checkpoint_activations=true")
    kinds = {name: tensor.dtype for name, tensor in module["module"].denoiser.named_parameters()}
    assert {kind for name, kind in kinds.items() if ".lora_" in name} == {torch.float32}
    assert {kind for name, kind in kinds.items() if ".lora_" not in name} == {torch.bfloat16}
    assert losses(mixed) == pytest.approx(losses(adapted[0])[:3], rel=0.05)
    model = TunedModel.load(base, MotionToken(), mixed.weights(3), hardware=Hardware(precision="bf16-mixed"))
    assert {tensor.dtype for tensor in Delta.load(mixed.weights(3)).tensors.values()} == {torch.float32}
    assert model.denoiser.dtype == torch.float32


def test_checkpointed_activations_give_the_same_run(train, adapted):
    recomputed = train(*LORA, "trainer.checkpoint_activations=true", "steps=2")
    assert losses(recomputed) == pytest.approx(losses(adapted[0])[:2], rel=1e-4)


def test_another_rank_belongs_to_another_folder(train, adapted):
    with pytest.raises(VmcError, match=r"parameters\.rank differ"):
        train(*LORA[:2], "parameters.rank=3", "steps=4", output=adapted[0].path)
