"""One evaluation: a test set's videos, made where they are missing, read back from disk and scored in one pass.

A folder `evaluation/NNNNNN/` holds `videos/`, `scores.csv` with a row per video and `summary.json`. While it is
being made, each process appends its rows to a file of its own, so that an evaluation that was interrupted goes on, and
several processes share the videos.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from vmc.data.clips import Clip, check_readable, check_token, fill
from vmc.data.frames import resize_and_crop
from vmc.data.prompts import Prompt, check_test_set
from vmc.data.video import read_frames
from vmc.evaluation.files import (
    SUMMARY,
    Known,
    RowsSoFar,
    read_known,
    sha256_of,
    write_scores_and_summary,
)
from vmc.evaluation.generation import video_names
from vmc.metrics.base import Record
from vmc.metrics.columns import Column, Row
from vmc.metrics.declared import COLUMNS, told_columns
from vmc.metrics.statistics import intervals_of_run
from vmc.metrics.suite import Evaluator
from vmc.models.text import check_word_is_read
from vmc.training.experiment import Experiment
from vmc.utils.errors import VmcError
from vmc.utils.files import sweep

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Videos that are scored at a time."""
Maker = Callable[[Sequence[Prompt], Sequence[Path]], Iterator[Path]]
"""Makes the videos of prompts whose files are missing, and gives those files in order, each when it is there."""


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

        Rows that are there already stay, those of other places too. Which videos are made and scored together follows
        from the rows that are there and the places wanted, however often this is cut off and begun again.

        Raises:
            VmcError: the folder holds scores of another protocol, or a video cannot be read.
            Stopped: `stopped` says so; the rows so far are kept.
        """
        wanted = list(range(len(self.prompts))) if places is None else sorted(places)
        protocol, ranks = self.protocol, self.ranks
        known = read_known(folder, protocol)
        standing = self._standing({name: (row, known.videos.get(name)) for name, row in known.rows.items()})
        todo = [place for place in wanted if self.names[place] not in standing]
        if ranks.rank == 0:
            sweep(folder)
        ranks.barrier()  # nobody writes before everybody has read
        parts = self._parts(folder, protocol, todo)
        if todo:
            share = todo[ranks.rank :: ranks.world]
            self._score_share(folder, make, share, parts[ranks.rank], label=f"videos at step {step}")
            if self.stopped():
                raise Stopped
        ranks.barrier()
        if ranks.rank == 0:
            self._conclude(folder, known, parts, [self.names[place] for place in wanted], step=step)
        ranks.barrier()
        return json.loads((folder / SUMMARY).read_text(encoding="utf-8"))

    def _parts(self, folder: Path, protocol: Mapping[str, Any], todo: Sequence[int]) -> list[RowsSoFar]:
        """The rows so far, of each process; those of other videos, which had other company, do not count."""
        names = "\n".join(self.names[place] for place in todo)
        about = {"protocol": protocol, "of": hashlib.sha256(names.encode()).hexdigest(), "processes": self.ranks.world}
        return [RowsSoFar(folder / f".rows-{rank}.jsonl", about) for rank in range(self.ranks.world)]

    def _score_share(self, folder: Path, make: Maker, places: Sequence[int], part: RowsSoFar, *, label: str) -> None:
        files = [self._file(folder, self.names[place]) for place in places]
        scored = self._standing(part.read())
        there = all_files(make, [self.prompts[place] for place in places], files)
        for first in range(0, len(places), AT_ONCE):
            together = places[first : first + AT_ONCE]
            found = list(islice(there, len(together)))
            if len(found) < len(together):  # asked to stop
                return
            # A batch is scored whole, or not at all: those beside it have a part in a score's last bits.
            if not all(self.names[place] in scored for place in together):
                part.append(self._rows(list(zip(found, together, strict=True))))

    def _file(self, folder: Path, name: str) -> Path:
        return (self.videos or folder / "videos") / name

    def _standing(self, rows: Mapping[str, tuple[Row, str | None]]) -> dict[str, Row]:
        """Rows that are of the videos as they are now: a video that somebody else has made may be replaced."""
        if self.videos is None:
            return {name: row for name, (row, _) in rows.items()}
        standing, changed = {}, list[str]()
        for name, (row, digest) in rows.items():
            file = self._file(self.videos, name)
            if file.is_file() and digest in (None, sha256_of(file)):
                standing[name] = row
            elif file.is_file():
                changed.append(name)
        if changed and self.ranks.rank == 0:
            log.warning("%d videos have changed since they were scored (%s): again", len(changed), ", ".join(changed))
        return standing

    def _rows(self, videos: Sequence[tuple[Path, int]]) -> list[tuple[Row, str | None]]:
        """Scores of a few videos, taken from the frames as decoded from their files."""
        self.evaluator.reset()
        digests = [sha256_of(file) if self.videos is not None else None for file, _ in videos]
        frames = [self._frames(file) for file, _ in videos]
        records = [_record(self.prompts[place], self.names[place]) for _, place in videos]
        self.evaluator.update(frames, records)
        return list(zip(self.evaluator.rows(), digests, strict=True))

    def _frames(self, file: Path) -> Tensor | None:
        try:
            return read_frames(file)
        except VmcError as error:
            if not self.unreadable_is_wrong:
                raise
            log.warning("%s counts as wrong: %s", file.name, error)
            return None

    def _conclude(
        self, folder: Path, known: Known, parts: Sequence[RowsSoFar], wanted: Sequence[str], *, step: int
    ) -> None:
        """Bring table and summary to what has been scored, and remove the rows so far."""
        new = {name: found for part in parts for name, found in part.read().items()}
        rows = {**known.rows, **{name: row for name, (row, _) in new.items()}}
        if lacking := [name for name in wanted if name not in rows]:
            raise VmcError(f"{folder} has no scores of {len(lacking)} videos ({lacking[0]}, ...); run this again")
        videos = {**known.videos, **{name: digest for name, (_, digest) in new.items() if digest}}
        scores = [rows[name] for name in self.names if name in rows]
        columns = self.evaluator.columns
        metrics = summarise(scores, columns=columns)
        summary = {
            "step": step,
            "videos": len(scores),
            "of": len(self.prompts),
            "metrics": metrics,
            "stop": {"appearance": self.threshold, "reached": has_fallen(metrics, self.threshold)},
            "protocol": self.protocol,
        }
        summary |= told_columns(columns, summary)
        write_scores_and_summary(folder, scores, summary, videos=videos, columns=columns)
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


def summarise(scores: Sequence[Row], *, columns: Sequence[Column] = COLUMNS) -> dict[str, dict[str, float | None]]:
    """Every metric of one model with its interval, as `summary.json` holds it."""
    intervals = intervals_of_run(pd.DataFrame(list(scores)), columns=columns)
    return {name: interval.to_json() for name, interval in intervals.items()}


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """The metrics of a summary for the terminal, a line each: name, value, 95 % interval."""
    lines = []
    for name, part in summary["metrics"].items():
        if part["value"] is not None:
            ends = "" if part["low"] is None else f"   [{part['low']:.4f}, {part['high']:.4f}]"
            lines.append(f"{name:<20}{part['value']:.4f}{ends}")
    return lines


def _record(prompt: Prompt, name: str) -> Record:
    return Record(video=name, prompt=prompt.text, subject=prompt.subject, language=prompt.language, seed=prompt.seed)


def all_files(make: Maker, prompts: Sequence[Prompt], files: Sequence[Path]) -> Iterator[Path]:
    """Each file in order, when it is there; fewer where the making of those that are missing ends early."""
    there = [file.exists() for file in files]
    made = iter(()) if all(there) else make(prompts, files)
    for file, exists in zip(files, there, strict=True):
        if not exists and next(made, None) is None:
            return
        yield file


def gather_clips(experiment: Experiment) -> list[Clip]:
    """A run's clips, exemplars first, their captions filled in.

    Raises:
        VmcError: a clip is missing, or an exemplar's caption lacks the token.
    """
    motion, words = experiment.motion, experiment.token.words
    exemplars = experiment.data.source.exemplars(label=motion.label, caption=motion.caption, seed=experiment.seed)
    filled = [
        [replace(clip, caption=fill(clip.caption, **words)) for clip in clips]
        for clips in (exemplars, experiment.regularization.clips())
    ]
    check_token(filled[0], words["token"])
    return [*filled[0], *filled[1]]


def check_texts(experiment: Experiment, clips: Sequence[Clip]) -> None:
    """No prompt and no caption, regularization clips' aside, may use a token's word behind what the text encoder reads.

    Raises:
        VmcError: naming the clip or the prompt, and its number of tokens.
    """
    texts = {f"the caption of clip {clip.path}": clip.caption for clip in clips if clip.role != "regularization"}
    texts |= {f"prompt {number}": prompt.text for number, prompt in enumerate(experiment.prompts, start=1)}
    check_word_is_read(experiment.model, experiment.token, texts)


def readable(clips: Sequence[Clip], *, skip_bad: bool) -> tuple[list[Clip], int]:
    """The clips that can be read, exemplars first, and the number of exemplars.

    Raises:
        VmcError: one cannot be read, or with `skip_bad` none of a role.
    """
    kept = [
        check_readable(part, skip_bad=skip_bad) if part else []
        for part in ([clip for clip in clips if clip.role == role] for role in ("exemplar", "regularization"))
    ]
    return [*kept[0], *kept[1]], len(kept[0])


def check_evaluation(experiment: Experiment) -> None:
    """All that would stop an evaluation is found before any training.

    Raises:
        VmcError: a network is missing or damaged, the motion's class is unknown, or the threshold of the appearance
            score cannot be held.
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
    experiment: Experiment,
    prompts: Sequence[Prompt],
    *,
    label: str | None,
    clips: Sequence[Clip] | None,
    made_with: Mapping[str, Any] | None = None,
    **more: Any,
) -> Evaluation:
    """A test set and the metrics of one motion.

    Args:
        experiment: its metrics, and what its videos are made with.
        prompts: the test set.
        label: the motion's class; None where the classifier has none.
        clips: those of the run, which videos are compared with; None leaves out what needs them.
        made_with: what the videos depend on besides model and prompt, where the experiment does not make them.
        more: see `vmc.evaluation.score.Evaluation`.
    """
    suite, size = experiment.suite, experiment.data.size
    assert suite is not None
    evaluator = suite.evaluator(
        target=label,
        exemplars=None if clips is None else ClipFrames(clips, "exemplar", size),
        regularization=() if clips is None else ClipFrames(clips, "regularization", size),
        cache=experiment.cache / "descriptors",
        device=experiment.hardware.device,
    )
    if made_with is None:
        latents, fps = list(experiment.latent_shape), experiment.data.fps
        made_with = {"sampler": asdict(experiment.sampler), "latents": latents, "fps": fps}
    return Evaluation(
        prompts=prompts,
        evaluator=evaluator,
        made_with=made_with,
        threshold=experiment.threshold,
        **more,
    )


@dataclass(frozen=True)
class ClipFrames:
    """Names and frames_FCHW of a run's clips, as metrics compare videos with them: whole, at the training crop, not
    augmented. Each is read anew whenever it is its turn.

    Args:
        clips: of the run.
        role: of those that are meant.
        size: px, the training crop.
    """

    clips: Sequence[Clip]
    role: str
    size: int

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        for clip in self.clips:
            if clip.role == self.role:
                yield clip.path.name, resize_and_crop(read_frames(clip.path), self.size)
