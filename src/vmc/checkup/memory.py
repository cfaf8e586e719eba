"""GPU memory of the paper's stack against the choices that save it: a table, computed and not measured."""

from collections.abc import Iterator

from vmc.config.build import build_part
from vmc.config.composing import compose
from vmc.fullsize.sizes import ZEROSCOPE, Sizes, count, shapes_of
from vmc.models.parameters import Subset
from vmc.training.hardware import Precision
from vmc.training.memory import GIB, Load

MOMENTS = {"adamw": 8, "adamw8bit": 2}
"""Bytes of a trained parameter's two, as `vmc.training.memory.moment_bytes` has them."""
ROWS: tuple[tuple[str, Precision, str], ...] = (
    ("temporal_kv", "32-true", "adamw"),
    ("temporal_kv", "bf16-mixed", "adamw"),
    ("temporal_kv", "bf16-mixed", "adamw8bit"),
    ("spatial_kv", "bf16-mixed", "adamw"),
    ("lora", "bf16-mixed", "adamw"),
)
"""`parameters`, `trainer.precision` and `optimizer` of each row."""
HEADER = ("`parameters`", "`trainer.precision`", "`optimizer`", "held", "+ activations kept", "+ recomputed")


def loads(sizes: Sizes = ZEROSCOPE, *, frames: int, size: int) -> Iterator[tuple[Load, Load]]:
    """Each row's, without activations that are recomputed and with them.

    Args:
        sizes: of the networks.
        frames, size: of a clip, px.
    """
    reduction = 2 ** (len(sizes.vae["block_out_channels"]) - 1)
    shape = (sizes.vae["latent_channels"], frames, size // reduction, size // reduction)
    for parameters, precision, optimizer in ROWS:
        kept, recomputed = (
            Load(
                unet=sizes.unet,
                subset=_subset(parameters),
                moments=MOMENTS[optimizer],
                precision=precision,
                latent_shape=shape,
                draws=1,
                paired=True,
                recomputed=again,
            )
            for again in (False, True)
        )
        yield kept, recomputed


def _subset(name: str) -> Subset:
    return build_part(compose("train", [f"parameters={name}"]), "parameters")


def table(sizes: Sizes = ZEROSCOPE) -> list[str]:
    """In Markdown, in GiB, for the clips of `model=zeroscope`."""
    model = compose("train", ["stack=paper"]).model
    video = {name: model[name] for name in ("frames", "size")}
    rows = [
        (*choices, *(f"{part / GIB:.1f}" for part in (kept.need.held, kept.estimate, recomputed.estimate)))
        for choices, (kept, recomputed) in zip(ROWS, loads(sizes, **video), strict=True)
    ]
    autoencoder = count(shapes_of(sizes.networks()["vae"])) * 4
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
        f" evaluation on the autoencoder takes {autoencoder / GIB:.1f} more, unless trainer.offload=true.",
    ]
