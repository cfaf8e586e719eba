"""Several runs of one base model in one: what each of them changed, times its scale, is added to the base."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import Module

from vmc.models.base import VideoModel
from vmc.models.lora import adapted_parameter, merge
from vmc.models.text import TextEncoder
from vmc.models.token import MOTION, MotionToken, Token
from vmc.runs.scaled import ScaledRun
from vmc.training.delta import FIRST_FAMILY, Delta, is_row, row_name
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint


@dataclass(frozen=True, kw_only=True)
class MergedDeltas:
    """The deltas of several runs, which stand where one `Delta` does.

    A weight W of the base becomes W + sum of scale_i (W_i - W) over the runs that changed it, W_i = W + (alpha / rank)
    B A where a run trained adapters beside it (task arithmetic, Ilharco et al. 2023, Sec. 2). The order of the runs has
    no part in it. The trained rows of tokens are taken as they are: each belongs to a word of its own. A further run
    with a scale of 0 or below brings no words, as what it learned is taken out.

    Args:
        runs: in the order given; the first one's tokens keep their names.
        deltas: of the runs.
    """

    runs: Sequence[ScaledRun]
    deltas: Sequence[Delta]

    @classmethod
    def load(cls, runs: Sequence[ScaledRun]) -> "MergedDeltas":
        """Read the weights of runs; those of different base models are refused."""
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
        """SHA-256 of all weights with their scales, in whatever order."""
        return hashlib.sha256(repr(sorted(self._contents)).encode()).hexdigest()

    def token(self, first: MotionToken) -> MotionToken:
        """The first run's token, with the words of the other runs as further ones.

        A word that several runs have with the same row is one word; with different rows it is refused.
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
        """Refuse another base model than the one that the runs were tuned from; nothing is loaded for it."""
        self.deltas[0].check_base(model)

    @torch.no_grad()
    def apply(self, model: VideoModel, denoiser: Module, text: TextEncoder) -> None:
        """Put the sum into a fresh base, whose text encoder has the words of `token`."""
        fresh: dict[str, Tensor] = {}
        sums: dict[str, Tensor] = {}
        shares: dict[str, float] = {}
        # Sums of floating-point numbers depend on their order, so it is that of the files' contents.
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
            # In float64, so that a weight which one run alone changed, at a scale of 1, is that run's to the bit.
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
"""What is put into a base model: a run's file, or several runs."""
