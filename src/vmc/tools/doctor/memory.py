"""GPU memory: what a training holds is counted, and the peak of a step was measured."""

from collections.abc import Iterator

from vmc.config.build import build_part
from vmc.config.command import compose
from vmc.tools.full_size.folder import ZEROSCOPE, Sizes
from vmc.training.memory import GIB, STATE_BYTES, HeldMemory, count_held

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
