"""The table of prompt suites: what each run's videos show where several things are asked of the motion."""

from collections.abc import Mapping, Sequence

from vmc.metrics.columns import united
from vmc.metrics.scores import SUITE, values_of_run
from vmc.metrics.statistics import Interval, intervals_of_values
from vmc.reporting.catalog import arm_order
from vmc.reporting.loaded import FoundRun, Scored
from vmc.reporting.tables import interval_fields, to_csv, with_interval
from vmc.utils.tables import TextTable

PLACE = ("arm", "motion", "seed", "step", "suite", "videos")
NOTE = (
    "Intervals are of 95 %, over the subjects of a suite, and speak of the one model. Share of people, Both people,"
    " Share of two gestures, Both gestures, Span and Tempo are measured in their own suites alone."
)


def suites_table(runs: Sequence[FoundRun]) -> list[tuple[TextTable, str]]:
    """A row for each suite of each evaluation that has some, and its CSV; nothing where no run has any."""
    found = [
        (run, scored, suite, scored_suite(scored, suite))
        for run in sorted(runs, key=lambda run: (arm_order(run.arm), run.place, str(run.path)))
        for scored in (*run.evaluations.values(), *run.suites)
        for suite in suites_in(scored)
    ]
    if not found:
        return []
    every = united(*(scored.measures for _, scored, _, _ in found))
    measures = [one for one in every if any(one.name in intervals for *_, intervals in found)]
    rows, records = [], []
    for run, scored, suite, intervals in found:
        videos = int((scored.scores[SUITE] == suite).sum())
        place = [run.arm, run.motion, str(run.seed), str(scored.summary["step"]), suite, str(videos)]
        rows.append([*place, *(with_interval(intervals.get(one.name), one) for one in measures)])
        records.append(dict(zip(PLACE, place, strict=True)) | interval_fields(measures, intervals))
    header = [*map(str.capitalize, PLACE), *(measure.title for measure in measures)]
    left = frozenset({0, 1, 4})
    text = TextTable(name="suites", title="Prompt suites", header=header, rows=rows, left=left, notes=[NOTE])
    return [(text, to_csv(records))]


def suites_in(scored: Scored) -> list[str]:
    """The suites of an evaluation's test set, in its order; a VmcError where its scores do not read."""
    # The summary says whether there are any, so that the tables of all other evaluations stay unread.
    if not scored.summary.get("suites") or SUITE not in scored.scores.columns:
        return []
    return list(dict.fromkeys(str(suite) for suite in scored.scores[SUITE] if suite))


def scored_suite(scored: Scored, suite: str) -> Mapping[str, Interval]:
    """Every measure of one suite that its videos give."""
    values = values_of_run(scored.scores[scored.scores[SUITE] == suite], columns=scored.columns)
    return intervals_of_values(values, measures=scored.measures)
