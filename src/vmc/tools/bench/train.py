"""`python -m vmc.bench train`: seconds and memory of a training step, with and without the caches."""

import statistics
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tqdm import tqdm

from vmc.tools.bench.measure import Figure, Prepared, Report, Task, machine, memory_figures, ratio
from vmc.tools.bench.workload import WARM_UP, compose_run, describe, training_steps
from vmc.training.experiment import Experiment

CACHED, PLAIN = "a step, cached", "a step, plain"
NOTES = {
    CACHED: "A step is batch, forward, backward, clipping and optimizer in a run's own trainer, on clips of noise;"
    " posteriors and text embeddings are in memory, as in a run.",
    PLAIN: "Plain: autoencoder and text encoder make the batch anew in every step; clips are in memory all the same.",
}
MEMORY_NOTE = (
    "Memory is that of a process of its own, everything loaded included (on a GPU: of PyTorch's tensors); loaded is"
    " without gradients and optimiser."
)
MEMORY_STEPS = 3
"""After these, memory has been as high as it gets."""


def run(arguments: Namespace) -> Report:
    """Measure as the command line says."""
    config = compose_run(arguments.overrides, scored=False)
    return measure(config, plain=arguments.compare == "plain", steps=arguments.steps, repeats=arguments.repeats)


def measure(
    config: Mapping[str, Any],
    *,
    plain: bool,
    steps: int,
    repeats: int = 3,
    memory: Callable[[str, Prepared], list[Figure]] = memory_figures,
) -> Report:
    """Seconds a step in each round, which is the median of its steps.

    Args:
        config: of a run, each draw of whose steps is an exemplar and a regularization clip, or as its mix says.
        plain: measure the plain loop too.
        steps: measured in a round.
        repeats: rounds.
        memory: measures what a task needs.
    """
    names = [CACHED, PLAIN] if plain else [CACHED]
    experiment, seconds = _seconds(config, names, steps=steps, repeats=repeats)
    used = {name: memory(_short(name), partial(_prepared, config, plain=name == PLAIN)) for name in names}
    figures = [*seconds.values(), *(figure for name in names for figure in used[name])]
    if plain:
        figures.append(ratio("seconds, plain / cached", seconds[PLAIN], seconds[CACHED]))
        figures.append(ratio("peak memory, plain / cached", used[PLAIN][0], used[CACHED][0]))
    return Report(
        benchmark="train",
        settings={**describe(config, experiment), "batch_size": config["batch_size"], "steps": steps},
        figures=figures,
        notes=[*(NOTES[name] for name in names), MEMORY_NOTE],
        machine=machine(experiment.hardware),
    )


def _seconds(
    config: Mapping[str, Any], names: Sequence[str], *, steps: int, repeats: int
) -> tuple[Experiment, dict[str, Figure]]:
    """Each loop for some steps, in turns; every other round goes backwards."""
    loops = {name: training_steps(config, plain=name == PLAIN) for name in names}
    medians: dict[str, list[float]] = {name: [] for name in names}
    with tqdm(total=repeats * len(names), desc="train", unit="part", disable=None, leave=False) as bar:
        for number in range(repeats):
            for name in names if number % 2 == 0 else reversed(names):
                medians[name].append(statistics.median(loops[name].run(WARM_UP + steps)[WARM_UP:]))
                bar.update()
    experiment = loops[names[0]].experiment
    return experiment, {name: Figure(name, "s", tuple(values)) for name, values in medians.items()}


def _short(name: str) -> str:
    return name.rpartition(" ")[2]


def _prepared(config: Mapping[str, Any], *, plain: bool) -> tuple[Task, bool]:
    loop = training_steps(config, plain=plain)
    return partial(loop.run, MEMORY_STEPS), loop.experiment.hardware.device.type == "cuda"
