"""The arms of a sweep: which are done and skipped, which are the same run, and the table of all at the end."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmc.runs.folder import RunFolder, holder, shown_state
from vmc.runs.resuming import differing_keys, is_done
from vmc.utils.errors import VmcError
from vmc.utils.files import csv_text, write_text
from vmc.utils.tables import align

METRICS = ("motion_accuracy", "appearance", "copy_score")
STATE = ("status", "reason", "step", "seconds")
COLUMNS = ("arm", "motion", "seed", *STATE, "videos", *METRICS, "folder")
WAITING = {"status": "waiting", "reason": "not begun"}
WIDEST = 40
"""Characters of a reason in the printed table; the file has all of it."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One run of a sweep.

    Args:
        run: its folder and resolved config.
        overrides: the overrides from which the launcher composes it.
    """

    run: RunFolder
    overrides: Sequence[str]

    @property
    def name(self) -> str:
        """Arm, motion and seed."""
        config = self.run.config
        return f"{config['arm']} {config['motion']['name']} seed{config['seed']}"

    def settled(self) -> dict[str, Any] | None:
        """The state of an arm that need not or cannot be run: done, running elsewhere, or refused; else None."""
        try:
            state = self.run.check()
        except VmcError as error:
            return {"status": "failed", "reason": str(error)}
        if is_done(state, self.run.config["steps"]):
            return state
        if by := holder(self.run.path):
            return {**state, "status": "running", "reason": f"another process is writing it ({by})"}
        return None

    def row(self, returned: Mapping[str, Any] | None) -> dict[str, Any]:
        """Its row of the table: the state in its folder, updated by what its job returned, and the main metrics of its
        newest evaluation.
        """
        config, folder = self.run.config, self.run.path
        state = {**(shown_state(folder) or WAITING), **(returned or {})}
        known = {key: state[key] for key in STATE if state.get(key) is not None}
        row = {"arm": config["arm"], "motion": config["motion"]["name"], "seed": config["seed"], **known}
        summaries = sorted((folder / "evaluation").glob("[0-9][0-9][0-9][0-9][0-9][0-9]/summary.json"))
        if summaries:
            summary = json.loads(summaries[-1].read_text())
            values = {name: summary["metrics"].get(name, {}).get("value") for name in METRICS}
            row |= {"videos": summary["videos"], **{name: one for name, one in values.items() if one is not None}}
        return {**row, "folder": str(folder)}


def distinct(arms: Sequence[Arm]) -> list[Arm]:
    """The arms without duplicates (five overlays of Table 2 are the method itself); a VmcError if two different ones
    would write to one folder.
    """
    kept: dict[Path, Arm] = {}
    for arm in arms:
        other = kept.setdefault(arm.run.path.absolute(), arm)
        if different := differing_keys(other.run.config, arm.run.config, free=("output", "logger")):
            raise VmcError(
                f"two different arms would write {arm.run.path} ({', '.join(different)} differ); name them apart,"
                f" as in \"arm='{arm.run.config['arm']}-${{{different[0]}}}'\", or sweep over one of them only"
            )
    return list(kept.values())


def write_table(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table as CSV, atomically, unless the file holds it already."""
    text = csv_text(COLUMNS, rows)
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        write_text(file, text)


def table_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table for the terminal: a line per arm, the number of arms by status, and the reason of each failure."""
    shown = [name for name in COLUMNS if name != "folder" and any(name in one for one in rows)]
    lines = align([shown, *([_cell(name, one.get(name)) for name in shown] for one in rows)], left=range(len(shown)))
    counts = Counter(one["status"] for one in rows)
    lines.append(f"{len(rows)} arms: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    if any("appearance" in one for one in rows):
        lines.append("Scores are those of each run's newest evaluation; vmc.report compares arms at one appearance.")
    return lines + [f"{one['folder']} failed: {one['reason']}" for one in rows if one["status"] == "failed"]


def _cell(name: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if name == "seconds" else f"{value:.4f}"
    text = "" if value is None else " ".join(str(value).split())
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
