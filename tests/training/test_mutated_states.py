"""Damaged weights, checkpoints and cached tensors are never taken for what was written."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vmc.runs.resuming import checkpoint_fault
from vmc.training.tuned_weights import Delta
from vmc.utils.cache import ONLY, Cache
from vmc.utils.errors import VmcError

EACH = 40
"""Mutations of each kind of file."""
SECONDS = 10


def read_delta(path: Path) -> object:
    """What a run's weights hold; None where they are refused."""
    try:
        found = Delta.load(path)
    except VmcError:
        return None
    return dict(found.tensors), dict(found.about)


def read_checkpoint(path: Path) -> object:
    """What a checkpoint holds; None where it is refused."""
    return None if checkpoint_fault(path) else torch.load(path, map_location="cpu", weights_only=True)


def read_cached(path: Path) -> object:
    """The tensors of a cache file; None where they have to be made again."""
    folder = path.parent / "damaged-cache" / "aa"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "aa.safetensors").write_bytes(path.read_bytes())
    return Cache(folder.parent)._read("aa")


def equal(one: object, other: object) -> bool:
    """Whether nested values are equal, tensors to the bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


@pytest.fixture
def files(train, tmp_path) -> dict[str, tuple[Path, Callable[[Path], object]]]:
    """A file of each kind and how it is read."""
    run = train("steps=1", "parameters=spatial_kv")
    cache = Cache(tmp_path / "cache")
    cache.tensors({"aa": torch.arange(600.0).reshape(2, 300)}, lambda: lambda tensor: {ONLY: tensor})
    return {
        "weights": (run.weights(1), read_delta),
        "checkpoint": (run.checkpoint(1), read_checkpoint),
        "cached tensor": (tmp_path / "cache" / "aa" / "aa.safetensors", read_cached),
    }


def test_a_mutated_file_is_refused_or_holds_what_was_written(files, tmp_path, mutated, record_property):
    for kind, (path, read) in files.items():
        written, whole, refused = path.read_bytes(), read(path), 0
        assert whole is not None
        for seed in range(EACH):
            damaged = tmp_path / f"damaged{path.suffix}"
            damaged.write_bytes(content := mutated(written, random.Random(f"{kind} {seed}")))
            begun = time.perf_counter()
            found = read(damaged)
            assert time.perf_counter() - begun < SECONDS, (kind, seed)
            assert found is None or equal(found, whole), (kind, seed)
            refused += found is None
            if len(content) < len(written):
                assert found is None, (kind, seed)
        record_property(f"{kind}, refused of {EACH}", refused)
        assert refused > EACH / 2
