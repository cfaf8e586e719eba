"""The numbers of the interactive Fig. 7."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vmc.metrics.columns import Measure, united
from vmc.runs.reporting.catalogue import METHOD, arm_name, arm_order
from vmc.runs.reporting.curves import Curve, Point, curve_of_arm, curve_of_run, drawn_of
from vmc.runs.reporting.figures.style import BANDS, looks
from vmc.runs.reporting.found import FoundRun

TITLES = {"tradeoff": "Figure 7", "stopping": "Runs that stop at the threshold"}


def charts(curves: Mapping[str, Sequence[FoundRun]], *, threshold: float | None) -> dict[str, Any]:
    """Every set of curves, by the panels that they are drawn into.

    Args:
        curves: runs that are drawn together, by what they are called.
        threshold: of the appearance score.
    """
    shown = united(*(drawn_of(runs) for runs in curves.values()))
    sets = [{"title": TITLES.get(name, name), "arms": _arms(runs, shown)} for name, runs in curves.items()]
    panels = [
        {
            "name": m.name,
            "title": m.title,
            "digits": m.digits,
            "threshold": threshold if m.name == "appearance" else None,
        }
        for m in shown
    ]
    return {"sets": [one for one in sets if one["arms"]], "panels": panels, "bands": BANDS}


def _arms(runs: Sequence[FoundRun], shown: Sequence[Measure]) -> list[dict[str, Any]]:
    arms = sorted({run.arm for run in runs}, key=arm_order)
    drawn, found = looks(arms), []
    for arm in arms:
        own = [run for run in runs if run.arm == arm]
        curve = curve_of_arm(own)
        if not any(curve.points.values()):
            continue
        found.append(
            {
                "arm": arm,
                "name": arm_name(arm),
                "note": _note(curve),
                "colour": None if arm == METHOD else drawn[arm].colour,
                "dash": "2 4" if not curve.finished else _dash(drawn[arm].dash),
                "points": _points(curve, shown),
                "runs": [_points(curve_of_run(run), shown) for run in own] if len(own) > 1 else [],
            }
        )
    return found


def _note(curve: Curve) -> str:
    count = f"{curve.runs} runs" if curve.runs == curve.of else f"{curve.runs} of {curve.of} runs"
    return ", ".join([count] * (curve.of > 1) + ["half-finished"] * (not curve.finished))


def _dash(dash: object) -> str:
    """Of a line in SVG, from matplotlib's: lengths in units of about twice the line's width."""
    return " ".join(f"{2 * length:g}" for length in dash[1]) if isinstance(dash, tuple) else ""


def _points(curve: Curve, shown: Sequence[Measure]) -> dict[str, list[list[Any]]]:
    return {measure.name: [_point(point, measure) for point in curve.having(measure)] for measure in shown}


def _point(point: Point, measure: Measure) -> list[Any]:
    """Step, exemplar updates, value, both ends of its interval, whether it is of the whole test set."""
    factor = 100 if measure.percent else 1
    numbers = [point.updates, *(factor * number for number in (point.value, point.low, point.high))]
    return [point.step, *(None if math.isnan(n) else round(n, 6) for n in numbers), point.whole]
