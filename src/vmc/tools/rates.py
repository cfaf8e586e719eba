"""The search for learning rates: every run of it, which rates an arm trains at, and the threshold that follows.

`experiments/rates/README.md` states both rules and gives the reasons. Rates: the highest mean accuracy over appearance,
from the base model's down to the score at which the search's runs stop (`search.appearance` in the stack). Threshold:
the appearance that the method, at its rates, has come down to after three quarters of its steps.

Axes: P evaluations, in the order of their steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from vmc.reporting.checks import check_comparable, common_threshold
from vmc.reporting.loaded_runs import FoundRun
from vmc.reporting.reading import find_runs
from vmc.reporting.table_arms import METHOD
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write
from vmc.utils.tables import TextTable, to_markdown

SEARCHED = {
    "method": ("method",),
    "params_none": ("params_none",),
    "params_all": ("params_all",),
    "temporal_frozen": ("temporal_frozen",),
    "temporal_frozen_spatial": ("temporal_frozen_spatial",),
    "lora": ("lora",),
    "token_trained": ("token",),
    "textual_inversion": ("textual_inversion",),
    "dreambooth": ("dreambooth",),
    "custom_diffusion": ("custom_diffusion", "custom_diffusion_token"),
    "tune_a_video": ("tune_a_video",),
}
"""Each arm that has rates of its own -> their keys in the stack's block `rates`."""
SHARE_OF_STEPS = 0.75
"""After which the method stands at the threshold: other motions may take longer."""
POINTS = 201
"""Appearances over which accuracy is averaged."""
DECIMALS = 4
"""To which the threshold is rounded."""


class Curve:
    """How the appearance and the motion accuracy of a run's evaluations go with training.

    Appearance is fitted by a curve that never rises (isotonic regression): a score of few videos goes up and down.

    Raises:
        VmcError: fewer than two evaluations have appearance and motion accuracy.
    """

    def __init__(self, run: FoundRun) -> None:
        known = [(step, one.appearance, one.value("motion_accuracy")) for step, one in run.evaluations.items()]
        rows = np.array([row for row in known if not np.isnan(row).any()], dtype=np.float64).reshape(-1, 3)
        if len(rows) < 2:
            raise VmcError("it has fewer than two evaluations with appearance and motion accuracy")
        self.steps_P, measured_P, self.accuracy_P = rows.T
        self.top = float(measured_P[0])  # the base model's
        self.appearance_P = isotonic_regression(measured_P, increasing=False).x

    def mean_accuracy(self, floor: float) -> float:
        """Average over appearances from the base model's down to `floor`, interpolating between evaluations.

        An appearance that the run has not come down to counts with its last accuracy: it has lost less.

        Raises:
            VmcError: at its first evaluation after the base model's it is there already, of which a line says nothing.
        """
        if self.appearance_P[1] <= floor:
            raise VmcError(f"at step {self.steps_P[1]:.0f}, its first evaluation, it is below {floor:g} already")
        appearances = np.linspace(self.top, floor, POINTS)
        return float(np.interp(-appearances, -self.appearance_P, self.accuracy_P).mean())

    def appearance_at(self, step: float) -> float:
        """Interpolate the appearance at a step."""
        return float(np.interp(step, self.steps_P, self.appearance_P))


@dataclass(frozen=True, kw_only=True)
class RateSearch:
    """What was tried, and what is chosen.

    Args:
        floor: appearance score down to which runs are compared.
        runs: the runs by arm in the order of `SEARCHED`, then by rates and seed.
        trials: a row a run, as in `STACK.csv`, with its `rates` by the keys of the stack's block, their `name`, where
            the run `stands` after `SHARE_OF_STEPS`, and the `mean` score of its rates over all training seeds of the
            arm. A run without `score` does not count; rates that lack a seed have no `mean`.
    """

    floor: float
    runs: Sequence[FoundRun]
    trials: pd.DataFrame

    @property
    def rates(self) -> dict[str, float]:
        """The chosen rates, for the stack's block `rates`."""
        return {key: rate for rates in self.trials.rates[self.trials.chosen] for key, rate in rates.items()}

    @property
    def threshold(self) -> float | None:
        """For `stop.appearance`: where the method's chosen runs stand, the mean over training seeds; None where it has
        no run that counts.
        """
        stands = self.trials.stands[self.trials.chosen & (self.trials.arm == METHOD)]
        return round(float(stands.mean()), DECIMALS) if len(stands) else None

    @property
    def remarks(self) -> list[str]:
        """What keeps a choice from being the last word, a sentence each."""
        left_out = zip(self.runs, self.trials.status, self.trials.score.isna(), strict=True)
        said = [f"{run.path}: {status}; it does not count" for run, status, unscored in left_out if unscored]
        for arm, tried in self.trials.groupby("arm", sort=False):
            said += _remarks(str(arm), tried)
        return said


def _remarks(arm: str, tried: pd.DataFrame) -> Iterator[str]:
    """Say what is to be said of an arm's choice."""
    if not tried.chosen.any():
        yield f"{arm}: no rate can be chosen"
        return
    counting = tried[tried.score.notna()]
    for name in tried.name.unique():
        if lacking := sorted(set(counting.seed) - set(counting.seed[counting.name == name])):
            seeds = ", ".join(map(str, lacking))
            yield f"{arm}: {name} lacks the training seed {seeds} of the others; it is not compared"
    best = tried[tried.chosen].iloc[0]
    for key, rate in best.rates.items():
        others = sorted({rates[key] for rates in tried.rates})
        if len(others) > 1 and rate in (others[0], others[-1]):
            end = "lowest" if rate == others[0] else "highest"
            yield f"{arm}: {key} = {rate:g} is the {end} that was tried; search around it too"
    apart = tried.groupby("name").score.agg(lambda scores: scores.max() - scores.min()).max()
    near = tried.name[(best["mean"] - tried["mean"] < apart) & (tried.name != best["name"])].unique()
    if len(near):
        yield f"{arm}: {', '.join(near)} differ from the chosen rates by less than training seeds of one rate do"


def read_search(folder: Path, *, floor: float | None = None) -> RateSearch:
    """Read the runs of `sweeps/rates_*.yaml` below a folder and choose, down to the appearance given or the runs' own.

    Raises:
        VmcError: no such runs, others among them, runs of several stacks or motions, or no appearance.
    """
    runs = find_runs(folder).runs
    for run in runs:
        if _arm(run) not in SEARCHED or "@" not in run.arm:
            raise VmcError(f"{run.path} is no run of a search (sweeps/rates_*.yaml); move it out of runs, {folder}")
        for name, one, other in zip(("stack", "motion"), _one(runs[0]), _one(run), strict=True):
            if one != other:
                differ = f"{runs[0].path} and {run.path} are of differing {name} ({one}, {other})"
                raise VmcError(f"{differ}; a search has one, move the others away")
    runs = sorted(runs, key=lambda run: (list(SEARCHED).index(_arm(run)), *_rates(run).values(), run.seed))
    for arm in dict.fromkeys(map(_arm, runs)):  # the method has more videos than the others
        check_comparable([run for run in runs if _arm(run) == arm])
    floor = common_threshold(runs, chosen=floor)
    if floor is None:
        raise VmcError(
            f"the runs below {folder} have no stop.appearance down to which to compare them; set search.appearance in"
            " the stack and search again, or give --floor"
        )
    trials = pd.DataFrame([_trial(run, floor) for run in runs]).astype({"score": float})
    scores = trials[trials.score.notna()].groupby(["arm", "name"], sort=False).score
    seeds = trials[trials.score.notna()].groupby("arm").seed.nunique()
    means = scores.mean()[scores.count() == seeds.reindex(scores.count().index, level="arm")].rename("mean")
    trials = trials.join(means, on=["arm", "name"])
    best = [place for _, place in means.groupby("arm").idxmax().items()]  # of equal rates the lowest, which comes first
    trials["chosen"] = trials.score.notna() & pd.MultiIndex.from_frame(trials[["arm", "name"]]).isin(best)
    return RateSearch(floor=floor, runs=runs, trials=trials)


def _arm(run: FoundRun) -> str:
    return run.arm.partition("@")[0]


def _one(run: FoundRun) -> tuple[object, ...]:
    """Stack and motion: a reported motion would be one that the rates were fitted to."""
    return run.config.get("stack_name"), run.motion


def _rates(run: FoundRun) -> dict[str, float]:
    return {key: float(run.config["rates"][key]) for key in SEARCHED[_arm(run)]}


def _trial(run: FoundRun, floor: float) -> dict[str, Any]:
    rates = _rates(run)
    trial: dict[str, Any] = {
        "arm": _arm(run),
        "rate": run.config["optimizer"]["lr"],
        "token_rate": (run.config.get("token") or {}).get("learning_rate"),
        "motion": run.motion,
        "seed": run.seed,
        "status": "finished" if run.finished else run.progress,
        **dict.fromkeys(("score", "step", "accuracy", "appearance", "videos", "stands")),
        "rates": rates,
        "name": ", ".join(f"{key} {rate:g}" for key, rate in rates.items()),
    }
    if run.finished:
        try:
            curve = Curve(run)
            step = int(curve.steps_P[-1])
            trial |= {"step": step, "accuracy": curve.accuracy_P[-1], "appearance": curve.appearance_P[-1]}
            trial["videos"] = run.evaluations[step].summary["videos"]
            trial["stands"] = curve.appearance_at(SHARE_OF_STEPS * run.config["steps"])
            trial["score"] = curve.mean_accuracy(floor)
        except VmcError as error:
            trial["status"] = f"finished, but {error}"
    return trial


def write_search(search: RateSearch, folder: Path) -> list[Path]:
    """Write `STACK.csv`, and `STACK.md` for people; the files."""
    table = text_table(search)
    csv, page = folder / f"{table.name}.csv", folder / f"{table.name}.md"
    words = search.trials.drop(columns=["rates", "name", "stands", "mean"])
    words = words.round(dict.fromkeys(("score", "accuracy", "appearance"), 4))
    words = words.astype({"step": "Int64", "videos": "Int64"})
    words = words.replace({"chosen": {True: "true", False: "false"}})
    with atomic_write(csv) as temporary:
        words.to_csv(temporary, index=False, lineterminator="\n")
    with atomic_write(page) as temporary:
        temporary.write_text(to_markdown(table, level=1), encoding="utf-8")
    return [csv, page]


def text_table(search: RateSearch) -> TextTable:
    """The table for people: a row for each of an arm's rates, the chosen ones marked."""
    rows, rules = list[list[str]](), set[int]()
    for arm, of_arm in search.trials.groupby("arm", sort=False):
        rules.add(len(rows))
        for name, tried in of_arm.groupby("name", sort=False):
            each = [_each(tried.score, percent=True), _each(tried.accuracy, percent=True), _each(tried.appearance)]
            all_seeds = _each(tried["mean"].iloc[:1], percent=True)
            rows.append([str(arm), str(name), *each, all_seeds, "chosen" if tried.chosen.any() else ""])
    stack, motion = _one(search.runs[0])
    seeds = ", ".join(map(str, sorted(set(search.trials.seed))))
    notes = [
        f"Mean accuracy: over appearances from the base model's down to {search.floor:g}, of each training seed"
        f" ({seeds}), and of all. Last: at the last evaluation."
    ]
    if search.threshold is not None:
        notes.append(
            f"The threshold: the method at the chosen rate has come down to {search.threshold:g} after"
            f" {100 * SHARE_OF_STEPS:.0f} % of its steps."
        )
    return TextTable(
        name=str(stack),
        title=f"Learning rates, stack {stack}, on {motion}",
        header=("Arm", "Rates", "Mean accuracy, %", "Last accuracy, %", "Last appearance", "All seeds", ""),
        rows=rows,
        rules=frozenset(rules - {0}),
        notes=[*notes, *search.remarks],
        left=frozenset({0, 1, 6}),
    )


def _each(values: pd.Series, *, percent: bool = False) -> str:
    """A number of each training seed."""
    shown = values.astype(float).map(lambda value: f"{100 * value:.1f}" if percent else f"{value:.4f}")
    return ", ".join(shown.where(values.notna(), "—"))
