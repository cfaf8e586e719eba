"""GPU memory that is computed without a GPU: what a step keeps, and the table of choices."""

import re
from pathlib import Path

import pytest
import torch

from vmc.checkup.memory import loads, table
from vmc.fullsize.sizes import ZEROSCOPE, Sizes
from vmc.models.activations import Kept, StepMemory, step_activations
from vmc.models.parameters import ParameterSubset
from vmc.training import memory
from vmc.training.memory import GIB, Need

README = Path(__file__).parents[1] / "README.md"
FULL = {"latent_shape": (4, 16, 48, 48), "clips": 2}
TINY = {
    **ZEROSCOPE.unet,
    "block_out_channels": (32, 32, 64, 64),
    "cross_attention_dim": 32,
    "attention_head_dim": 32,
}


def kept(*, clips: int = 1, frozen: torch.dtype = torch.bfloat16, recomputed: bool = False) -> int:
    shape = (4, 2, 16, 16)
    return step_activations(
        TINY, ParameterSubset(), latent_shape=shape, clips=clips, frozen=frozen, recomputed=recomputed
    ).peak


def test_what_a_layer_keeps_is_counted_once():
    layer = torch.nn.Linear(8, 8)
    one = Kept({parameter.untyped_storage()._cdata for parameter in layer.parameters()})
    inputs = torch.ones(4, 8)
    with torch.autograd.graph.saved_tensors_hooks(one.add, lambda tensor: tensor):
        out = layer(inputs)  # keeps its input, and its weight, which is a parameter
        (out * out).sum()  # keeps the output, twice
    assert one.bytes() == (4 * 8 + 4 * 8) * 4
    other = Kept(set())
    other.add(inputs[1:])
    assert one.bytes(besides=other) == 4 * 8 * 4


def test_recomputing_half_precision_and_fewer_clips_keep_less():
    most = kept(clips=2, frozen=torch.float32)
    assert kept(clips=1, frozen=torch.float32) < 0.7 * most
    assert kept(clips=2, frozen=torch.float32, recomputed=True) < 0.6 * most
    assert kept(clips=2, frozen=torch.bfloat16) < most


def test_the_count_leaves_autocast_as_it_was():
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    kept()
    assert (torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")) == before


def test_a_step_of_the_method_at_full_size():
    """As the README's table and the refusal of a GPU have it."""
    step = step_activations(dict(ZEROSCOPE.unet), ParameterSubset(), **FULL, frozen=torch.bfloat16, recomputed=True)
    assert step.peak / GIB == pytest.approx(14.7, abs=0.06)
    # The last block is recomputed first, when what is kept behind it is gone.
    assert step.peak - step.kept < step.least < step.peak


def test_the_least_need_leaves_out_what_is_never_there_together():
    need = Need(trained=100, frozen=50, precision="bf16-mixed", moments=8)
    step = StepMemory(kept=300, peak=1000, least=900)
    assert (need.weights, need.held, need.estimate(step)) == (500, 1700, 2700)
    assert need.least(step, steps=2) == 500 + 800 + 900  # gradients are dropped before blocks are recomputed
    assert need.least(StepMemory(kept=800, peak=900, least=900), steps=2) == 500 + 800 + 400 + 800
    assert need.least(step, steps=1) == 500 + 1200  # the first gradients and moments, activations gone


def test_what_is_held_is_counted_from_parameters():
    sizes = Sizes(unet=TINY, vae=ZEROSCOPE.vae, text_encoder={})
    method, mixed, eight, keys, lora = (kept.need for kept, _ in loads(sizes, frames=2, size=128))
    every = method.trained + method.frozen
    assert method.held == 16 * method.trained + 4 * method.frozen
    assert mixed.held == 16 * method.trained + 2 * method.frozen
    assert mixed.held - eight.held == 6 * method.trained
    assert keys.trained + keys.frozen == every and keys.held < mixed.held
    assert lora.frozen == every and 0 < lora.trained < method.trained


def test_the_readme_has_the_table_that_the_command_prints(monkeypatch):
    """Its first columns are counts of parameters; the activations' are `step_activations`, tested by itself."""
    monkeypatch.setattr(memory, "step_activations", lambda *words, **more: StepMemory(kept=0, peak=0, least=0))
    ours = [line.split("|")[1:5] for line in table() if line.startswith("|")]
    found = [
        line.split("|")[1:5]
        for line in README.read_text().splitlines()
        if re.match(r"\| (`parameters`|temporal_kv|spatial_kv|lora) \|", line)
    ]
    assert found == [ours[0], *ours[2:]]
