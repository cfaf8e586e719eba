"""The page of a user study, on which people choose between videos of two arms.

`choice_answers.py` reads what they chose.
The page knows pairs of videos under names that say nothing. Which arm made which stands in a key outside its folder.
"""

import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

import pandas as pd

from vmc.data.video import read_frames
from vmc.reporting.choice_answers import ANSWER_COLUMNS, ASKED, KEY_COLUMNS, MOTION, read_key
from vmc.reporting.formatting import to_csv
from vmc.reporting.gallery import render_page, shape_of, write_exemplar
from vmc.reporting.loaded_runs import FoundRun
from vmc.reporting.report import Report
from vmc.reporting.table_arms import arm_name, arm_order
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint
from vmc.utils.randomness import derive_seed

log = logging.getLogger(__name__)

KEY, FOLDER, PAGE = "choice_key.csv", "choice", "choice.html"
"""Of a report: which arm made which video; the folder that is sent to people, and the page in it."""
ANY_DATE = 946684800  # of all videos of a page, in seconds: their files would tell by it which were made together


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two videos of one motion, training seed, prompt and seed, by their arms."""

    run: FoundRun
    row: Mapping[str, Any]  # of `scores.csv`, of either
    videos: Mapping[str, Path]
    steps: Mapping[str, int]

    @property
    def place(self) -> tuple[str, int, str, str, int]:
        """What identifies it among all pairs of two arms."""
        subject, prompt = self.row["subject"] or self.row["prompt"], self.row["prompt"]
        return (*self.run.place, str(subject), str(prompt), -1 if self.row["seed"] is None else int(self.row["seed"]))

    @property
    def text(self) -> str:
        """The prompt as people read it: the motion's name in place of the word that stands for it."""
        config, prompt = self.run.config, str(self.row["prompt"])
        word = (config.get("token") or {}).get("word")
        label = str(config["motion"].get("label") or self.run.motion.replace("_", " "))
        return re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", lambda _: f"“{label}”", prompt) if word else prompt


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the user study: what it shows and asks."""

    arms: tuple[str, str]
    asked: Mapping[str, str]  # the words of each question, in the order in which they are asked
    pairs: Sequence[Pair]
    named: bool = False  # whether people are asked for a name

    def write(self, folder: Path, *, earlier: Path) -> None:
        """Write the page with its videos, and the key; the key of an earlier report's pages is kept in it.

        A VmcError where no exemplar of a motion that is asked about reads.
        """
        contents = [[fingerprint(pair.videos[arm]) for arm in self.arms] for pair in self.pairs]
        marks = [(pair.place, content) for pair, content in zip(self.pairs, contents, strict=True)]
        page = opaque_name("page", *self.arms, str(dict(self.asked)), str(marks))
        (folder / FOLDER / "videos").mkdir(parents=True)
        examples = _write_examples(self.pairs, folder / FOLDER) if MOTION in self.asked else {}
        shown, rows = list[dict[str, Any]](), list[dict[str, Any]]()
        for pair, content in zip(self.pairs, contents, strict=True):
            name, files = opaque_name(page, *pair.place), dict[str, str]()
            for arm, mark in zip(self.arms, content, strict=True):
                # Of what a video shows, not of its arm: who knows the arms cannot tell them by computing names. Equal
                # videos need two names, and have no arm to be told.
                video = opaque_name(name, mark, *([arm] if content[0] == content[1] else []))
                files[video] = f"videos/{video}{pair.videos[arm].suffix.lower()}"
                asked_words = (self.asked.get(one, "") for one in ASKED)
                values = (*pair.place, pair.steps[arm], pair.videos[arm], *asked_words)
                rows.append(dict(zip(KEY_COLUMNS, (page, name, video, arm, *values), strict=True)))
            about = {"id": name, "text": pair.text, "example": examples.get(pair.run.motion)}
            shown.append(about | {"videos": dict(sorted(files.items()))})
        shown.sort(key=lambda one: one["id"])
        for row in sorted(rows, key=lambda row: row["video"]):  # in an order that tells nothing either
            file = folder / FOLDER / "videos" / f"{row['video']}{row['source'].suffix.lower()}"
            shutil.copyfile(row["source"], file)
            os.utime(file, (ANY_DATE, ANY_DATE))
        asked = [{"id": question, "text": text} for question, text in self.asked.items()]
        study = {"page": page, "questions": asked, "named": self.named, "columns": ANSWER_COLUMNS, "pairs": shown}
        study |= shape_of(folder / FOLDER / file for file in shown[0]["videos"].values())
        text = render_page("choice.html", ("player.js", "choice.js"), study=study)
        (folder / FOLDER / PAGE).write_text(text, encoding="utf-8", newline="\n")
        kept = [row for row in read_key(earlier / KEY) if row["page"] != page] if (earlier / KEY).is_file() else []
        (folder / KEY).write_text(to_csv([*kept, *rows]), encoding="utf-8", newline="\n")

    def describe(self, output: Path) -> str:
        """Describe in a sentence what was written into a report."""
        arms = " and ".join(map(arm_name, self.arms))
        where = f"{output / FOLDER / PAGE}: {len(self.pairs)} pairs of {arms}"
        return f"{where}; send the folder {output / FOLDER} to people, and keep {output / KEY} to yourself"


def find_page(
    report: Report, *, arms: Any, questions: Any, words: Mapping[str, Any], pairs: int | None, named: bool
) -> Page:
    """Make the page of two arms of a report, each at the evaluation that the report shows.

    A VmcError where the choice cannot be, or the arms have no video in common.

    Args:
        arms: names of two arms.
        questions: what is asked, `motion`, `text` or both, by the `words` of each.
        pairs: how many are shown, evenly over motions and of as many subjects as there are; None takes all.
        named: whether people are asked for a name.
    """
    have = [arm for arm, result in report.results.items() if result.matched]
    if not isinstance(arms, list) or len(arms) != 2 or arms[0] == arms[1]:
        raise VmcError(f"choice.arms is {arms}; give two arms, such as [method,tune_a_video]")
    for arm in (arm for arm in arms if arm not in have):
        raise VmcError(
            f"choice.arms names {arm}, of which no finished run is evaluated; there are {', '.join(have) or 'none'}"
        )
    if not isinstance(questions, list) or not questions or any(one not in tuple(ASKED) for one in questions):
        raise VmcError(f"choice.questions is {questions}; give [motion], [text] or [motion,text]")
    asked = {question: " ".join(str(words[question] or "").split()) for question in dict.fromkeys(questions)}
    if unsaid := [question for question, text in asked.items() if not text]:
        raise VmcError(f"choice.{unsaid[0]} is empty, but choice.questions asks it; give its words")
    one, other = sorted(map(str, arms), key=arm_order)
    found = list(islice(filter(_plays, _spread(list(_pairs(report, one, other)))), pairs))
    if not found:
        raise VmcError(
            f"choice.arms are {one} and {other}, which have no video of one motion, seed and prompt in common"
        )
    return Page(arms=(one, other), asked=asked, pairs=found, named=named)


def _pairs(report: Report, one: str, other: str) -> Iterator[Pair]:
    matches = product(report.results[one].matched, report.results[other].matched)
    for match, beside in ((match, beside) for match, beside in matches if match.run.place == beside.run.place):
        for key, row in match.scored.rows_by_key.items():
            if its := beside.scored.rows_by_key.get(key):
                videos = {one: match.scored.video(str(row["video"])), other: beside.scored.video(str(its["video"]))}
                if all(file.is_file() for file in videos.values()):
                    yield Pair(run=match.run, row=row, videos=videos, steps={one: match.shown, other: beside.shown})


def _plays(pair: Pair) -> bool:
    """Return whether both videos of a pair can be read."""
    try:
        return all(len(read_frames(file, [0])) for file in pair.videos.values())
    except VmcError as error:
        log.warning("a pair is left out of the page: %s", error)
        return False


def _spread(pairs: Sequence[Pair]) -> list[Pair]:
    """Sort pairs into an order that is always the same: motions take turns, of each motion new subjects first."""
    places = [(derive_seed("choice", *pair.place), pair.run.motion, pair.place[2]) for pair in pairs]
    table = pd.DataFrame(places, columns=["drawn", "motion", "subject"]).sort_values("drawn", kind="stable")
    for kind in (["motion", "subject"], ["motion"]):  # the first pair of each kind, then the second of each, and so on
        table = table.assign(turn=table.groupby(kind).cumcount()).sort_values("turn", kind="stable")
    return [pairs[place] for place in table.index]


def _write_examples(pairs: Sequence[Pair], folder: Path) -> dict[str, str]:
    """Write an exemplar of each motion, the first that can be read, and return the names of the files."""
    first: dict[str, FoundRun] = {}
    for pair in pairs:
        first.setdefault(pair.run.motion, pair.run)
    for number, run in enumerate(first.values()):
        file = folder / f"example-{number}.mp4"
        if not any(write_exemplar(path, file, run) for _, path in sorted(run.exemplars.items())):
            raise VmcError(
                f"choice.questions asks about the motion, but no exemplar of {run.path} is here to show it; give"
                " choice.questions=[text], or put the clips back where clips.csv has them"
            )
    return {motion: f"example-{number}.mp4" for number, motion in enumerate(first)}


def opaque_name(*place: int | str) -> str:
    """Return a name for something of a page that says nothing about it and is always the same."""
    return f"{derive_seed('choice', *place):016x}"


def keep_page(earlier: Path, folder: Path) -> None:
    """Copy the page of an earlier report and its key: people may be answering it."""
    if (earlier / KEY).is_file():
        shutil.copyfile(earlier / KEY, folder / KEY)
    if (earlier / FOLDER / PAGE).is_file():
        shutil.copytree(earlier / FOLDER, folder / FOLDER)
