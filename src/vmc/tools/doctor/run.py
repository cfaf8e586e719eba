"""The run that is asked about, composed as `vmc.train` does and not begun, and what it holds on a GPU."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vmc.config.build import build_part, build_parts
from vmc.config.checks import GROUPS, check_config, check_parts, fill_missing, resolved
from vmc.config.command import compose
from vmc.models.base import VideoModel
from vmc.tools.downloads import SOURCES, HubSource, cached_folder
from vmc.tools.full_size import ZEROSCOPE, Sizes
from vmc.training.memory import GIB, STATE_BYTES, HeldMemory, count_held
from vmc.utils.errors import VmcError

PUBLISHED = {source.repository: name for name, source in SOURCES.items() if isinstance(source, HubSource)}
"""Pipelines of the hub: repository -> name."""
PARTS = ("model", "parameters", "objective", "timesteps", "lr_schedule", "token", "sampler", "metrics")
"""Groups that refuse wrong values when they are made."""
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


@dataclass(frozen=True)
class PlannedRun:
    """A run by its config as plain dicts, the keys that are not given yet, and what `PARTS` describe, not loaded."""

    config: Mapping[str, Any]
    missing: Sequence[str]
    parts: Mapping[str, Any]

    @property
    def evaluates(self) -> bool:
        """Whether it is scored."""
        return bool(self.config["evaluate_every"])

    @property
    def model(self) -> str:
        """The base model: a folder, or the name of a hub repository."""
        return str(self.parts["model"].path)

    @cached_property
    def base(self) -> VideoModel | None:
        """The base model by its config files, or as published; None where no files are here that could be read."""
        model, folder = self.parts["model"], Path(self.model).expanduser()
        found = folder if folder.is_dir() else cached_folder(self.model, model.family)
        if found is None:
            return ZEROSCOPE if self.model in PUBLISHED and model.family == ZEROSCOPE.family else None
        try:
            return replace(model, path=replace(model, path=found).folder)
        except VmcError:  # a finding of its own
            return None

    @property
    def state_bytes(self) -> int:
        """Of a trained parameter's optimizer state; 0 for an optimizer that is not known."""
        return STATE_BYTES.get(self.config["optimizer"]["_target_"].rpartition(".")[2], 0)

    @cached_property
    def held(self) -> HeldMemory | None:
        """What it holds on a GPU; None where the sizes are not known."""
        if self.base is None:
            return None
        subset, trainer = self.parts["parameters"], self.config["trainer"]
        beside = ["text"] if subset and self.parts["token"].trains else []
        if self.evaluates and not trainer["offload"]:
            beside.append("autoencoder")
        state_bytes, precision = self.state_bytes, trainer["precision"]
        return count_held(self.base, subset, precision=precision, state_bytes=state_bytes, beside=beside)


def plan(stack: str, overrides: Sequence[str] = ()) -> PlannedRun:
    """The run of a stack with overrides. A path that is not given is a finding of the table, and no error.

    Raises:
        VmcError: they do not compose.
    """
    config = compose("train", [f"stack={stack}", *overrides])
    missing = fill_missing(config)
    check_config(config, "train")
    # An optimizer whose package is not installed is a finding, too.
    absent = find_spec(config.optimizer._target_.partition(".")[0]) is None
    check_parts(config, [group for group in GROUPS if not (absent and group == "optimizer")])
    parts = build_parts(config, PARTS)
    if parts["parameters"] is not None:
        parts["parameters"].check(parts["model"].groups)
    return PlannedRun(resolved(config), missing, parts)


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
        "Held: weights, gradients and optimizer state, counted; a run whose GPU has less is refused. From the first"
        f" evaluation on the autoencoder takes {autoencoder:.1f} more, unless trainer.offload=true.",
        "Step: the peak of one step on an H100, measured by `python -m vmc.proof --output proof`; recomputed is"
        " trainer.checkpoint_activations=true. What is empty was not measured; --override optimizer=adamw8bit and the"
        " like measure it on your GPU.",
    ]
