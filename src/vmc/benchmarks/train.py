"""`python -m vmc.bench train`: seconds and memory of a training step, with and without the caches."""

import statistics
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial

from tqdm import tqdm

from vmc.benchmarks.report import Figure, Report, machine, ratio
from vmc.benchmarks.rounds import Prepared, Task, memory_figures
from vmc.benchmarks.setup import Setup, read
from vmc.benchmarks.steps import WARM_UP, training_steps

CACHED, PLAIN = "a step, cached", "a step, plain"
NOTES = {
    CACHED: "A step is batch, forward, backward, clipping and AdamW in a run's own trainer, for the method's parameters"
    " on clips of noise; posteriors and text embeddings are in memory, as in a run.",
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
    return measure(
        Setup.of(arguments),
        plain=arguments.compare == "plain",
        steps=arguments.steps,
        batch_size=arguments.batch_size or read("stack/mini")["batch_size"],
        repeats=arguments.repeats,
    )


def measure(
    setup: Setup,
    *,
    plain: bool,
    steps: int,
    batch_size: int,
    repeats: int = 3,
    memory: Callable[[str, Prepared], list[Figure]] = memory_figures,
) -> Report:
    """Seconds a step in each round, which is the median of its steps.

    Args:
        setup: the model.
        plain: measure the plain loop too.
        steps: measured in a round.
        batch_size: draws a step; each is an exemplar and a regularization clip.
        repeats: rounds.
        memory: measures what a task needs.
    """
    names = [CACHED, PLAIN] if plain else [CACHED]
    seconds = _seconds(setup, names, steps=steps, batch_size=batch_size, repeats=repeats)
    used = {
        name: memory(_short(name), partial(_prepared, setup, batch_size=batch_size, plain=name == PLAIN))
        for name in names
    }
    figures = [*seconds.values(), *(figure for name in names for figure in used[name])]
    if plain:
        figures.append(ratio("seconds, plain / cached", seconds[PLAIN], seconds[CACHED]))
        figures.append(ratio("peak memory, plain / cached", used[PLAIN][0], used[CACHED][0]))
    return Report(
        benchmark="train",
        settings={**setup.describe(), "batch_size": batch_size, "steps": steps},
        figures=figures,
        notes=[*(NOTES[name] for name in names), MEMORY_NOTE],
        machine=machine(threads=setup.hardware.threads, device=setup.device),
    )


def _seconds(setup: Setup, names: Sequence[str], *, steps: int, batch_size: int, repeats: int) -> dict[str, Figure]:
    """Each loop for some steps, in turns; every other round goes backwards."""
    loops = {name: training_steps(setup, batch_size=batch_size, plain=name == PLAIN) for name in names}
    medians: dict[str, list[float]] = {name: [] for name in names}
    with tqdm(total=repeats * len(names), desc="train", unit="part", disable=None, leave=False) as bar:
        for number in range(repeats):
            for name in names if number % 2 == 0 else reversed(names):
                medians[name].append(statistics.median(loops[name].run(WARM_UP + steps)[WARM_UP:]))
                bar.update()
    return {name: Figure(name, "s", tuple(values)) for name, values in medians.items()}


def _short(name: str) -> str:
    return name.rpartition(" ")[2]


def _prepared(setup: Setup, *, batch_size: int, plain: bool) -> tuple[Task, bool]:
    loop = training_steps(setup, batch_size=batch_size, plain=plain)
    return partial(loop.run, MEMORY_STEPS), setup.device == "gpu"
