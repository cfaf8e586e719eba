"""GPU memory: what a training holds is counted, and the peak of a step was measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from vmc.config.build import build_part
from vmc.config.command import compose
from vmc.models.base import VideoModel
from vmc.models.parameters import Subset
from vmc.tools.full_size.sizes import ZEROSCOPE, Sizes
from vmc.training.hardware import LOW

GIB = 2**30
STATE_BYTES = {"Adam": 8, "AdamW": 8, "AdamW8bit": 2}
"""Bytes of a trained parameter's optimizer state, by the optimizer's class: two moments."""
ROWS = (
    ("temporal_kv", "32-true", "adamw"),
    ("temporal_kv", "bf16-mixed", "adamw"),
    ("temporal_kv", "bf16-mixed", "adamw8bit"),
    ("spatial_kv", "bf16-mixed", "adamw"),
    ("lora", "bf16-mixed", "adamw"),
)
"""`parameters`, `trainer.precision` and `optimizer` of each row."""
MEASURED = {("temporal_kv", "bf16-mixed", "adamw"): ("48.9", "18.7")}
"""GiB at the peak of a step, activations kept and recomputed (`experiments/full_size/proof_h100.json`)."""
HEADER = ("`parameters`", "`trainer.precision`", "`optimizer`", "held", "step, activations kept", "step, recomputed")


@dataclass(frozen=True, kw_only=True)
class HeldMemory:
    """What a training holds on a GPU from the end of its first step on; activations come on top.

    Args:
        trained, frozen: parameters of the denoiser, adapters among the trained.
        beside: parameters of other networks that lie there, in float32.
        precision: of the frozen ones, as in `conf/trainer`.
        state_bytes: of the optimizer's state, for a trained parameter.
    """

    trained: int
    frozen: int
    beside: int = 0
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
    """Count the parameters on the meta device; of the model only config files are read.

    Args:
        model: the base model.
        subset: what is trained of its denoiser; None trains nothing.
        precision: as in `conf/trainer`.
        state_bytes: of the optimizer's state, for a trained parameter.
        beside: roles whose networks lie on the GPU, too: `text`, `autoencoder`.
    """
    denoiser = model.empty_denoiser().requires_grad_(False)
    trained = subset.select_trainable(denoiser, model.groups) if subset else {}
    others = [part for role in beside for part in model.parts_of(role) if part in model.networks]
    return HeldMemory(
        trained=sum(tensor.numel() for tensor in trained.values()),
        frozen=sum(tensor.numel() for tensor in denoiser.parameters() if not tensor.requires_grad),
        beside=sum(tensor.numel() for part in others for tensor in model.empty(part).parameters()),
        precision=precision,
        state_bytes=state_bytes,
    )


def count_rows(sizes: Sizes = ZEROSCOPE) -> Iterator[HeldMemory]:
    """What a training of each row holds."""
    for parameters, precision, optimizer in ROWS:
        config = compose("train", [f"parameters={parameters}", f"optimizer={optimizer}"])
        state_bytes = STATE_BYTES[config.optimizer._target_.rpartition(".")[2]]
        yield count_held(sizes, build_part(config, "parameters"), precision=precision, state_bytes=state_bytes)


def table() -> list[str]:
    """In Markdown, in GiB, for the clips of `model=zeroscope`."""
    rows = [
        (*row, f"{held.bytes / GIB:.1f}", *MEASURED.get(row, ("", "")))
        for row, held in zip(ROWS, count_rows(), strict=True)
    ]
    video = compose("train", ["stack=paper"]).model
    autoencoder = sum(tensor.numel() for tensor in ZEROSCOPE.empty("vae").parameters()) * 4 / GIB
    return [
        f"GiB, {video['frames']} frames of {video['size']} px, batch_size=1 (an exemplar and a regularization clip).",
        "",
        f"| {' | '.join(HEADER)} |",
        f"|{'---|' * 3}{'---:|' * 3}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "Held: weights, gradients and optimizer state, counted; a GPU needs more than that. From the first"
        f" evaluation on the autoencoder takes {autoencoder:.1f} more, unless trainer.offload=true.",
        "Step: the peak of one step on an H100, measured by `python -m vmc.proof --output proof`; recomputed is"
        " trainer.checkpoint_activations=true. What is empty was not measured; --override optimizer=adamw8bit and the"
        " like measure it on your GPU.",
    ]
