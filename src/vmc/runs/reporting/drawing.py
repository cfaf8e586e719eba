"""All figures of a report, each as SVG and PNG, with a caption that says what it shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from vmc.metrics.columns import united
from vmc.runs.reporting.catalogue import APPEARANCE, METHOD, NOT_REACHED, arm_order, baselines
from vmc.runs.reporting.copies import Descriptor, all_pairs
from vmc.runs.reporting.curves import curve_of_arm, curve_of_run
from vmc.runs.reporting.figures.balance import draw_balance
from vmc.runs.reporting.figures.copies import draw_copies
from vmc.runs.reporting.figures.curves import draw_curves
from vmc.runs.reporting.figures.strips import draw_strips
from vmc.runs.reporting.figures.style import save, styled
from vmc.runs.reporting.figures.timesteps import Sampler, draw_timesteps
from vmc.runs.reporting.found import FoundRun
from vmc.runs.reporting.standing import ArmResult
from vmc.runs.reporting.strips import choose, strips

TOGETHER = 8
"""Arms that are drawn into one figure of curves; more are drawn apart, as the tables list them."""


@dataclass(frozen=True, kw_only=True)
class Figure3:
    """Which video the strips show; None takes the paper's where there is one, else the first."""

    motion: str | None = None
    subject: str | None = None
    seed: int | None = None


Drawn = tuple[str, Figure, str]
"""Name of the files, figure, caption."""


def draw_figures(
    results: Mapping[str, ArmResult],
    curves: Mapping[str, Sequence[FoundRun]],
    folder: Path,
    *,
    threshold: float | None,
    samplers: Mapping[str, Sampler],
    descriptor: Descriptor | None,
    figure3: Figure3,
) -> dict[str, str]:
    """Write every figure that there is something for; captions by name."""
    captions = {}
    with styled():
        drawn = (
            *_strips(results, figure3),
            *(drawn for name, runs in curves.items() for drawn in _curves(name, runs, threshold=threshold)),
            *_copies(results, descriptor),
            *_timesteps(samplers),
        )
        for name, figure, caption in drawn:
            save(figure, folder, name)
            captions[name] = caption
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


def _strips(results: Mapping[str, ArmResult], figure3: Figure3) -> Iterator[Drawn]:
    for end, arms in groups(list(results), together=0).items():
        chosen = choose(results, arms, motion=figure3.motion, subject=figure3.subject, seed=figure3.seed)
        if chosen is None:
            continue
        motion, seed = chosen.place
        title = f"“{chosen.prompt}”, seed {chosen.seed}"
        figure = draw_strips(strips(results, arms, chosen), title=f"{title}: {motion}, training seed {seed}")
        caption = (
            f"Figure 3{_said(end)}: {title}; motion {motion}, training seed {seed}."
            f" {_where([results[arm] for arm in arms])}"
        )
        yield f"figure3_strips{end}", figure, caption


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
        yield f"{name}{end}", figure, caption
        if any(curve.having(APPEARANCE) for curve in curves):
            title = f"{others.capitalize()} at equal appearance{_said(end)}"
            yield (
                f"{name}{end}_balance",
                draw_balance(curves, threshold=threshold, title=title),
                f"The same evaluations{_said(end)}: {others} against the appearance score, which falls as"
                " training goes on. Where one line lies above another, its arm has learned more at an equal loss.",
            )


def _copies(results: Mapping[str, ArmResult], descriptor: Descriptor | None) -> Iterator[Drawn]:
    ordered = [results[arm] for arm in sorted(results, key=arm_order)]
    found = all_pairs(ordered, descriptor=descriptor)
    if not found:
        return
    stands = next(results[arm].stands for arm in found)
    threshold = stands[0].run.evaluations[stands[0].shown].copy_threshold
    behind = [one.arm for one in ordered if any(one.behind(stand) for stand in one.stands)]
    figure = draw_copies(found, threshold=threshold, by_network=descriptor is not None, behind=behind)
    caption = (
        "Figure 8: generated frames beside the first frames of exemplars nearest to them, around the copy threshold of"
        f" {threshold:g}. {_where(ordered)}"
    )
    if any(pair.generated is not None and not pair.confirmed for each in found.values() for pair in each):
        caption += " A question mark: the generated frame was found again without the similarity that was measured."
    yield "figure8_copies", figure, caption


def _where(results: Sequence[ArmResult]) -> str:
    """Which evaluation of each arm is shown."""
    if not any(result.matched for result in results):
        return "Each arm at its last evaluation."
    said = "Each arm at the evaluation next to where its appearance score meets the threshold"
    if any(result.behind(stand) for result in results for stand in result.stands):
        said += f"; {NOT_REACHED} at its last one, as it did not fall so far"
    return f"{said}."


def _timesteps(samplers: Mapping[str, Sampler]) -> Iterator[Drawn]:
    if samplers:
        yield (
            "timesteps",
            draw_timesteps(samplers),
            "How often each timestep is drawn in training, over a uniform draw.",
        )


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _said(end: str) -> str:
    return f" ({end.strip('_')})" if end else ""
