"""How likely each timestep is to be drawn, of every sampler that the runs were trained with."""

from collections.abc import Iterator, Mapping
from textwrap import wrap

import torch
from matplotlib.figure import Figure

from vmc.reporting.figures.common import COLORS, MUTED, Drawn
from vmc.reporting.results import Report, TimestepSampler

POINTS = 1000  # of a curve


def timesteps(report: Report) -> Iterator[Drawn]:
    """How likely each timestep is, of every sampler that the runs have."""
    if report.samplers:
        caption = "How often each timestep is drawn in training, over a uniform draw."
        yield Drawn(figure=draw_timesteps(report.samplers), caption=caption)


def draw_timesteps(samplers: Mapping[str, TimestepSampler]) -> Figure:
    """A curve a sampler: its density over the uniform one's, clean at the left and noise at the right.

    Args:
        samplers: by what they are called, and after a colon whose they are.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    times_T = (torch.arange(POINTS, dtype=torch.float64) + 0.5) / POINTS
    for number, (label, sampler) in enumerate(samplers.items()):
        density_T = sampler.density(times_T)
        density_T = density_T / density_T.mean()
        mean = float((times_T * density_T).mean())
        color = "#000000" if number == 0 else COLORS[(number - 1) % len(COLORS)]
        name, _, arms = label.partition(": ")
        lines = [f"{name}, mean t = {mean:.3f}", *wrap(arms, 78)]
        axes.plot(times_T, density_T, color=color, linewidth=1.8, label="\n".join(lines))
    axes.set_xlabel("time t (0 clean, 1 noise)")
    axes.set_ylabel("density over uniform")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(2.0, axes.get_ylim()[1]))
    axes.set_title("Timesteps drawn in training", loc="left")
    figure.legend(loc="outside lower left", fontsize=8)
    return figure
