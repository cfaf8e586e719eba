"""One evaluation: a test set's videos, made where they are missing, read back from disk and scored in one pass.

A folder `evaluation/NNNNNN/` holds `videos/`, `scores.csv` with a row per video and `summary.json`. While it is
being made, each process appends its rows to a file of its own, so that an evaluation that was interrupted goes on, and
several processes share the videos.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from vmc.data.prompts import Prompt
from vmc.data.video import read_frames
from vmc.errors import VmcError
from vmc.files import written_whole
from vmc.metrics.evaluator import Evaluator, Row
from vmc.metrics.record import Record
from vmc.metrics.scores import read_scores, write_scores
from vmc.metrics.statistics import intervals_of_run
from vmc.runs.generation import video_names

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Videos that are scored at a time."""
Maker = Callable[[Sequence[Prompt], Sequence[Path]], Iterator[Path]]
"""Makes the videos of prompts where their files are missing, and gives each file when it is there."""


class Stopped(Exception):  # noqa: N818 - no error
    """An evaluation was asked to stop before it was complete."""


@dataclass(frozen=True)
class Ranks:
    """Which share of the videos is this process's.

    Args:
        rank, world: this process among all.
        barrier: waits for the others.
    """

    rank: int = 0
    world: int = 1
    barrier: Callable[[], None] = lambda: None


@dataclass(kw_only=True)
class Evaluation:
    """The test set and the metrics of a run; `score` applies them to one model.

    Args:
        prompts: the whole test set; a part of it may be scored.
        evaluator: the metrics.
        made_with: what else the videos depend on (sampler, frames, size), for the record.
        copy_threshold: similarity above which a video counts as copied.
        threshold: of the appearance score, at which training stops; None where it does not.
        names: of the videos' files; None names them after their prompts.
        videos: their folder; None is `videos/` in the evaluation's own.
        unreadable_is_wrong: whether a video that cannot be read counts as invalid, in place of stopping.
        ranks: this process among those that share the work.
        stopped: whether `make` left videos out because it was asked to stop; equal in all processes.
    """

    prompts: Sequence[Prompt]
    evaluator: Evaluator
    made_with: Mapping[str, Any]
    copy_threshold: float
    threshold: float | None = None
    names: Sequence[str] = ()
    videos: Path | None = None
    unreadable_is_wrong: bool = False
    ranks: Ranks = field(default_factory=Ranks)
    stopped: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        self.names = list(self.names) or video_names(self.prompts)

    @property
    def protocol(self) -> dict[str, Any]:
        """All that scores depend on besides the model; two evaluations are comparable if it is equal."""
        text = "\n".join(repr((prompt.text, prompt.seed, prompt.subject, prompt.language)) for prompt in self.prompts)
        return {
            "prompts": hashlib.sha256(text.encode()).hexdigest(),
            **json.loads(json.dumps(dict(self.made_with))),
            **json.loads(json.dumps(self.evaluator.protocol())),
        }

    def score(self, folder: Path, make: Maker, *, step: int, places: Sequence[int] | None = None) -> dict[str, Any]:
        """Score the videos at these places of the test set (None: all), and give the content of `summary.json`.

        Rows that are there already stay, those of other places too.

        Raises:
            VmcError: the folder holds scores of another protocol, or a video cannot be read.
            Stopped: `stopped` says so; the rows so far are kept.
        """
        wanted = list(range(len(self.prompts))) if places is None else sorted(places)
        protocol, ranks = self.protocol, self.ranks
        done = self._rows_done(folder, protocol)
        ranks.barrier()  # nobody writes before everybody has read
        todo = [place for place in wanted if self.names[place] not in done]
        if todo:
            self._score_share(folder, make, todo[ranks.rank :: ranks.world], protocol, label=f"videos at step {step}")
            if self.stopped():
                raise Stopped
        ranks.barrier()
        if ranks.rank == 0 and (todo or not (folder / "summary.json").is_file()):
            self._conclude(folder, protocol, step=step)
        ranks.barrier()
        return json.loads((folder / "summary.json").read_text())

    def _score_share(
        self, folder: Path, make: Maker, places: Sequence[int], protocol: Mapping[str, Any], *, label: str
    ) -> None:
        partial = _Partial(folder / f".rows-{self.ranks.rank}.jsonl", protocol)
        files = [(self.videos or folder / "videos") / self.names[place] for place in places]
        place_of = dict(zip(files, places, strict=True))
        waiting: list[Path] = []
        for number, file in enumerate(all_files(make, [self.prompts[place] for place in places], files), 1):
            waiting.append(file)
            # A part of a batch is the last of all, or waits for the rest: a batch's size changes rounding.
            if len(waiting) == AT_ONCE or number == len(files):
                partial.append(self._rows([(file, place_of[file]) for file in waiting]))
                waiting.clear()

    def _rows(self, videos: Sequence[tuple[Path, int]]) -> list[Row]:
        """Scores of a few videos, taken from the frames as decoded from their files."""
        self.evaluator.reset()
        frames = [self._frames(file) for file, _ in videos]
        records = [_record(self.prompts[place], self.names[place]) for _, place in videos]
        self.evaluator.update(frames, records)
        return self.evaluator.rows()

    def _frames(self, file: Path) -> Tensor | None:
        try:
            return read_frames(file)
        except VmcError as error:
            if not self.unreadable_is_wrong:
                raise
            log.warning("%s counts as wrong: %s", file.name, error)
            return None

    def _rows_done(self, folder: Path, protocol: Mapping[str, Any]) -> dict[str, Row]:
        """Rows by video, of `scores.csv` and of what was interrupted."""
        rows: list[Row] = []
        if (folder / "scores.csv").is_file() and (folder / "summary.json").is_file():
            check_protocol(folder, protocol)
            rows += table_rows(read_scores(folder / "scores.csv"))
        for file in sorted(folder.glob(".rows-*.jsonl")):
            rows += _Partial(file, protocol).read()
        return {str(row["video"]): row for row in rows}

    def _conclude(self, folder: Path, protocol: Mapping[str, Any], *, step: int) -> None:
        rows = self._rows_done(folder, protocol)
        scores = [rows[name] for name in self.names if name in rows]
        write_scores(folder / "scores.csv", scores)
        metrics = summarise(scores, copy_threshold=self.copy_threshold)
        summary = {
            "step": step,
            "videos": len(scores),
            "of": len(self.prompts),
            "metrics": metrics,
            "stop": {"appearance": self.threshold, "reached": has_fallen(metrics, self.threshold)},
            "protocol": dict(protocol),
        }
        write_summary(folder, summary)
        for file in folder.glob(".rows-*.jsonl"):
            file.unlink()


def has_fallen(metrics: Mapping[str, Mapping[str, float | None]], threshold: float | None) -> bool | None:
    """Whether the appearance score is at or below the threshold; None without a threshold.

    A model of which not one video is valid has no score, and has fallen.
    """
    if threshold is None:
        return None
    value = metrics.get("appearance", {}).get("value")
    return value is None or value <= threshold


def table_rows(scores: pd.DataFrame) -> list[Row]:
    """The rows of a table of scores."""
    return [{str(name): value for name, value in row.items()} for row in scores.to_dict("records")]


def summarise(scores: Sequence[Row], *, copy_threshold: float) -> dict[str, dict[str, float | None]]:
    """Every metric of one model with its interval, as `summary.json` holds it."""
    intervals = intervals_of_run(pd.DataFrame(list(scores)), copy_threshold=copy_threshold)
    return {name: interval.to_json() for name, interval in intervals.items()}


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """The metrics of a summary for the terminal, a line each: name, value, 95 % interval."""
    lines = []
    for name, part in summary["metrics"].items():
        if part["value"] is not None:
            ends = "" if part["low"] is None else f"   [{part['low']:.4f}, {part['high']:.4f}]"
            lines.append(f"{name:<20}{part['value']:.4f}{ends}")
    return lines


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write `summary.json` whole."""
    with written_whole(folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n")


def check_protocol(folder: Path, protocol: Mapping[str, Any]) -> None:
    """Refuse a folder whose scores were taken with other prompts, another sampler or other metrics.

    Raises:
        VmcError: naming what differs.
    """
    there = json.loads((folder / "summary.json").read_text())["protocol"]
    if different := sorted(key for key in there.keys() | protocol.keys() if there.get(key) != protocol.get(key)):
        raise VmcError(
            f"{folder} holds scores of another protocol ({', '.join(different)} differ);"
            " choose another output, or remove that folder to score anew"
        )


def _record(prompt: Prompt, name: str) -> Record:
    return Record(video=name, prompt=prompt.text, subject=prompt.subject, language=prompt.language, seed=prompt.seed)


def all_files(make: Maker, prompts: Sequence[Prompt], files: Sequence[Path]) -> Iterator[Path]:
    """Files that are there first, then the others as they are made."""
    there = [file.exists() for file in files]
    yield from (file for file, exists in zip(files, there, strict=True) if exists)
    missing = [place for place, exists in enumerate(there) if not exists]
    if missing:
        yield from make([prompts[place] for place in missing], [files[place] for place in missing])


class _Partial:
    """Rows of an evaluation that goes on, appended as they come; the first line says what protocol they are of."""

    def __init__(self, path: Path, protocol: Mapping[str, Any]) -> None:
        self.path = path
        self.head = json.dumps(protocol, sort_keys=True)

    def read(self) -> list[Row]:
        """The whole lines; none where the protocol is another."""
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]  # what follows the last break is unfinished
        return [json.loads(line) for line in lines[1:]] if lines and lines[0] == self.head else []

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows, on disk when this returns."""
        rows = [*(self.read() if self.path.is_file() else []), *rows]
        with written_whole(self.path) as temporary:
            temporary.write_text("\n".join([self.head, *map(json.dumps, rows)]) + "\n", encoding="utf-8")
