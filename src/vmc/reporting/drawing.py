"""All figures of a report, each as SVG and PNG, with a caption that says what it shows.

A figure is a function of the report and a YAML in `conf/figures`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from vmc.metrics.columns import united
from vmc.reporting.catalogue import APPEARANCE, METHOD, NOT_REACHED, arm_order, baselines
from vmc.reporting.curves import curve_of_arm, curve_of_run
from vmc.reporting.figures.copies import all_pairs, draw_copies
from vmc.reporting.figures.curves import draw_balance, draw_curves
from vmc.reporting.figures.strips import choose, draw_strips, strips
from vmc.reporting.figures.style import save, styled
from vmc.reporting.figures.timesteps import draw_timesteps
from vmc.reporting.loaded import FoundRun
from vmc.reporting.matched import ArmResult
from vmc.utils.errors import VmcError

if TYPE_CHECKING:
    from vmc.reporting.build import Report

TOGETHER = 8
"""Arms that are drawn into one figure of curves; more are drawn apart, as the tables list them."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure of a report.

    Args:
        figure: as it was drawn.
        caption: what it shows, in sentences.
        end: of the name of its files, which begins with the figure's key in the YAML.
    """

    figure: Figure
    caption: str
    end: str = ""


DrawFigure = Callable[["Report"], Iterable[Drawn]]
"""Draws what a report has something for: no figure, one, or several with names of different ends."""


def draw_figures(report: "Report", figures: Mapping[str, DrawFigure | None], folder: Path) -> dict[str, str]:
    """Write every figure that there is something for; captions by the name of its files.

    Args:
        report: what is drawn.
        figures: functions by the name of the files; None draws nothing.
        folder: of the files.

    Raises:
        VmcError: something is no function, or two figures have one name.
    """
    captions: dict[str, str] = {}
    with styled():
        for name, draw in figures.items():
            if draw is not None and not callable(draw):
                raise VmcError(f"figures.{name} is {draw}, which is no function; give its YAML _partial_: true")
            for drawn in () if draw is None else draw(report):
                if (file := f"{name}{drawn.end}") in captions:
                    raise VmcError(f"figures.{name} draws {file}, which another figure is named; give it another name")
                save(drawn.figure, folder, file)
                captions[file] = drawn.caption
    return captions


def groups(arms: Sequence[str], *, together: int) -> dict[str, list[str]]:
    """Arms that are drawn into one figure, by the end of its name; the method is in all of them."""
    arms = sorted(dict.fromkeys(arms), key=arm_order)
    if len(arms) <= together:
        return {"": arms}
    first = [arm for arm in arms if arm in (METHOD, *baselines())]
    second = [arm for arm in arms if arm not in baselines()]
    parts = {"_baselines": first, "_ablations": second}
    return {end: part for end, part in parts.items() if set(part) - {METHOD}} or {"": arms}


def figure3(
    report: "Report", *, motion: str | None = None, subject: str | None = None, seed: int | None = None
) -> Iterator[Drawn]:
    """Frame strips of one prompt, a row an arm.

    Args:
        report: what is drawn.
        motion, subject, seed: which video they show; None takes the paper's where there is one, else the first.
    """
    results = report.results
    for end, arms in groups(list(results), together=0).items():
        chosen = choose(results, arms, motion=motion, subject=subject, seed=seed)
        if chosen is None:
            continue
        title = f"“{chosen.prompt}”, seed {chosen.seed}"
        place = f"{chosen.place[0]}, training seed {chosen.place[1]}"
        figure = draw_strips(strips(results, arms, chosen), title=f"{title}: {place}")
        caption = f"Figure 3{_said(end)}: {title}; motion {place}. {_where([results[arm] for arm in arms])}"
        yield Drawn(figure=figure, caption=caption, end=end)


def figure7(report: "Report") -> Iterator[Drawn]:
    """Curves against training, and what an arm gains for what it loses; of what stops apart from the rest."""
    for name, runs in report.curves.items():
        yield from _curves(name, runs, threshold=report.threshold)


def _curves(name: str, runs: Sequence[FoundRun], *, threshold: float | None) -> Iterator[Drawn]:
    for end, arms in groups([run.arm for run in runs], together=TOGETHER).items():
        of = {arm: [run for run in runs if run.arm == arm] for arm in arms}
        curves = [curve_of_arm(of[arm]) for arm in arms]
        single = {arm: [curve_of_run(run) for run in found] for arm, found in of.items() if len(found) > 1}
        if not any(points for curve in curves for points in curve.points.values()):
            continue
        shown = [measure.short for measure in united(*(curve.measures for curve in curves))]
        others = _listed([name for name in shown if name != APPEARANCE.short])
        title = f"{_listed(shown).capitalize()}{_said(end)}"
        figure = draw_curves(curves, single, threshold=threshold, title=title)
        caption = (
            f"Figure 7{_said(end)}: {_listed(shown)} against training steps and exemplar updates. Bands:"
            " 95 % intervals, the method's alone where there are many arms; of several runs the mean of those that are"
            " finished, at the steps at which all of them were evaluated, the runs thin. Filled: the whole test set;"
            " hollow: a part of it. Dotted: half-finished or failed."
        )
        if any(run.threshold is not None for run in runs):
            caption += " Runs stop at the threshold."
        if threshold is not None:
            caption += f" Dashed: the threshold of {threshold:.4f}."
        yield Drawn(figure=figure, caption=caption, end=f"_{name}{end}")
        if any(curve.having(APPEARANCE) for curve in curves):
            title = f"{others.capitalize()} at equal appearance{_said(end)}"
            caption = (
                f"The same evaluations{_said(end)}: {others} against the appearance score, which falls as"
                " training goes on. Where one line lies above another, its arm has learned more at an equal loss."
            )
            figure = draw_balance(curves, threshold=threshold, title=title)
            yield Drawn(figure=figure, caption=caption, end=f"_{name}{end}_balance")


def figure8(report: "Report") -> Iterator[Drawn]:
    """Generated frames beside the exemplars' nearest to them."""
    results = report.results
    ordered = [results[arm] for arm in sorted(results, key=arm_order)]
    found = all_pairs(ordered, descriptor=report.descriptor)
    if not found:
        return
    stands = next(results[arm].stands for arm in found)
    threshold = stands[0].run.evaluations[stands[0].shown].copy_threshold
    behind = [one.arm for one in ordered if any(one.behind(stand) for stand in one.stands)]
    figure = draw_copies(found, threshold=threshold, by_network=report.descriptor is not None, behind=behind)
    caption = (
        "Figure 8: generated frames beside the first frames of exemplars nearest to them, around the copy threshold of"
        f" {threshold:g}. {_where(ordered)}"
    )
    if any(pair.generated is not None and not pair.confirmed for each in found.values() for pair in each):
        caption += " A question mark: the generated frame was found again without the similarity that was measured."
    yield Drawn(figure=figure, caption=caption)


def _where(results: Sequence[ArmResult]) -> str:
    """Which evaluation of each arm is shown."""
    if not any(result.matched for result in results):
        return "Each arm at its last evaluation."
    said = "Each arm at the evaluation next to where its appearance score meets the threshold"
    if any(result.behind(stand) for result in results for stand in result.stands):
        said += f"; {NOT_REACHED} at its last one, as it did not fall so far"
    return f"{said}."


def timesteps(report: "Report") -> Iterator[Drawn]:
    """How likely each timestep is, of every sampler that the runs have."""
    if report.samplers:
        caption = "How often each timestep is drawn in training, over a uniform draw."
        yield Drawn(figure=draw_timesteps(report.samplers), caption=caption)


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _said(end: str) -> str:
    return f" ({end.strip('_')})" if end else ""
