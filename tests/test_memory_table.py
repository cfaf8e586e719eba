"""GPU memory that is computed without a GPU: what a step keeps, and the table of choices."""

import re
from pathlib import Path

import pytest
import torch

from vmc.checkup import machine, memory
from vmc.checkup.activations import Kept, step_activations
from vmc.checkup.memory import GIB, needs, table
from vmc.diffusion.parameters import ParameterSubset
from vmc.fullsize.sizes import ZEROSCOPE

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
    )


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


def test_what_the_doctor_says_of_activations_is_computed():
    count = step_activations(dict(ZEROSCOPE.unet), ParameterSubset(), **FULL, frozen=torch.bfloat16, recomputed=True)
    assert count / GIB == pytest.approx(machine.WORKING, abs=0.06)


def test_what_is_held_is_counted_from_parameters(tiny_rows):
    method, mixed, eight, keys, lora = tiny_rows
    every = method.trained + method.frozen
    assert method.held == 16 * method.trained + 4 * method.frozen
    assert mixed.held == 16 * method.trained + 2 * method.frozen
    assert mixed.held - eight.held == 6 * method.trained
    assert keys.trained + keys.frozen == every and keys.held < mixed.held
    assert lora.frozen == every and 0 < lora.trained < method.trained


@pytest.fixture
def tiny_rows(monkeypatch):
    monkeypatch.setattr(memory, "step_activations", lambda *words, **more: 0)
    sizes = memory.Sizes(unet=TINY, vae=ZEROSCOPE.vae, text_encoder={"hidden_size": 32, "num_attention_heads": 2})
    return [need for _, need in needs(sizes, frames=2, size=128)]


def test_the_readme_has_the_table_that_the_command_prints(monkeypatch):
    """Its first columns are counts of parameters; the activations' are `step_activations`, tested by itself."""
    monkeypatch.setattr(memory, "step_activations", lambda *words, recomputed, **more: 0)
    ours = [line.split("|")[1:5] for line in table() if line.startswith("|")]
    found = [
        line.split("|")[1:5]
        for line in README.read_text().splitlines()
        if re.match(r"\| (`parameters`|temporal_kv|spatial_kv|lora) \|", line)
    ]
    assert found == [ours[0], *ours[2:]]
