"""Every random draw of the project is a pure function of what it is for.

No global generator is used anywhere: a draw gets its own CPU generator, seeded by the run's seed and by the place the
draw has in the run. So a resumed run draws what the uninterrupted one would have, and neither ranks, batch sizes nor
devices change a draw.
"""

import hashlib

import torch
from torch import Generator


def derive_seed(*place: int | str) -> int:
    """A 63-bit seed from the place of a draw, for example `derive_seed(run_seed, step, index, "noise")`."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in place)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(*place: int | str) -> Generator:
    """A fresh CPU generator for one draw, seeded by `derive_seed(*place)`."""
    return torch.Generator().manual_seed(derive_seed(*place))
