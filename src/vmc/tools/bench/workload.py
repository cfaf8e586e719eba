"""What a benchmark measures: the run of `vmc.train` with the same overrides, on clips of noise.

Axes: F frames, C colours, H and W.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vmc.config.checks import check_complete, check_config, check_parts, resolved
from vmc.config.command import compose
from vmc.training.experiment import Experiment
from vmc.utils.randomness import generator

WARM_UP = 2
"""Videos that are made, or steps that are trained, before anything is timed: the first make the optimizer's state."""


def noise_clips(role: str, count: int, *, frames: int, size: int) -> Iterator[tuple[str, Tensor]]:
    """Names and frames_FCHW, uint8."""
    for number in range(count):
        draw = generator("benchmark", role, number)
        yield f"{role}{number}", torch.randint(256, (frames, 3, size, size), generator=draw, dtype=torch.uint8)


def compose_run(overrides: Sequence[str], *, scored: bool) -> dict[str, Any]:
    """The config of `vmc.train` with overrides, as plain values that another process can be given; where it is not
    scored, without test set and metrics.

    Raises:
        VmcError: the overrides are wrong, or lack a value.
    """
    config = compose("train", ["logger=csv", *overrides])
    config.data.path, config.data.source = None, {"_target_": "vmc.data.clips.NoClips"}
    for part in ("data", "regularization"):
        if "variants" in config[part]:
            config[part].variants = 1
    config.evaluate_every = int(scored)
    check_complete(config)
    check_config(config, "train")
    check_parts(config)
    return resolved(config)


def describe(config: Mapping[str, Any], experiment: Experiment, **more: Any) -> dict[str, Any]:
    """What was measured, for a report; no paths."""
    model = experiment.model
    return {
        "stack": config["stack_name"],
        "model": str(model.path).rstrip("/").rpartition("/")[2],
        "video": [model.frames, model.size, model.size],
        "attention": model.attention,
        "precision": experiment.hardware.precision,
        **more,
    }
