"""GPU memory that is counted without a GPU, and the table of choices."""

import json
import re
from pathlib import Path

import pytest

from vmc.tools.doctor.machine_checks import MEASURED, held_by, memory_table
from vmc.training.memory import GIB

ROOT = Path(__file__).parents[2]


def test_what_is_held_is_counted_from_the_networks_shapes(tiny):
    method, mixed, eight, keys, lora = (held_by(*choices, sizes=tiny) for choices in MEASURED)
    every = method.trained + method.frozen
    assert every == sum(tensor.numel() for tensor in tiny.empty_denoiser().parameters())
    assert method.bytes == 16 * method.trained + 4 * method.frozen
    assert mixed.bytes == 16 * method.trained + 2 * method.frozen
    assert mixed.bytes - eight.bytes == 6 * method.trained
    assert keys.trained + keys.frozen == every and keys.bytes < mixed.bytes
    assert lora.frozen == every and 0 < lora.trained < method.trained


def test_the_page_on_memory_has_the_table_that_the_command_prints():
    ours = [line for line in memory_table() if line.startswith("|")]
    found = [
        line
        for line in (ROOT / "docs" / "memory.md").read_text().splitlines()
        if re.match(r"\| (`parameters`|temporal_kv|spatial_kv|lora) \|", line)
    ]
    assert found == [ours[0], *ours[2:]]


def test_what_was_measured_stands_in_its_record():
    record = json.loads((ROOT / "experiments" / "full_size" / "proof_h100.json").read_text())
    assert (record["precision"], record["trained"]["groups"]) == ("bf16-mixed", ["temporal", "spatial_kv"])
    peaks = {run["name"]: run["peak_gpu_memory_bytes"] / GIB for run in record["runs"]}
    kept, recomputed = MEASURED["temporal_kv", "bf16-mixed", "adamw"]
    assert float(kept) == pytest.approx(peaks["training, activations kept"], abs=0.05)
    assert float(recomputed) == pytest.approx(peaks["training, activations recomputed"], abs=0.05)
