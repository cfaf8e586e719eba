"""The run that a benchmark measures: that of `vmc.train` with the same overrides, on clips of noise."""

from collections.abc import Mapping, Sequence
from typing import Any

from vmc.config.checks import check_complete, check_config, check_parts, resolved
from vmc.config.composing import compose
from vmc.data.prompts import Prompt, spread
from vmc.errors import VmcError
from vmc.runs.generation import VideoGenerator
from vmc.training.experiment import Experiment
from vmc.training.tuned import TunedModel


def compose_run(overrides: Sequence[str], *, scored: bool) -> dict[str, Any]:
    """The run's config, as plain values that another process can be given.

    Args:
        overrides: of `vmc.train`.
        scored: keep test set and metrics.

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


def some_prompts(experiment: Experiment, count: int) -> Sequence[Prompt]:
    """So many of the test set: subjects spread through it, each with all its seeds, as texts are shared there.

    Raises:
        VmcError: it has not so many.
    """
    found = experiment.prompts
    if count > len(found):
        raise VmcError(f"--videos is {count}; the test set has {len(found)} prompts, give at most as many")
    subjects = len({prompt.subject or prompt.text for prompt in found})
    return spread(found, -(-count * subjects // len(found)))[:count]


def untuned_generator(experiment: Experiment, *, batch_size: int | None = None) -> VideoGenerator:
    """Makes videos of the untuned model, on its device, with its threads set."""
    experiment.hardware.use_threads()
    model = TunedModel.load(experiment.model, experiment.token, None, hardware=experiment.hardware)
    return model.generator(sampler=experiment.sampler, batch_size=batch_size)


def describe(config: Mapping[str, Any], experiment: Experiment) -> dict[str, Any]:
    """What was measured, for a report; no paths."""
    model = experiment.model
    return {
        "stack": config["stack_name"],
        "model": str(model.path).rstrip("/").rpartition("/")[2],
        "video": [model.frames, model.size, model.size],
        "attention": model.attention,
        "precision": experiment.hardware.precision,
    }
