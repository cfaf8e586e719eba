"""The search for learning rates: every rate that was tried, and which of them an arm trains at.

The rule. Each run is read where its appearance score has fallen to the threshold: that is the step, and the motion
accuracy there, interpolated between the two evaluations beside it, is what counts. A run that has not reached the
threshold stands at its last step, where it has lost less appearance than the others. The run of highest accuracy is
chosen; of equal ones one that has reached the threshold, in fewer steps, or else the one whose appearance has moved
furthest (a rate that moves nothing is no rate); then the one of lower rates. A run that failed does not count.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
}
"""Of each arm that has rates of its own, their keys in the stack's block `rates`."""
COLUMNS = (
    *("arm", "rate", "token_rate", "motion", "seed", "status", "reached", "step", "accuracy", "appearance", "videos"),
    "chosen",
)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of a search. Without a value: it has none, or the run did not come to its end.

    Args:
        arm: that the rates are of.
        run: its folder.
        rates: by their keys in the stack's block `rates`.
        status: how it ended; of a failed one, why.
        reached: whether the appearance score has fallen to the threshold.
        step: where it has, or the last one.
        accuracy: motion accuracy there, 0..1.
        appearance: there.
        videos: that both count.
    """

    arm: str
    run: FoundRun
    rates: Mapping[str, float]
    status: str
    reached: bool | None = None
    step: float | None = None
    accuracy: float | None = None
    appearance: float | None = None
    videos: int | None = None

    @property
    def order(self) -> tuple[float, ...]:
        """Sorting key, the best first; the rule of this module."""
        assert self.accuracy is not None and self.step is not None and self.appearance is not None
        second = self.step if self.reached else self.appearance
        return (-round(self.accuracy, 9), not self.reached, second, *self.rates.values())

    @property
    def ongoing(self) -> bool:
        """Whether it is not at its end; its command goes on with it."""
        return self.run.state.get("status") not in ("finished", "failed")


@dataclass(frozen=True, kw_only=True)
class Search:
    """What was tried, and what is chosen.

    Args:
        stack: of all runs.
        motion: searched on.
        threshold: appearance score at which runs are compared.
        trials: by arm in the order of `SEARCHED`, then by rates.
        chosen: the best trial of each arm; arms of which no run can be read have none.
    """

    stack: str
    motion: str
    threshold: float
    trials: Sequence[Trial]
    chosen: Mapping[str, Trial]

    @property
    def rates(self) -> dict[str, float]:
        """The chosen ones, for the stack's block `rates`."""
        return {key: value for trial in self.chosen.values() for key, value in trial.rates.items()}

    @property
    def remarks(self) -> list[str]:
        """What keeps a choice from being the last word, a sentence each."""
        said = [f"{trial.run.path}: {trial.status}; it does not count" for trial in self.trials if not trial.videos]
        for arm in dict.fromkeys(trial.arm for trial in self.trials):
            if arm not in self.chosen:
                said.append(f"{arm}: no rate can be chosen")
                continue
            best = self.chosen[arm]
            if not best.reached:
                said.append(f"{arm}: the chosen run has not reached the threshold; it stands at its last step")
            for key, rate in best.rates.items():
                tried = sorted({trial.rates[key] for trial in self.trials if trial.arm == arm})
                if len(tried) > 1 and rate in (tried[0], tried[-1]):
                    end = "lowest" if rate == tried[0] else "highest"
                    said.append(f"{arm}: {key} = {rate:g} is the {end} that was tried; search around it too")
        return said


def read_search(runs: Path, *, threshold: float | None = None) -> Search:
    """Read the runs below a folder and choose.

    Args:
        runs: folder of the runs of `sweeps/rates_*.yaml`, of one stack.
        threshold: appearance score to compare at; None takes the runs' own.

    Raises:
        VmcError: no such runs, others among them, runs that do not belong together, or no threshold.
    """
    found = find_runs(runs).runs
    for run in found:
        if run.arm.partition("@")[0] not in SEARCHED or "@" not in run.arm:
            raise VmcError(f"runs is {runs}, but {run.path} is no run of a search (sweeps/rates_*.yaml); move it away")
    _check_one(found)
    check_comparable(found)
    threshold = common_threshold(found, chosen=threshold)
    if threshold is None:
        raise VmcError(
            f"the runs below {runs} have no stop.appearance at which to compare them; set it in the stack and search"
            " again, or give --threshold"
        )
    trials = sorted((_trial(run, threshold=threshold) for run in found), key=_place)
    chosen: dict[str, Trial] = {}
    for arm in SEARCHED:
        if counting := [trial for trial in trials if trial.arm == arm and trial.videos]:
            chosen[arm] = min(counting, key=lambda trial: trial.order)
    stack, motion = str(found[0].config["stack_name"]), found[0].motion
    return Search(stack=stack, motion=motion, threshold=threshold, trials=trials, chosen=chosen)


def _check_one(runs: Sequence[FoundRun]) -> None:
    """One stack, one motion, one training seed; a reported motion would be one that the rates were fitted to."""
    first = runs[0]
    for run in runs[1:]:
        for name, one, other in (
            ("stack", first.config.get("stack_name"), run.config.get("stack_name")),
            ("motion", first.motion, run.motion),
            ("seed", first.seed, run.seed),
        ):
            if one != other:
                raise VmcError(
                    f"{first.path} and {run.path} are of differing {name} ({one}, {other}); a search has one, move the"
                    " others away"
                )


def _trial(run: FoundRun, *, threshold: float) -> Trial:
    arm = run.arm.partition("@")[0]
    rates = {key: float(run.config["rates"][key]) for key in SEARCHED[arm]}
    if not run.finished:
        return Trial(arm=arm, run=run, rates=rates, status=run.progress)
    try:
        found = match_run(run, threshold=threshold)
        accuracy = float(found.values["motion_accuracy"].mean()) if "motion_accuracy" in found.values else math.nan
        if math.isnan(accuracy):
            raise VmcError("its videos have no motion accuracy")
    except VmcError as error:
        return Trial(arm=arm, run=run, rates=rates, status=f"finished, but {error}")
    return Trial(
        arm=arm,
        run=run,
        rates=rates,
        status="finished",
        reached=found.crossing.reached,
        step=found.crossing.step,
        accuracy=accuracy,
        appearance=found.crossing.appearance,
        videos=len(found.values),
    )


def _place(trial: Trial) -> tuple[float, ...]:
    return (list(SEARCHED).index(trial.arm), *trial.rates.values())


def write_search(search: Search, folder: Path) -> list[Path]:
    """Write `STACK.csv`, and `STACK.md` for people; the files."""
    table, page = folder / f"{search.stack}.csv", folder / f"{search.stack}.md"
    with atomic_write(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_row(search, trial) for trial in search.trials)
    with atomic_write(page) as temporary:
        temporary.write_text(to_markdown(text_table(search), level=1), encoding="utf-8")
    return [table, page]


def _row(search: Search, trial: Trial) -> dict[str, Any]:
    config = trial.run.config
    return {
        "arm": trial.arm,
        "rate": config["optimizer"]["lr"],
        "token_rate": (config.get("token") or {}).get("learning_rate"),
        "motion": trial.run.motion,
        "seed": trial.run.seed,
        "status": trial.status,
        "reached": "" if trial.reached is None else str(trial.reached).lower(),
        "step": _rounded(trial.step, 1),
        "accuracy": _rounded(trial.accuracy, 4),
        "appearance": _rounded(trial.appearance, 4),
        "videos": trial.videos,
        "chosen": str(search.chosen.get(trial.arm) is trial).lower(),
    }


def text_table(search: Search) -> TextTable:
    """The table for people: the chosen rates are marked."""
    rows = []
    for trial in search.trials:
        rates = ", ".join(f"{key} {rate:g}" for key, rate in trial.rates.items())
        chosen = "chosen" if search.chosen.get(trial.arm) is trial else ""
        if trial.accuracy is None:
            rows.append((trial.arm, rates, trial.status.partition(": ")[0], "", "", "", chosen))
            continue
        reached = "yes" if trial.reached else "no"
        numbers = (f"{trial.step:.0f}", f"{100 * trial.accuracy:.1f}", f"{trial.appearance:.4f}")
        rows.append((trial.arm, rates, reached, *numbers, chosen))
    arms = [trial.arm for trial in search.trials]
    return TextTable(
        name=search.stack,
        title=f"Learning rates, stack {search.stack}, on {search.motion}",
        header=("Arm", "Rates", "Reached", "Step", "Accuracy, %", "Appearance", ""),
        rows=rows,
        rules=frozenset(place for place in range(1, len(arms)) if arms[place] != arms[place - 1]),
        notes=[f"Compared at an appearance of {search.threshold:g}, training seed {_seed(search)}.", *search.remarks],
        left=frozenset({0, 1, 2, 6}),
    )


def _seed(search: Search) -> int:
    return search.trials[0].run.seed


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)
