"""GPU memory of the paper's stack against the choices that save it: a table, computed and not measured."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from vmc.benchmarks.setup import build, read
from vmc.checkup.activations import step_activations
from vmc.checkup.machine import GIB, VAE
from vmc.diffusion.parameters import Subset
from vmc.fullsize.sizes import ZEROSCOPE, Sizes

CLIPS = 2
"""Of a micro-batch with `batch_size=1`: an exemplar and a regularization clip."""
MOMENTS = {"adamw": 8, "adamw8bit": 2}
"""Bytes of a trained parameter's two moments."""
FROZEN = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}
ROWS = (
    ("temporal_kv", "32-true", "adamw"),
    ("temporal_kv", "bf16-mixed", "adamw"),
    ("temporal_kv", "bf16-mixed", "adamw8bit"),
    ("spatial_kv", "bf16-mixed", "adamw"),
    ("lora", "bf16-mixed", "adamw"),
)
"""`parameters`, `trainer.precision` and `optimizer` of each row."""
HEADER = ("`parameters`", "`trainer.precision`", "`optimizer`", "held", "+ activations kept", "+ recomputed")


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes of a training on a GPU.

    Args:
        trained, frozen: parameters of the UNet, adapters among the trained.
        precision: of the frozen ones, as in `conf/trainer`.
        optimizer: as in `conf/optimizer`.
        kept, recomputed: what the backward pass needs without and with `trainer.checkpoint_activations`.
    """

    trained: int
    frozen: int
    precision: str
    optimizer: str
    kept: int = 0
    recomputed: int = 0

    @property
    def held(self) -> int:
        """All the time: weights, gradients and moments; what is trained is in float32."""
        return self.trained * (4 + 4 + MOMENTS[self.optimizer]) + self.frozen * FROZEN[self.precision].itemsize


def needs(sizes: Sizes = ZEROSCOPE, *, frames: int, size: int) -> Iterator[tuple[str, Need]]:
    """Each row's, with the name of what is trained.

    Args:
        sizes: of the networks.
        frames, size: of a clip, px.
    """
    reduction = 2 ** (len(sizes.vae["block_out_channels"]) - 1)
    shape = (sizes.vae["latent_channels"], frames, size // reduction, size // reduction)
    for parameters, precision, optimizer in ROWS:
        kept, recomputed = (
            step_activations(
                dict(sizes.unet),
                _subset(parameters),
                latent_shape=shape,
                clips=CLIPS,
                frozen=FROZEN[precision],
                recomputed=again,
            )
            for again in (False, True)
        )
        unet: Any = sizes.networks()["unet"]
        trained = sum(tensor.numel() for tensor in _subset(parameters).freeze_rest(unet).values())
        frozen = sum(tensor.numel() for tensor in unet.parameters() if not tensor.requires_grad)
        yield (
            parameters,
            Need(
                trained=trained,
                frozen=frozen,
                precision=precision,
                optimizer=optimizer,
                kept=kept,
                recomputed=recomputed,
            ),
        )


def _subset(name: str) -> Subset:
    return build({**read(f"parameters/{name}"), **({"seed": 0} if name == "lora" else {})})


def table(sizes: Sizes = ZEROSCOPE) -> list[str]:
    """In Markdown, in GiB, for the clips of `model=zeroscope`."""
    model = read("model/zeroscope")
    video = {name: model[name] for name in ("frames", "size")}
    rows = [
        (
            *(parameters, need.precision, need.optimizer, f"{need.held / GIB:.1f}"),
            *(f"{(need.held + part) / GIB:.1f}" for part in (need.kept, need.recomputed)),
        )
        for parameters, need in needs(sizes, **video)
    ]
    return [
        f"GiB, computed and not measured: {video['frames']} frames of {video['size']} px, batch_size=1 (an exemplar and"
        " a regularization clip).",
        "",
        f"| {' | '.join(HEADER)} |",
        f"|{'---|' * 3}{'---:|' * 3}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "Held: weights, gradients and moments. Activations: what autograd keeps of the real network in this precision,"
        " with the copies that autocast makes of weights; recomputed is trainer.checkpoint_activations=true.",
        "Not in it: what kernels need for a moment, CUDA's own part, and the metrics' networks. From the first"
        f" evaluation on the autoencoder takes {VAE * 4 / GIB:.1f} more, unless trainer.offload=true.",
    ]
