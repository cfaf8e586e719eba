"""GPU memory of the paper's stack against the choices that save it: what is held is counted, the rest was measured."""

from collections.abc import Iterator

from vmc.config.build import build_part
from vmc.config.command import compose
from vmc.tools.full_size.sizes import ZEROSCOPE, Sizes
from vmc.training.hardware import Precision
from vmc.training.memory import GIB, Load, count

STATE_BYTES = {"adamw": 8, "adamw8bit": 2}
"""Of a trained parameter, as `vmc.training.memory.state_bytes` has them."""
ROWS: tuple[tuple[str, Precision, str], ...] = (
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


def loads(sizes: Sizes = ZEROSCOPE) -> Iterator[Load]:
    """What a training of each row holds."""
    for parameters, precision, optimizer in ROWS:
        subset = build_part(compose("train", [f"parameters={parameters}"]), "parameters")
        yield Load.of(sizes, subset, precision=precision, state_bytes=STATE_BYTES[optimizer])


def table() -> list[str]:
    """In Markdown, in GiB, for the clips of `model=zeroscope`."""
    rows = [
        (*row, f"{load.held / GIB:.1f}", *MEASURED.get(row, ("", ""))) for row, load in zip(ROWS, loads(), strict=True)
    ]
    video = compose("train", ["stack=paper"]).model
    return [
        f"GiB, {video['frames']} frames of {video['size']} px, batch_size=1 (an exemplar and a regularization clip).",
        "",
        f"| {' | '.join(HEADER)} |",
        f"|{'---|' * 3}{'---:|' * 3}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "Held: weights, gradients and optimizer state, counted; a run whose GPU has less is refused. From the first"
        f" evaluation on the autoencoder takes {count(ZEROSCOPE.empty('vae')) * 4 / GIB:.1f} more, unless"
        " trainer.offload=true.",
        "Step: the peak of one step on an H100, measured by `python -m vmc.proof --output proof`; recomputed is"
        " trainer.checkpoint_activations=true. What is empty was not measured; --override optimizer=adamw8bit and the"
        " like measure it on your GPU.",
    ]
