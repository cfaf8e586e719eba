"""The figure of a user study: how often each arm was chosen against the other, beside the line of no preference."""

import csv
import io
from collections.abc import Iterator

from matplotlib.figure import Figure

from vmc.reporting.catalog import arm_name
from vmc.reporting.figures.common import MUTED, Drawn, looks
from vmc.reporting.results import Report


def choice(report: Report) -> Iterator[Drawn]:
    """Draw a line for each of the study's table, where there are answers."""
    if report.study is None:
        return
    rows = list(csv.DictReader(io.StringIO(report.study[1])))
    figure = Figure(figsize=(7, 1.3 + 0.42 * len(rows)), layout="constrained")
    axes, drawn = figure.subplots(), looks(row["arm"] for row in rows)
    for place, row in enumerate(rows):
        share, low, high = (100 * float(row[name] or "nan") for name in ("chosen", "chosen_low", "chosen_high"))
        color = drawn[row["arm"]].color
        axes.plot([low, high], [place, place], color=color, linewidth=2)
        axes.plot(share, place, "o", color=color, markersize=7)
    axes.axvline(50, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    said = [f"{row['question']}, {row['motion'].replace('_', ' ')} ({row['answers']} answers)" for row in rows]
    against = [f"{arm_name(row['arm'])} against {arm_name(row['other'])}" for row in rows]
    several = len(set(against)) > 1
    names = [f"{one}: {text}" if several else text for one, text in zip(against, said, strict=True)]
    axes.set_yticks(range(len(rows)), names)
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, 100))
    axes.set_xlabel("chosen, %" if several else f"{against[0]}: chosen, %")
    axes.grid(axis="y", visible=False)
    caption = (
        "User study: how often an arm was chosen against the other, with intervals of 95 % that take raters and"
        " subjects as crossed clusters. The dashed line is no preference."
    )
    yield Drawn(figure=figure, caption=caption)
