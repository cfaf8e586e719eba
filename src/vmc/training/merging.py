"""Runs with scales, `runs=[a:1.0,b:0.6]`, and merging their weights."""

import csv
import hashlib
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import Module

from vmc.models.base import VideoModel
from vmc.models.lora import adapted_parameter, merge
from vmc.models.text import TextEncoder
from vmc.models.token import MOTION, MotionToken, Token
from vmc.runs.earlier_versions import read_config
from vmc.runs.folder import find_weights
from vmc.training.tuned_weights import FIRST_FAMILY, Delta, is_row, row_name
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint

LARGEST = 100.0  # scale; far smaller ones leave nothing visible of the base model
LONGEST = 100  # characters in the name of a folder
WRITE = "write runs=[RUN:SCALE,...], such as runs=[outputs/a:1.0,outputs/b:0.6]"


@dataclass(frozen=True, kw_only=True)
class ScaledRun:
    """A run's weights with a factor for their difference from the base model."""

    path: Path  # the run's folder
    weights: Path  # a file of its `weights/`
    scale: float = 1.0  # 1 as it was trained, 0 the base model, below 0 away from what was learned

    @property
    def step(self) -> int:
        """The training step of the weights."""
        return int(self.weights.stem)

    @property
    def motion(self) -> str:
        """The name of the run's motion."""
        motion = read_config(self.path).get("motion")
        return str(motion["name"]) if isinstance(motion, Mapping) and motion.get("name") else self.path.name

    @property
    def label(self) -> str:
        """Motion and scale, for names of folders: `swiping_down@0.6`."""
        return f"{self.motion}@{self.scale:g}"


def name_of_runs(runs: Sequence[ScaledRun]) -> str:
    """A name for a folder, such as `swiping_down@1+shaking_hand@0.6`; empty without runs."""
    return re.sub(r"[^\w.@+-]+", "_", "+".join(run.label for run in runs))[:LONGEST]


def read_runs(given: Any) -> list[ScaledRun]:
    """Find the runs that a config names.

    Args:
        given: a text `[RUN:SCALE,...]`, with single quotes around a path that contains a comma; or a list of such items
            and of mappings {run, scale}. RUN is the folder of a run, for its newest weights, or a file of its
            `weights/`. A missing scale is 1.
    """
    items = _split_list(given) if isinstance(given, str) else given
    if not isinstance(items, list) or not items:
        raise VmcError(f"runs is {given}, which names no run; {WRITE}, or leave it out for the base model")
    return [_read_item(item) for item in items]


def _split_list(text: str) -> list[str]:
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return [text]
    inner = text[1:-1].strip()
    return next(csv.reader([inner], quotechar="'", skipinitialspace=True)) if inner else []


def _read_item(item: Any) -> ScaledRun:
    if isinstance(item, Mapping) and item.keys() <= {"run", "scale"} and isinstance(item.get("run"), str):
        run, scale = item["run"], item.get("scale", 1.0)
    elif isinstance(item, str) and item.strip():
        run, scale = _split_scale(item.strip())
    else:
        raise VmcError(f"runs holds {item or 'an empty item'}, which names no run; {WRITE}")
    path, number = Path(run).expanduser(), float("nan")
    within = path if len(path.parents) > 2 else path.absolute()  # of RUN/weights/FILE, also where that is typed in RUN
    folder = within.parents[1] if path.is_file() else path
    with suppress(TypeError, ValueError):
        number = float(str(scale))
    if not abs(number) <= LARGEST:
        wanted = f"it must be a number from {-LARGEST:g} to {LARGEST:g}, as in {run}:0.6"
        raise VmcError(f"runs names {run} with the scale '{scale}'; {wanted}")
    weights = find_weights(path, said=f"runs names {path}")
    if path.is_file() and not ((folder / "config.yaml").is_file() and path.stem.isdigit()):
        raise VmcError(f"runs names {path}, which is no file of a run's weights/; give one, or the folder of a run")
    return ScaledRun(path=folder, weights=weights, scale=number)


def _split_scale(item: str) -> tuple[str, str | float]:
    """Split an item at its last colon into path and scale; a path may contain colons."""
    run, colon, scale = item.rpartition(":")
    if not colon or "/" in scale or os.path.exists(os.path.expanduser(item)):  # noqa: PTH110, PTH111 - Path's may raise
        return item, 1.0
    return run.rstrip(), scale.strip()


@dataclass(frozen=True, kw_only=True)
class MergedDeltas:
    """The deltas of several runs, used in place of one `Delta`.

    A weight W of the base becomes W + sum of scale_i (W_i - W) over the runs that changed it, W_i = W + (alpha / rank)
    B A if a run trained adapters beside it (task arithmetic, Ilharco et al. 2023, Sec. 2). The order of the runs does
    not matter. Trained rows of tokens are copied unscaled, because each has a word of its own. A further run with a
    scale of 0 or below brings no words, because what it learned is subtracted.

    Args:
        runs: in the order given; the tokens of the first one keep their names.
        deltas: the delta of each run.
    """

    runs: Sequence[ScaledRun]
    deltas: Sequence[Delta]

    @classmethod
    def load(cls, runs: Sequence[ScaledRun]) -> "MergedDeltas":
        """Read the weights of runs; a VmcError if they have different base models."""
        merged = cls(runs=runs, deltas=[Delta.load(run.weights) for run in runs])
        first, *others = (delta.about for delta in merged.deltas)
        base = first.get("family", FIRST_FAMILY), first.get("base_fingerprint")
        for run, about in zip(runs[1:], others, strict=True):
            if (about.get("family", FIRST_FAMILY), about.get("base_fingerprint")) != base:
                raise VmcError(
                    f"runs names {runs[0].path}, tuned from {first.get('base')}, and {run.path}, tuned from another"
                    f" base model, {about.get('base')}; name runs of one base model"
                )
        return merged

    @cached_property
    def _contents(self) -> list[tuple[str, float]]:
        """SHA-256 and scale of each run's weights."""
        return [(fingerprint(run.weights), run.scale) for run in self.runs]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all weights with their scales, whatever their order."""
        return hashlib.sha256(repr(sorted(self._contents)).encode()).hexdigest()

    def token(self, first: MotionToken) -> MotionToken:
        """The first run's token, with the tokens of the other runs as further ones.

        Runs may share a word with the same row; a word with different rows is a VmcError.
        """
        seen: dict[str, tuple[ScaledRun, Token, Tensor | None]] = {}
        further = dict(first.further)
        for run, name, token, row in self._words(first):
            word = token.word.casefold()
            if word not in seen:
                seen[word] = run, token, row
                if run is not self.runs[0]:
                    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
                    further[next(one for one in names if one not in (MOTION, *further))] = token
                continue
            other, known, known_row = seen[word]
            rows = [one for one in (row, known_row) if one is not None]
            if token != known or len(rows) == 1 or (rows and not torch.equal(*rows)):
                raise VmcError(
                    f"runs names {other.path} and {run.path}, which both have the word '{token.word}' with"
                    " different rows; train one of them again with another word, token.word=..."
                )
        return replace(first, further=further)

    def _words(self, first: MotionToken) -> Iterator[tuple[ScaledRun, str, Token, Tensor | None]]:
        """Each run's tokens with their names and trained rows; the first run's are those of its config."""
        for run, delta in self._with_words():
            about = first.describe() if run is self.runs[0] else delta.about.get("token")
            told = replace(delta, about={"token": about}).tokens
            for name, one in told.items():
                if "word" in one:
                    token = Token(word=one["word"], added=bool(one.get("added")), start=one.get("start"))
                    yield run, name, token, delta.tensors.get(row_name(name))

    def _with_words(self) -> Iterator[tuple[ScaledRun, Delta]]:
        for run, delta in zip(self.runs, self.deltas, strict=True):
            if run is self.runs[0] or run.scale > 0:
                yield run, delta

    def check_base(self, model: VideoModel) -> None:
        """Raise a VmcError for another base model than that of the runs; nothing is loaded for this."""
        self.deltas[0].check_base(model)

    @torch.no_grad()
    def apply(self, model: VideoModel, denoiser: Module, text: TextEncoder) -> None:
        """Add the changes to an unchanged base model, whose text encoder has the words of `token`."""
        fresh: dict[str, Tensor] = {}
        sums: dict[str, Tensor] = {}
        shares: dict[str, float] = {}
        # Floating-point sums depend on the order of their terms, so these are sorted by the files' contents.
        for place in sorted(range(len(self.runs)), key=self._contents.__getitem__):
            delta, scale = self.deltas[place], self.runs[place].scale
            trained = {name: tensor for name, tensor in delta.tensors.items() if not is_row(name)}
            names = {adapted_parameter(name).removeprefix(f"{model.prefix}.") for name in trained}
            before = dict(denoiser.named_parameters())
            fresh |= {name: before[name].clone() for name in names & before.keys() - fresh.keys()}
            replace(delta, tensors=trained).apply(model, denoiser)
            merge(denoiser)
            tuned = dict(denoiser.named_parameters())
            for name in names:
                sums[name] = sums.get(name, torch.zeros((), dtype=torch.float64)) + scale * tuned[name].double()
                shares[name] = shares.get(name, 0.0) + scale
                tuned[name].copy_(fresh[name])
        weights = dict(denoiser.named_parameters())
        for name, total in sums.items():
            # In float64, so that a weight that only one run changed, at a scale of 1, equals that run's to the bit.
            weights[name].copy_(total + (1 - shares[name]) * fresh[name].double())
        self._apply_rows(text)

    def _apply_rows(self, text: TextEncoder) -> None:
        tokens = text.token.tokens if text.token else {}
        place_of = {token.word.casefold(): name for name, token in tokens.items()}
        for run, delta in self._with_words():
            for name, about in delta.tokens.items():
                if (row := delta.tensors.get(row_name(name))) is None:
                    continue
                place = name if run is self.runs[0] else place_of.get(str(about.get("word")).casefold())
                if place not in text.rows or text.rows[place].shape != row.shape:
                    raise VmcError(f"{run.weights} holds {row_name(name)}, which this model does not have")
                text.rows[place].copy_(row)


Weights: TypeAlias = Path | MergedDeltas
"""What a base model is tuned with: a run's weight file, or several runs."""
