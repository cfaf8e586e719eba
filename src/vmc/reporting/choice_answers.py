"""The answers that a page of `choice_page.py` exported: read, looked up in its key, summed up in table and figure."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vmc.metrics.columns import Measure
from vmc.metrics.statistics import Interval, crossed_interval
from vmc.reporting.figures.common import MUTED, Drawn, arm_styles, draw_intervals
from vmc.reporting.formatting import NOTHING, format_interval, format_number, to_csv
from vmc.reporting.loaded_runs import one_line
from vmc.reporting.report import Report
from vmc.reporting.table_arms import arm_name, arm_order
from vmc.utils.errors import VmcError
from vmc.utils.tables import TextTable

MOTION, TEXT = "motion", "text"
"""What people are asked about: beside the first question stands an exemplar, beside the second the prompt."""
ASKED = {MOTION: "asked_motion", TEXT: "asked_text"}
"""Columns of the key that hold the words of the questions, empty where one is not asked."""
KEY_COLUMNS = (
    *("page", "pair", "video", "arm", "motion", "seed", "subject", "prompt", "prompt_seed", "step", "source"),
    *ASKED.values(),
)
ANSWER_COLUMNS = ("page", "rater", "name", "question", "pair", "left", "right", "chosen", "seconds")
CHOSEN = Measure("chosen", "Chosen, %", how="share", digits=1)
ALL = "all"  # all motions, in the table


def read_key(file: Path) -> list[dict[str, str]]:
    """Read the key of a page: the rows of its CSV. Raises a VmcError where the file is no key."""
    rows = _read_rows(file, KEY_COLUMNS, "choice.key must be the choice_key.csv of the report that made the page")
    for (_, pair), videos in _by_pair(rows).items():
        if any(len(videos) != 2 or len({video[name] for video in videos}) != 2 for name in ("video", "arm")):
            raise VmcError(f"{file} has other than two videos of two arms for pair {pair}; take the file as it was")
    return rows


def _by_pair(rows: Iterable[Mapping[str, str]]) -> dict[tuple[str, str], list[Mapping[str, str]]]:
    """Group the rows of a key by page and pair."""
    pairs: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in rows:
        pairs.setdefault((row["page"], row["pair"]), []).append(row)
    return pairs


def read_study(answers: str | Sequence[str], key_file: Path) -> tuple[TextTable, str]:
    """Make the table of a study and its CSV, from CSVs that are named one by one or by their folder."""
    files = list[Path]()
    for path in map(Path, [answers] if isinstance(answers, str) else answers):
        if not (inside := sorted(path.glob("*.csv")) if path.is_dir() else [path]):
            raise VmcError(f"choice.answers names {path}, which holds no CSV; give the files that the page exported")
        files += inside
    key = read_key(key_file)
    return choice_table(read_answers(files, key, source=key_file), key)


def read_answers(files: Iterable[Path], key: Sequence[Mapping[str, str]], *, source: Path) -> pd.DataFrame:
    """Read the answers of all files and look each up in the key, which was read from `source`.

    Columns: `page`, `rater`, `question`, `pair`, `arm` (the one that was chosen), `arms` (both), `motion`, `subject`,
    `left` (whether the chosen video stood there) and `seconds`.

    Raises:
        VmcError: a file is no export, is of another page, names what the key does not have, or gives an answer again.
    """
    known = _by_pair(key)
    pages = {page for page, _ in known}
    found, given = list[dict[str, Any]](), dict[tuple[str, ...], str]()
    for file in files:
        for line, row in enumerate(_read_rows(file, ANSWER_COLUMNS, "give a CSV as the page exports it"), start=2):
            where = f"{file}, line {line}"
            if row["page"] not in pages:
                raise VmcError(
                    f"{where} is of page {row['page']!r}, which {source} does not know; give its own choice.key"
                )
            if (videos := known.get((row["page"], row["pair"]))) is None:
                raise VmcError(
                    f"{where} has pair {row['pair']!r}, which {source} does not know; take the file as exported"
                )
            found.append(_answer(row, {one["video"]: one for one in videos}, where))
            if (place := tuple(row[name] for name in ("page", "rater", "question", "pair"))) in given:
                raise VmcError(
                    f"{where} has rater {row['rater']}'s answer to pair {row['pair']} ({row['question']}) again, after"
                    f" {given[place]}; give each person's last file alone"
                )
            given[place] = where
    return pd.DataFrame(found)


def _answer(row: Mapping[str, str], videos: Mapping[str, Mapping[str, str]], where: str) -> dict[str, Any]:
    one = next(iter(videos.values()))
    try:
        seconds = float(row["seconds"])
    except ValueError:
        seconds = math.nan
    faults = {
        "rater": not row["rater"],
        "question": row["question"] not in ASKED or not one[ASKED[row["question"]]],
        "left": row["left"] not in videos,
        "right": row["right"] not in videos or row["right"] == row["left"],
        "chosen": row["chosen"] not in videos,
        "seconds": not 0 <= seconds < math.inf,
    }
    for name in (name for name, wrong in faults.items() if wrong):
        raise VmcError(f"{where} has {row[name]!r} as {name}, which cannot be for its pair; take the file as exported")
    return {
        **{name: row[name] for name in ("page", "rater", "question", "pair")},
        "arm": videos[row["chosen"]]["arm"],
        "arms": tuple(sorted((video["arm"] for video in videos.values()), key=arm_order)),
        **{"motion": one["motion"], "subject": one["subject"], "left": row["chosen"] == row["left"]},
        "seconds": seconds,
    }


def _read_rows(file: Path, columns: Sequence[str], remedy: str) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows, head = list(reader), list(reader.fieldnames or ())
    except (OSError, ValueError, csv.Error) as error:
        raise VmcError(f"{file} does not read as a table ({one_line(error)}); {remedy}") from error
    if not set(columns) <= set(head) or any(None in row or None in row.values() for row in rows):
        raise VmcError(f"{file} has other columns than {', '.join(columns)} in each line; {remedy}")
    if not rows:
        raise VmcError(f"{file} holds no line below its head; leave it out, or {remedy}")
    return rows


# --- the table -------------------------------------------------------------------------------------------------------

NOTES = (
    "Each answer counts once: the share is of the answers that were given. There are no ties, as the page takes none;"
    " what was not answered is left out, and Answers says of how many.",
    "Intervals are of 95 % and take raters and subjects as crossed clusters; all answers of one rater, and all on one"
    " subject, may lean the same way. Those of a single rater or subject speak of it alone.",
    "50 % is no preference; * marks an interval that leaves it out.",
    "κ is Fleiss' kappa over pairs that several raters have answered: 1 is full agreement, 0 that of chance.",
)


def choice_table(answers: pd.DataFrame, key: Sequence[Mapping[str, str]]) -> tuple[TextTable, str]:
    """Make the table of how often each arm was chosen, over all motions and in each of them; and its CSV."""
    pairs = pd.DataFrame(key).drop_duplicates(["page", "pair"])
    said = [row for row in key if row["page"] in set(answers["page"])]
    words = dict.fromkeys(f"{one}: {row[column]}" for one, column in ASKED.items() for row in said if row[column])
    rows, records, rules = list[list[str]](), list[dict[str, Any]](), set[int]()
    groups: Any = answers.groupby(["arms", "question"])
    for (arms, question), group in groups:
        # Everybody who has answered anything on a page was asked all of it.
        raters = answers.loc[answers["page"].isin(group["page"]), ["page", "rater"]].drop_duplicates()
        motions = sorted(group["motion"].unique())
        rules.add(len(rows))
        for motion in [ALL, *motions] if len(motions) > 1 else motions:
            inside, asked = ((one if motion == ALL else one[one["motion"] == motion]) for one in (group, pairs))
            expected = int(raters["page"].map(asked["page"].value_counts()).fillna(0).sum())
            records.append({"question": question, "motion": motion, **_record(inside, arms, expected)})
            rows.append(_cells(records[-1]))
    left = format_number(100 * answers["left"].mean(), 1)
    text = TextTable(
        name="choice",
        title="User study: which of two videos people chose",
        header=["Question", "Motion", "Arm", "Chosen, %", "Against", "Chosen, %", "Raters", "Answers", "Agreement"],
        rows=rows,
        rules=frozenset(rules),
        notes=[*words, *NOTES, f"{left} % of all choices fell on the video on the left; sides were drawn by chance."],
        left=frozenset({0, 1, 2, 4}),
    )
    return text, to_csv(records)


def _record(answers: pd.DataFrame, arms: Sequence[str], expected: int) -> dict[str, Any]:
    """Sum up answers on two arms as a line of the CSV."""
    hits_N = np.asarray(answers["arm"] == arms[0], dtype=np.float64)
    low, high = crossed_interval(hits_N, list(answers["rater"]), list(answers["subject"]))
    share, (pairs, kappa) = float(hits_N.mean()), agreement(answers)
    return {
        **{"arm": arms[0], "chosen": share, "chosen_low": low, "chosen_high": high},
        **{"other": arms[1], "other_chosen": 1 - share, "other_chosen_low": 1 - high, "other_chosen_high": 1 - low},
        "leaves_out_half": low > 0.5 or high < 0.5,  # False where there is no interval
        "raters": answers["rater"].nunique(),
        "subjects": answers["subject"].nunique(),
        "answers": len(answers),
        "not_answered": expected - len(answers),
        "kappa": kappa,
        "pairs_of_several": pairs,
        "chosen_left": float(answers["left"].mean()),
        "median_seconds": float(answers["seconds"].median()),
    }


def _cells(record: Mapping[str, Any]) -> list[str]:
    """Format a line of the CSV as a row of the table."""
    cells = [record["question"], record["motion"].replace("_", " ")]
    for arm, chosen in (("arm", "chosen"), ("other", "other_chosen")):
        interval = Interval(record[chosen], record[f"{chosen}_low"], record[f"{chosen}_high"], "")
        cells += [arm_name(record[arm]), format_interval(interval, CHOSEN) + "*" * bool(record["leaves_out_half"])]
    answered = f"{record['answers']} of {record['answers'] + record['not_answered']}"
    alike = NOTHING if math.isnan(record["kappa"]) else f"κ = {format_number(record['kappa'], 2)}"
    return [*cells, str(record["raters"]), answered, alike]


def agreement(answers: pd.DataFrame) -> tuple[int, float]:
    """Count pairs that several raters have answered, and compute Fleiss' kappa over them; NaN where nothing varies.

    Fleiss (1971, "Measuring nominal scale agreement among many raters") has as many raters for each item; with other
    numbers, each pair's agreement counts alike and chance is that of all their answers.
    """
    counts = answers.groupby(["page", "pair"])["arm"].value_counts().unstack(fill_value=0).to_numpy(dtype=float)
    counts = counts[counts.sum(1) > 1]
    if not len(counts):
        return 0, math.nan
    raters_N = counts.sum(1)
    alike = float(((counts * (counts - 1)).sum(1) / (raters_N * (raters_N - 1))).mean())
    chance = float(((counts.sum(0) / counts.sum()) ** 2).sum())
    return len(counts), (alike - chance) / (1 - chance) if chance < 1 else math.nan


def choice(report: Report) -> Iterator[Drawn]:
    """Draw how often each arm was chosen, a line for each row of the study's table, where there are answers."""
    if report.study is None:
        return
    rows = list(csv.DictReader(io.StringIO(report.study[1])))
    figure = Figure(figsize=(7, 1.3 + 0.42 * len(rows)), layout="constrained")
    axes, drawn = figure.subplots(), arm_styles(row["arm"] for row in rows)
    said = [f"{row['question']}, {row['motion'].replace('_', ' ')} ({row['answers']} answers)" for row in rows]
    against = [f"{arm_name(row['arm'])} against {arm_name(row['other'])}" for row in rows]
    several = len(set(against)) > 1
    names = [f"{one}: {text}" if several else text for one, text in zip(against, said, strict=True)]
    ends = [[100 * float(row[name] or "nan") for name in ("chosen_low", "chosen", "chosen_high")] for row in rows]
    draw_intervals(axes, ends, names, [drawn[row["arm"]].color for row in rows], markersize=7)
    axes.axvline(50, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    axes.set(xlim=(0, 100), xlabel="chosen, %" if several else f"{against[0]}: chosen, %")
    caption = (
        "User study: how often an arm was chosen against the other, with intervals of 95 % that take raters and"
        " subjects as crossed clusters. The dashed line is no preference."
    )
    yield Drawn(figure=figure, caption=caption)
