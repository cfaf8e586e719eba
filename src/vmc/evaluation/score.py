"""Scoring a test set: videos are generated where they are missing, read back from disk and scored in one pass.

Training, `vmc.evaluate` and all controls use `Evaluation.score`. A folder `evaluation/NNNNNN/` holds `videos/`,
`scores.csv` with a row for each video, and `summary.json`. Until it is complete, each process appends its rows to a
file of its own, so that several processes can share the videos, and an interrupted evaluation can be continued.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from vmc.data.clips import Clip
from vmc.data.frames import resize_and_crop
from vmc.data.prompts import Prompt, check_test_set
from vmc.data.video import read_frames
from vmc.evaluation.early_stopping import has_fallen
from vmc.evaluation.generation import find_sources, video_names
from vmc.evaluation.score_files import (
    MADE_BY,
    SUMMARY,
    Rows,
    append_rows_so_far,
    check_made_by,
    read_known,
    read_rows_so_far,
    write_scores_and_summary,
)
from vmc.metrics.base import Record, RunContext
from vmc.metrics.columns import Column, Row
from vmc.metrics.scores import COLUMNS, SUITE, extra_columns
from vmc.metrics.statistics import intervals_of_run
from vmc.metrics.suite import Evaluator
from vmc.runs.contact_sheet import contact_sheet
from vmc.training.experiment import Experiment
from vmc.utils.errors import VmcError
from vmc.utils.files import read_json, sha256_of, sweep

log = logging.getLogger(__name__)

AT_ONCE = 16  # videos that are scored at a time
SHOWN = 24  # videos on a contact sheet and in W&B
# Generates the videos of prompts whose files are missing, and yields these files in order, each when it is written.
MakeVideos = Callable[[Sequence[Prompt], Sequence[Path]], Iterator[Path]]


class Interrupted(Exception):  # noqa: N818 - no error
    """An evaluation was stopped before it was complete."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that share the videos."""

    rank: int = 0
    world: int = 1
    barrier: Callable[[], None] = lambda: None  # waits for the others


@dataclass(kw_only=True)
class Evaluation:
    """The test set and the metrics of a run; `score` applies them to one model."""

    prompts: Sequence[Prompt]  # the whole test set; a part of it may be scored
    evaluator: Evaluator
    made_with: Mapping[str, Any]  # what else the videos depend on (sampler, frames, size), for the record
    made_by: str | None = None  # a hash of the model and its weights; None where that is not noted
    threshold: float | None = None  # of the appearance score, at which training stops; None where it does not
    names: Sequence[str] = ()  # of the videos' files; empty names them after their prompts
    videos: Path | None = None  # folder of the videos; None is `videos/` in the evaluation's own
    unreadable_is_wrong: bool = False  # whether a video that cannot be read counts as invalid, in place of stopping
    ranks: Ranks = field(default_factory=Ranks)
    interrupted: Callable[[], bool] = lambda: False  # whether `make` was asked to stop; equal in all processes

    def __post_init__(self) -> None:
        self.names = list(self.names) or video_names(self.prompts)
        if twice := [name for name in self.names if self.names.count(name) > 1]:
            raise VmcError(f"two prompts have the video {twice[0]}; give each prompt a video of its own")

    @property
    def protocol(self) -> dict[str, Any]:
        """All that scores depend on besides the model. Evaluations are comparable if it is equal."""
        text = "\n".join(
            # A prompt without a suite has the hash that it had before there were suites.
            repr((one.text, one.seed, one.subject, one.language, *filter(None, (one.suite, one.then))))
            for one in self.prompts
        )
        made_with, metrics = (json.loads(json.dumps(dict(one))) for one in (self.made_with, self.evaluator.protocol()))
        return {"prompts": hashlib.sha256(text.encode()).hexdigest(), **made_with, **metrics}

    def score(
        self, folder: Path, make: MakeVideos, *, step: int, places: Sequence[int] | None = None
    ) -> dict[str, Any]:
        """Score the videos at these places of the test set (None: all), and give the content of `summary.json`.

        Existing videos and rows are kept.

        Raises:
            VmcError: the folder holds scores of another protocol or of another model, or a video cannot be read.
            Interrupted: `interrupted` says so. The rows so far are kept.
        """
        wanted = list(range(len(self.prompts))) if places is None else sorted(places)
        protocol, ranks = self.protocol, self.ranks
        known = read_known(folder, protocol)
        check_made_by(folder, self.made_by)
        valid = self._valid(known)
        todo = [place for place in wanted if self.names[place] not in valid]
        if ranks.rank == 0:
            sweep(folder)
        ranks.barrier()  # no process writes before all have read
        # Rows so far are used if the same videos were to be scored: videos in one batch affect each other's last bits.
        names = "\n".join(self.names[place] for place in todo)
        about = {"protocol": protocol, "of": hashlib.sha256(names.encode()).hexdigest(), "processes": ranks.world}
        parts = [folder / f".rows-{rank}.json" for rank in range(ranks.world)]
        if self.made_by is not None:
            about[MADE_BY] = self.made_by
        if todo:
            self._score_share(folder, make, todo[ranks.rank :: ranks.world], parts[ranks.rank], about)
            if self.interrupted():
                raise Interrupted
        ranks.barrier()
        if ranks.rank == 0:
            for part in parts:
                known |= read_rows_so_far(part, about)
            self._conclude(folder, known, [self.names[place] for place in wanted], step=step)
        ranks.barrier()
        return json.loads((folder / SUMMARY).read_text(encoding="utf-8"))

    def _valid(self, rows: Rows) -> set[str]:
        """Names of videos whose rows are valid. Given videos may have been replaced since they were scored."""
        if self.videos is None:
            return set(rows)
        there = {name: digest for name, (_, digest) in rows.items() if (self.videos / name).is_file()}
        valid = {name for name, digest in there.items() if digest in (None, sha256_of(self.videos / name))}
        if (changed := [name for name in there if name not in valid]) and self.ranks.rank == 0:
            log.warning("%d videos have changed since they were scored (%s): again", len(changed), ", ".join(changed))
        return valid

    def _score_share(
        self, folder: Path, make: MakeVideos, places: Sequence[int], part: Path, about: Mapping[str, Any]
    ) -> None:
        """Append the rows of these places to the file of rows so far, where it lacks them."""
        files = [(self.videos or folder / "videos") / self.names[place] for place in places]
        scored = self._valid(read_rows_so_far(part, about))
        there = all_files(make, [self.prompts[place] for place in places], files)
        if self.made_by is not None and (begun := list(islice(there, 1))):  # noted as soon as there is a video
            append_rows_so_far(part, about, {})
            there = chain(begun, there)
        for first in range(0, len(places), AT_ONCE):
            together = places[first : first + AT_ONCE]
            found = list(islice(there, len(together)))
            if len(found) < len(together):  # asked to stop
                return
            # A batch is scored as a whole or not at all: videos in one batch affect each other's last bits.
            if not all(self.names[place] in scored for place in together):
                append_rows_so_far(part, about, self._rows(found, together))

    def _rows(self, files: Sequence[Path], places: Sequence[int]) -> Rows:
        """Score a few videos as they are decoded from their files."""
        digests = [sha256_of(file) if self.videos is not None else None for file in files]
        names, prompts = [self.names[place] for place in places], [asdict(self.prompts[place]) for place in places]
        records = [Record(video=name, prompt=one.pop("text"), **one) for name, one in zip(names, prompts, strict=True)]
        rows = self.evaluator.score([self._frames(file) for file in files], records)
        return dict(zip(names, zip(rows, digests, strict=True), strict=True))

    def _frames(self, file: Path) -> Tensor | None:
        try:
            return read_frames(file)
        except VmcError as error:
            if not self.unreadable_is_wrong:
                raise
            log.warning("%s counts as wrong: %s", file.name, error)
            return None

    def _conclude(self, folder: Path, rows: Rows, wanted: Sequence[str], *, step: int) -> None:
        """Write table and summary of all that has been scored, and remove the rows so far."""
        if lacking := [name for name in wanted if name not in rows]:
            raise VmcError(f"{folder} has no scores of {len(lacking)} videos ({lacking[0]}, ...); run this again")
        rows, columns = {name: rows[name] for name in self.names if name in rows}, self.evaluator.columns
        table = [row for row, _ in rows.values()]
        metrics = summarize(table, columns=columns)
        # Of videos that are there already, a summary without a note does not say what made them.
        before = read_json(folder / SUMMARY)
        made_by = self.made_by if before is None else before.get(MADE_BY)
        summary = {
            "step": step,
            "videos": len(rows),
            "of": len(self.prompts),
            "metrics": metrics,
            **suites_of(table, columns=columns),
            "stop": {"appearance": self.threshold, "reached": has_fallen(metrics, self.threshold)},
            **({} if made_by is None else {MADE_BY: made_by}),
            "protocol": self.protocol,
        }
        write_scores_and_summary(folder, rows, {**summary, **extra_columns(columns, summary)}, columns=columns)
        for file in folder.glob(".rows-*.json*"):
            file.unlink()


def summarize(scores: Sequence[Row], *, columns: Sequence[Column] = COLUMNS) -> dict[str, dict[str, float | None]]:
    """Compute every metric of one model with its interval, as `summary.json` holds it."""
    intervals = intervals_of_run(pd.DataFrame(list(scores)), columns=columns)
    return {name: interval.to_json() for name, interval in intervals.items()}


def suites_of(scores: Sequence[Row], *, columns: Sequence[Column]) -> dict[str, Any]:
    """Summaries of each suite of the test set, under `suites`; empty where it has none."""
    names = dict.fromkeys(str(row[SUITE]) for row in scores if row.get(SUITE))
    found = {name: summarize([row for row in scores if row.get(SUITE) == name], columns=columns) for name in names}
    return {"suites": found} if found else {}


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """Format the metrics of a summary for the terminal, then those of its suites: name, value, 95 % interval."""
    lines = []
    for suite, metrics in {"": summary["metrics"], **summary.get("suites", {})}.items():
        lines += [f"{suite}:"] if suite else []
        for name, part in metrics.items():
            if part["value"] is not None:
                ends = "" if part["low"] is None else f"   [{part['low']:.4f}, {part['high']:.4f}]"
                lines.append(f"{'  ' * bool(suite)}{name:<24}{part['value']:.4f}{ends}")
    return lines


def write_sheet(folder: Path, evaluation: Evaluation, places: Sequence[int]) -> list[str]:
    """Write a contact sheet of the first few of these places of the test set, and give the names of their videos."""
    names = [evaluation.names[place] for place in places[:SHOWN]]
    captions = [evaluation.prompts[place].text for place in places[:SHOWN]]
    contact_sheet(folder / "sheet.png", [read_frames(folder / "videos" / name) for name in names], captions)
    return names


def all_files(make: MakeVideos, prompts: Sequence[Prompt], files: Sequence[Path]) -> Iterator[Path]:
    """Give each file in order when it exists, and end early where `make` does."""
    there = [file.exists() for file in files]
    made = iter(()) if all(there) else make(prompts, files)
    for file, exists in zip(files, there, strict=True):
        if not exists and next(made, None) is None:
            return
        yield file


def take_until(stopped: Callable[[], object], files: Iterator[Path]) -> Iterator[Path]:
    """Give files up to the one at which `stopped` says so."""
    for file in files:
        yield file
        if stopped():
            return


def check_evaluation(experiment: Experiment) -> None:
    """Find what would stop an evaluation before any training.

    Raises:
        VmcError: a network is missing or damaged, the motion's class is unknown, or the threshold of the appearance
            score cannot be checked.
    """
    suite, threshold = experiment.suite, experiment.threshold
    assert suite is not None
    suite.check(target=experiment.motion.label)
    if threshold is not None:
        if not any(measure.name == "appearance" for measure in suite.measures):
            raise VmcError(
                f"stop.appearance is {threshold}, but metrics has no appearance model;"
                " give stop.appearance=null, or metrics that have one"
            )
        check_test_set(experiment.prompts)


def build_evaluation(
    experiment: Experiment, prompts: Sequence[Prompt], *, label: str | None, clips: Sequence[Clip] | None, **more: Any
) -> Evaluation:
    """Build the evaluation of a test set by the metrics of an experiment.

    Args:
        experiment: with the metrics, and with what its videos are made with.
        prompts: the test set.
        label: the motion's class; None where the classifier has none.
        clips: of the run, which videos are compared with; None leaves out metrics that need them.
        more: further fields of `Evaluation`, among them `made_with` where the experiment does not make the videos.
    """
    suite, size = experiment.suite, experiment.data.size
    assert suite is not None
    run = RunContext(
        target=label,
        exemplars=None if clips is None else ClipFrames(clips, "exemplar", size),
        regularization=() if clips is None else ClipFrames(clips, "regularization", size),
        cache=experiment.cache / "descriptors",
        device=experiment.hardware.device,
    )
    if "made_with" not in more:
        latents, fps, sources = list(experiment.latent_shape), experiment.data.fps, find_sources(experiment, clips)
        sampler: dict[str, Any] = {"sampler": experiment.sampler.describe()}
        if sources:  # another method, whose scores are to be compared with those of videos that start from noise
            sampler = {"inversion": {**sampler, "exemplars": sources.describe()}}
        more["made_with"] = {**sampler, "latents": latents, "fps": fps}
    return Evaluation(prompts=prompts, evaluator=suite.evaluator(run), **{"threshold": experiment.threshold, **more})


@dataclass(frozen=True)
class ClipFrames:
    """Names and frames_FCHW of a run's clips, for metrics: all frames at the training crop, not augmented.

    Clips are read from disk in each iteration.
    """

    clips: Sequence[Clip]
    role: str
    size: int

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        for clip in self.clips:
            if clip.role == self.role:
                yield clip.name, resize_and_crop(read_frames(clip.path), self.size)
