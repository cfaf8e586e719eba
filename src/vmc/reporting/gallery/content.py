"""What the gallery shows: arms as columns, prompts as rows, a video in each cell, and the numbers of its chart."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from vmc.metrics.columns import Measure, united
from vmc.metrics.declared import COLUMNS
from vmc.reporting.catalogue import APPEARANCE, FLOOR, LANGUAGE, METHOD, arm_name, arm_order
from vmc.reporting.curves import Curve, curve_of_arm, curve_of_run, drawn_measures
from vmc.reporting.figures.common import BANDS, looks
from vmc.reporting.loaded import Control, FoundRun, Scored
from vmc.reporting.matched import Result
from vmc.utils.errors import VmcError

FLAGS = ("valid", "motion_correct", "copied", "nearest_clip", "nearest_frame")
"""Columns of `scores.csv` that the page looks at itself."""
TITLES = {"tradeoff": "Figure 7", "stopping": "Runs that stop at the threshold"}
"""Of sets of curves."""

VideoKey = tuple[str, str, int | None]
"""Subject, prompt and seed: what names a video within a run."""


@dataclass(frozen=True, kw_only=True)
class ArmColumn:
    """An arm, or the untuned model, by one evaluation."""

    arm: str
    detail: str
    state: str  # what is to be said of a run that does not stand in the tables as the others do
    scored: Scored
    rows: Mapping[VideoKey, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A motion and training seed, and what is to be said of its runs that have nothing to show."""

    label: str
    runs: Sequence[FoundRun]
    columns: Sequence[ArmColumn]  # the method first, the untuned model last
    keys: Sequence[VideoKey]  # of the rows, in the order of the test set
    notes: Sequence[str]


def places(results: Mapping[str, Result], controls: Sequence[Control]) -> list[Place]:
    """Every motion and training seed of which a run was made, sorted, and motions of the untuned model alone."""
    runs = [
        run for one in results.values() for run in (*(m.run for m in one.matched), *(run for run, _ in one.left_out))
    ]
    made, motions = {run.place for run in runs}, {run.motion for run in runs}
    alone = {(one.motion, one.seed) for one in controls if one.kind in (FLOOR, LANGUAGE) and one.motion not in motions}
    return [_place(place, results, controls) for place in sorted(made | alone)]


def _place(place: tuple[str, int], results: Mapping[str, Result], controls: Sequence[Control]) -> Place:
    columns, notes, runs = list[ArmColumn](), list[str](), list[FoundRun]()
    for arm in sorted(results, key=arm_order):
        for one in (one for one in results[arm].matched if one.run.place == place):
            runs.append(one.run)
            state = "did not reach the threshold" if one.behind else ""
            columns.append(_column(arm, one.scored, step=one.shown, state=state))
        for run, reason in ((run, reason) for run, reason in results[arm].left_out if run.place == place):
            runs.append(run)
            last = next(_columns_of(run, reason), None)
            columns += [last] if last else []
            notes += [] if last else [f"{arm_name(arm)}, nothing to show: {reason}"]
    for kind in (FLOOR,) if runs else (FLOOR, LANGUAGE):
        # Any training seed's will do, as nothing was trained.
        found = [control for control in controls if control.kind == kind and control.motion == place[0]]
        for control in sorted(found, key=lambda control: control.seed != place[1])[:1]:
            columns.append(_column(kind, control.scored, step=0))
    keys = dict.fromkeys(key for column in columns for key in column.rows)
    label = f"{place[0].replace('_', ' ')}, training seed {place[1]}"
    return Place(label=label, runs=runs, columns=columns, keys=list(keys), notes=notes)


def _columns_of(run: FoundRun, state: str) -> Iterator[ArmColumn]:
    """The evaluations of a run that stands in no table, the last one first; without those whose scores are damaged."""
    for step in sorted(run.evaluations, reverse=True):
        try:
            yield _column(run.arm, run.evaluations[step], step=step, state=state)
        except VmcError:
            continue


def _column(arm: str, scored: Scored, *, step: int, state: str = "") -> ArmColumn:
    appearance = "" if math.isnan(scored.appearance) else f", appearance {scored.appearance:.4f}"
    rows = {(row["subject"] or row["prompt"], row["prompt"], row["seed"]): row for row in scored.rows}
    return ArmColumn(arm=arm, detail=f"step {step}{appearance}", state=state, scored=scored, rows=rows)


def fields_of(places: Iterable[Place]) -> dict[str, str]:
    """Scores of a video in the order in which they are listed, and what they are called."""
    columns = chain(COLUMNS, *(column.scored.columns for place in places for column in place.columns))
    titles: dict[str, str] = {}
    for column in columns:
        if column.label:
            titles.setdefault(column.name, column.label)
    return titles


def scores_of(row: Mapping[str, Any], fields: Iterable[str]) -> list[Any]:
    """Flags, then the scores of these names, as the page reads them; numbers with four digits."""
    values = [row.get(name) for name in (*FLAGS, *fields)]
    return [round(value, 4) if isinstance(value, float) else value for value in values]


def charts(curves: Mapping[str, Sequence[FoundRun]], *, threshold: float | None) -> dict[str, Any]:
    """Every set of curves, by the panels that they are drawn into.

    Args:
        curves: runs that are drawn together, by what they are called.
        threshold: of the appearance score.
    """
    shown = united(*(drawn_measures(runs) for runs in curves.values()))
    sets = [{"title": TITLES.get(name, name), "arms": _arms(runs, shown)} for name, runs in curves.items()]
    panels = [
        {
            "name": measure.name,
            "title": measure.title,
            "digits": measure.digits,
            "threshold": threshold if measure.name == APPEARANCE.name else None,
        }
        for measure in shown
    ]
    return {"sets": [one for one in sets if one["arms"]], "panels": panels, "bands": BANDS}


def _arms(runs: Sequence[FoundRun], shown: Sequence[Measure]) -> list[dict[str, Any]]:
    arms = sorted({run.arm for run in runs}, key=arm_order)
    drawn, found = looks(arms), []
    for arm in arms:
        own = [run for run in runs if run.arm == arm]
        curve, dash = curve_of_arm(own), drawn[arm].dash
        # A line in SVG has lengths in units of about half of matplotlib's, which are of the line's width.
        lengths = " ".join(f"{2 * length:g}" for length in dash[1]) if isinstance(dash, tuple) else ""
        if not curve.points.empty:
            one = {
                "arm": arm,
                "name": arm_name(arm),
                "note": curve.note,
                "colour": None if arm == METHOD else drawn[arm].colour,
                "dash": lengths if curve.finished else "2 4",
                "points": _points(curve, shown),
                "runs": [_points(curve_of_run(run), shown) for run in own] if len(own) > 1 else [],
            }
            found.append(one)
    return found


def _points(curve: Curve, shown: Sequence[Measure]) -> dict[str, list[list[Any]]]:
    """By metric: step, exemplar updates, value, both ends of its interval, whether it is of the whole test set."""
    found: dict[str, list[list[Any]]] = {}
    for measure in shown:
        factor = 100 if measure.percent else 1
        for _, step, updates, *numbers, whole in curve.having(measure).itertuples(index=False):
            numbers = [updates, *(factor * number for number in numbers)]
            point = [step, *(None if math.isnan(number) else round(number, 6) for number in numbers), whole]
            found.setdefault(measure.name, []).append(point)
    return {measure.name: found.get(measure.name, []) for measure in shown}
