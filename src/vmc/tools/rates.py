"""The search for learning rates: every rate that was tried, and which of them an arm trains at.

Of each arm the run of highest motion accuracy where its appearance has fallen to the threshold, or at its last step, is
chosen; `_order` settles ties, and `experiments/rates/README.md` gives the reasons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vmc.reporting.checks import check_comparable, common_threshold
from vmc.reporting.load import find_runs
from vmc.reporting.loaded import FoundRun
from vmc.reporting.matched import match_run
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write
from vmc.utils.tables import TextTable, to_markdown

SEARCHED = {
    "method": ("method",),
    "lora": ("lora",),
    "token_trained": ("token",),
    "textual_inversion": ("textual_inversion",),
    "dreambooth": ("dreambooth",),
    "custom_diffusion": ("custom_diffusion", "custom_diffusion_token"),
    "tune_a_video": ("tune_a_video",),
}
"""Of each arm that has rates of its own, their keys in the stack's block `rates`."""


@dataclass(frozen=True, kw_only=True)
class RateSearch:
    """What was tried, and what is chosen.

    Args:
        threshold: appearance score at which runs are compared.
        runs: by arm in the order of `SEARCHED`, then by rates.
        trials: a row a run, as in `STACK.csv`, and its `rates` by the keys of the stack's block; a run without `videos`
            does not count.
    """

    threshold: float
    runs: Sequence[FoundRun]
    trials: pd.DataFrame

    @property
    def rates(self) -> dict[str, float]:
        """The chosen ones, for the stack's block `rates`."""
        return {key: rate for rates in self.trials.rates[self.trials.chosen] for key, rate in rates.items()}

    @property
    def remarks(self) -> list[str]:
        """What keeps a choice from being the last word, a sentence each."""
        rows = zip(self.runs, self.trials.status, self.trials.videos.isna(), strict=True)
        said = [f"{run.path}: {status}; it does not count" for run, status, left_out in rows if left_out]
        for arm, tried in self.trials.groupby("arm", sort=False):
            if not tried.chosen.any():
                said.append(f"{arm}: no rate can be chosen")
                continue
            chosen = tried[tried.chosen].iloc[0]
            if not chosen.reached:
                said.append(f"{arm}: the chosen run has not reached the threshold; it stands at its last step")
            for key, rate in chosen.rates.items():
                others = sorted({rates[key] for rates in tried.rates})
                if len(others) > 1 and rate in (others[0], others[-1]):
                    end = "lowest" if rate == others[0] else "highest"
                    said.append(f"{arm}: {key} = {rate:g} is the {end} that was tried; search around it too")
        return said


def read_search(folder: Path, *, threshold: float | None = None) -> RateSearch:
    """Read the runs of `sweeps/rates_*.yaml` below a folder and choose, at the threshold given or at the runs' own.

    Raises:
        VmcError: no such runs, others among them, runs of several stacks, motions or seeds, or no threshold.
    """
    runs = find_runs(folder).runs
    for run in runs:
        if _arm(run) not in SEARCHED or "@" not in run.arm:
            raise VmcError(f"{run.path} is no run of a search (sweeps/rates_*.yaml); move it out of runs, {folder}")
        for name, one, other in zip(("stack", "motion", "seed"), _one(runs[0]), _one(run), strict=True):
            if one != other:
                differ = f"{runs[0].path} and {run.path} are of differing {name} ({one}, {other})"
                raise VmcError(f"{differ}; a search has one, move the others away")
    check_comparable(runs)
    threshold = common_threshold(runs, chosen=threshold)
    if threshold is None:
        raise VmcError(
            f"the runs below {folder} have no stop.appearance at which to compare them; set it in the stack and search"
            " again, or give --threshold"
        )
    runs = sorted(runs, key=lambda run: (list(SEARCHED).index(_arm(run)), *_rates(run).values()))
    trials = pd.DataFrame([_trial(run, threshold=threshold) for run in runs]).astype({"videos": "Int64"})
    trials["chosen"] = False
    for _, tried in trials[trials.videos.notna()].groupby("arm"):
        trials.loc[min(tried.index, key=lambda row: _order(trials.loc[row])), "chosen"] = True
    return RateSearch(threshold=threshold, runs=runs, trials=trials)


def _arm(run: FoundRun) -> str:
    return run.arm.partition("@")[0]


def _one(run: FoundRun) -> tuple[object, ...]:
    """Stack, motion, seed: a reported motion would be one that the rates were fitted to."""
    return run.config.get("stack_name"), run.motion, run.seed


def _rates(run: FoundRun) -> dict[str, float]:
    return {key: float(run.config["rates"][key]) for key in SEARCHED[_arm(run)]}


def _order(trial: Any) -> tuple[float, ...]:
    """Sorting key, the best first: accuracy; then fewer steps, or else appearance that moved further; lower rates."""
    second = trial.step if trial.reached else trial.appearance
    return (-round(trial.accuracy, 9), not trial.reached, second, *trial.rates.values())


def _trial(run: FoundRun, *, threshold: float) -> dict[str, Any]:
    trial = {
        "arm": _arm(run),
        "rate": run.config["optimizer"]["lr"],
        "token_rate": (run.config.get("token") or {}).get("learning_rate"),
        "motion": run.motion,
        "seed": run.seed,
        "status": "finished" if run.finished else run.progress,
        **dict.fromkeys(("reached", "step", "accuracy", "appearance", "videos")),
        "rates": _rates(run),
    }
    if not run.finished:
        return trial
    try:
        found = match_run(run, threshold=threshold)
    except VmcError as error:
        return trial | {"status": f"finished, but {error}"}
    if "motion_accuracy" not in found.values or found.values["motion_accuracy"].isna().all():
        return trial | {"status": "finished, but its videos have no motion accuracy"}
    at, accuracy = found.crossing, found.values["motion_accuracy"].mean()
    measured = {"step": at.step, "accuracy": accuracy, "appearance": at.appearance, "videos": len(found.values)}
    return trial | {"reached": at.reached, **measured}


def write_search(search: RateSearch, folder: Path) -> list[Path]:
    """Write `STACK.csv`, and `STACK.md` for people; the files."""
    table = text_table(search)
    csv, page = folder / f"{table.name}.csv", folder / f"{table.name}.md"
    words = search.trials.drop(columns="rates").round({"step": 1, "accuracy": 4, "appearance": 4})
    words = words.replace({"reached": {True: "true", False: "false"}, "chosen": {True: "true", False: "false"}})
    with atomic_write(csv) as temporary:
        words.to_csv(temporary, index=False, lineterminator="\n")
    with atomic_write(page) as temporary:
        temporary.write_text(to_markdown(table, level=1), encoding="utf-8")
    return [csv, page]


def text_table(search: RateSearch) -> TextTable:
    """The table for people: the chosen rates are marked."""
    rows = []
    for trial in search.trials.to_dict("records"):
        cells = (trial["status"].partition(": ")[0], "", "", "")
        if not pd.isna(trial["videos"]):
            numbers = (f"{trial['step']:.0f}", f"{100 * trial['accuracy']:.1f}", f"{trial['appearance']:.4f}")
            cells = ("yes" if trial["reached"] else "no", *numbers)
        rates = ", ".join(f"{key} {rate:g}" for key, rate in trial["rates"].items())
        rows.append((trial["arm"], rates, *cells, "chosen" if trial["chosen"] else ""))
    stack, motion, seed = _one(search.runs[0])
    return TextTable(
        name=str(stack),
        title=f"Learning rates, stack {stack}, on {motion}",
        header=("Arm", "Rates", "Reached", "Step", "Accuracy, %", "Appearance", ""),
        rows=rows,
        rules=frozenset(place for place in range(1, len(rows)) if rows[place][0] != rows[place - 1][0]),
        notes=[f"Compared at an appearance of {search.threshold:g}, training seed {seed}.", *search.remarks],
        left=frozenset({0, 1, 2, 6}),
    )
