"""Every random draw of the project is a pure function of its purpose.

No global generator is used: each draw has its own CPU generator, seeded by the run's seed and the place of the draw in
the run. So a resumed run draws what the uninterrupted run would have, and ranks, batch sizes and devices do not matter.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def derive_seed(*place: int | str) -> int:
    """A 63-bit seed from the place of a draw, for example `derive_seed(run_seed, step, index, "noise")`."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in place)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(*place: int | str) -> Generator:
    """A fresh CPU generator for one draw, seeded by `derive_seed(*place)`."""
    return torch.Generator().manual_seed(derive_seed(*place))


def initial_noise(seeds: Sequence[int], shape_CFHW: Sequence[int]) -> Tensor:
    """noise_BCFHW, drawn for each video with its own seed as diffusers does with a CPU generator."""
    return torch.stack(
        [torch.randn(tuple(shape_CFHW), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )
