"""GPU memory: what a training holds is counted, and the peak of a step was measured."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from vmc.config.build import build_part
from vmc.config.command import compose
from vmc.models.base import VideoModel
from vmc.models.parameters import Subset
from vmc.tools.full_size.folder import ZEROSCOPE, Sizes
from vmc.training.hardware import LOW

GIB = 2**30
STATE_BYTES = {"Adam": 8, "AdamW": 8, "AdamW8bit": 2}
"""Bytes of a trained parameter's optimizer state, two moments, by the optimizer's class."""
MEASURED = {
    ("temporal_kv", "32-true", "adamw"): ("", ""),
    ("temporal_kv", "bf16-mixed", "adamw"): ("48.9", "18.7"),
    ("temporal_kv", "bf16-mixed", "adamw8bit"): ("", ""),
    ("spatial_kv", "bf16-mixed", "adamw"): ("", ""),
    ("lora", "bf16-mixed", "adamw"): ("", ""),
}
"""Of `parameters`, `trainer.precision` and `optimizer`: GiB at the peak of a step on an H100, activations kept and
recomputed (`experiments/full_size/proof_h100.json`)."""
HEADER = ("`parameters`", "`trainer.precision`", "`optimizer`", "held", "step, activations kept", "step, recomputed")


class HeldMemory(NamedTuple):
    """What a training holds on a GPU from the end of its first step on; activations come on top.

    Args:
        trained, frozen: parameters of the denoiser, adapters among the trained.
        beside: parameters of other networks that lie there, in float32.
        precision: of the frozen ones, as in `conf/trainer`.
        state_bytes: of the optimizer's state, for a trained parameter.
    """

    trained: int
    frozen: int
    beside: int
    precision: str
    state_bytes: int

    @property
    def bytes(self) -> int:
        """Weights, gradients and optimizer state; what is trained is in float32, and so are its gradients."""
        frozen = self.frozen * LOW.get(self.precision, torch.float32).itemsize
        return self.trained * (4 + 4 + self.state_bytes) + frozen + self.beside * 4


def count_held(
    model: VideoModel, subset: Subset | None, *, precision: str, state_bytes: int, beside: Sequence[str] = ()
) -> HeldMemory:
    """Count the parameters on the meta device, those of further roles (`text`, `autoencoder`) `beside` the denoiser's;
    of the model only config files are read.
    """
    denoiser = model.empty_denoiser().requires_grad_(False)
    trained = subset.select_trainable(denoiser, model.groups) if subset else {}
    frozen = [tensor for tensor in denoiser.parameters() if not tensor.requires_grad]
    parts = [part for role in beside for part in model.parts_of(role) if part in model.networks]
    others = [tensor for part in parts for tensor in model.empty(part).parameters()]
    numbers = [sum(tensor.numel() for tensor in tensors) for tensors in (trained.values(), frozen, others)]
    return HeldMemory(numbers[0], numbers[1], numbers[2], precision, state_bytes)


def count_rows(sizes: Sizes = ZEROSCOPE) -> Iterator[HeldMemory]:
    """What a training of each row holds."""
    for parameters, precision, optimizer in MEASURED:
        config = compose("train", [f"parameters={parameters}", f"optimizer={optimizer}"])
        state_bytes = STATE_BYTES[config.optimizer._target_.rpartition(".")[2]]
        yield count_held(sizes, build_part(config, "parameters"), precision=precision, state_bytes=state_bytes)


def table() -> list[str]:
    """In Markdown, in GiB, for the clips of `model=zeroscope`."""
    held = [f"{row.bytes / GIB:.1f}" for row in count_rows()]
    rows = [(*words, number, *steps) for (words, steps), number in zip(MEASURED.items(), held, strict=True)]
    video = compose("train", ["stack=paper"]).model
    autoencoder = sum(tensor.numel() for tensor in ZEROSCOPE.empty("vae").parameters()) * 4 / GIB
    return [
        f"GiB, {video['frames']} frames of {video['size']} px, batch_size=1 (an exemplar and a regularization clip).",
        "",
        f"| {' | '.join(HEADER)} |",
        f"|{'---|' * 3}{'---:|' * 3}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "Held: weights, gradients and optimizer state, counted; a GPU needs more than that. From the first evaluation"
        f" on the autoencoder takes {autoencoder:.1f} more, unless trainer.offload=true.",
        "Step: the peak of one step on an H100, measured by `python -m vmc.proof --output proof`; recomputed is"
        " trainer.checkpoint_activations=true. What is empty was not measured; --override optimizer=adamw8bit and the"
        " like measure it on your GPU.",
    ]
