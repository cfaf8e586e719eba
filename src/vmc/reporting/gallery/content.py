"""What the gallery shows: arms as columns, prompts as rows, a video in each cell, and the numbers of its chart."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from vmc.metrics.columns import Measure, united
from vmc.metrics.declared import COLUMNS
from vmc.reporting.catalogue import CONTROLS, FLOOR, LANGUAGE, METHOD, arm_name, arm_order
from vmc.reporting.curves import Curve, Point, curve_of_arm, curve_of_run, drawn_of
from vmc.reporting.figures.style import BANDS, looks
from vmc.reporting.loaded import Control, FoundRun, Scored
from vmc.reporting.matched import ArmResult
from vmc.utils.errors import VmcError

FLAGS = ("valid", "motion_correct", "copied", "nearest_clip", "nearest_frame")
"""Columns of `scores.csv` that the page looks at itself."""

Key = tuple[str, str, int | None]
"""Subject, prompt and seed: what names a video within a run."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """An arm, or the untuned model.

    Args:
        arm: its name, or the kind of control.
        name: above the column.
        detail: which evaluation is shown.
        state: what is to be said of the run where it does not stand in the tables as the others do; else empty.
        scored: the evaluation.
        rows: of its `scores.csv`.
    """

    arm: str
    name: str
    detail: str
    state: str
    scored: Scored
    rows: Mapping[Key, Mapping[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A motion and training seed.

    Args:
        motion, seed: which.
        runs: all of them that train something.
        columns: the method first, the untuned model last; asked in natural language where nothing else is there.
        keys: rows, in the order of the test set.
        notes: on runs that have nothing to show.
    """

    motion: str
    seed: int
    runs: Sequence[FoundRun]
    columns: Sequence[Column]
    keys: Sequence[Key]
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def label(self) -> str:
        """What it is called."""
        return f"{self.motion.replace('_', ' ')}, training seed {self.seed}"


def places(results: Mapping[str, ArmResult], controls: Sequence[Control]) -> list[Place]:
    """Every motion and training seed of which a run was made, sorted, and motions of the untuned model alone."""
    made = {run.place for result in results.values() for run in _runs(result)}
    alone = {(control.motion, control.seed) for control in controls if control.kind in (FLOOR, LANGUAGE)}
    motions = {motion for motion, _ in made}
    return [_place(at, results, controls) for at in sorted(made | {at for at in alone if at[0] not in motions})]


def _runs(result: ArmResult) -> list[FoundRun]:
    return [*(stand.run for stand in result.stands), *(run for run, _ in result.left_out)]


def _place(place: tuple[str, int], results: Mapping[str, ArmResult], controls: Sequence[Control]) -> Place:
    columns, notes, runs = list[Column](), list[str](), list[FoundRun]()
    for arm in sorted(results, key=arm_order):
        runs += [run for run in _runs(results[arm]) if run.place == place]
        columns += _standing(results[arm], place)
        for column, note in _left_out(results[arm], place):
            columns += [column] if column else []
            notes += [note] if note else []
    columns += [*_untuned(FLOOR, place, controls), *(() if runs else _untuned(LANGUAGE, place, controls))]
    keys = dict.fromkeys(key for column in columns for key in column.rows)
    return Place(motion=place[0], seed=place[1], runs=runs, columns=columns, keys=list(keys), notes=notes)


def _standing(result: ArmResult, place: tuple[str, int]) -> Iterator[Column]:
    for stand in result.stands:
        if stand.run.place == place:
            state = "did not reach the threshold" if result.behind(stand) else ""
            yield _column(result.arm, stand.run.evaluations[stand.shown], step=stand.shown, state=state)


def _left_out(result: ArmResult, place: tuple[str, int]) -> Iterator[tuple[Column | None, str]]:
    """The last evaluation of a run that stands in no table, or a note that there is none."""
    for run, reason in result.left_out:
        if run.place != place:
            continue
        for step in sorted(run.evaluations, reverse=True):
            try:
                yield _column(result.arm, run.evaluations[step], step=step, state=reason), ""
            except VmcError:  # damaged scores: the evaluation before may read
                continue
            break
        else:
            yield None, f"{arm_name(result.arm)}, nothing to show: {reason}"


def _untuned(kind: str, place: tuple[str, int], controls: Sequence[Control]) -> Iterator[Column]:
    """The untuned model; any training seed's will do, as nothing was trained."""
    found = [control for control in controls if control.kind == kind and control.motion == place[0]]
    for control in sorted(found, key=lambda control: control.seed != place[1])[:1]:
        yield _column(kind, control.scored, step=0, state="")


def _column(arm: str, scored: Scored, *, step: int, state: str) -> Column:
    appearance = "" if math.isnan(scored.appearance) else f", appearance {scored.appearance:.4f}"
    rows = {key_of(row): row for row in scored.scores.to_dict("records")}
    name = CONTROLS.get(arm) or arm_name(arm)
    return Column(arm=arm, name=name, detail=f"step {step}{appearance}", state=state, scored=scored, rows=rows)


def key_of(row: Mapping[Any, Any]) -> Key:
    """What names a video within a run."""
    return row["subject"] or row["prompt"], row["prompt"], row["seed"]


def fields_of(places: Sequence[Place]) -> dict[str, str]:
    """Scores of a video in the order in which they are listed, and what they are called."""
    columns = chain(COLUMNS, *(column.scored.columns for place in places for column in place.columns))
    titles: dict[str, str] = {}
    for column in columns:
        if column.label:
            titles.setdefault(column.name, column.label)
    return titles


def scores_of(row: Mapping[Any, Any], fields: Iterable[str]) -> list[Any]:
    """Flags, then the scores of these names, as the page reads them; numbers with four digits."""
    values = [row.get(name) for name in (*FLAGS, *fields)]
    return [round(value, 4) if isinstance(value, float) else value for value in values]


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
