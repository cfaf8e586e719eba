"""Training steps of the method on clips of noise: as a run makes them, and with nothing kept from step to step.

Axes: M = 2 posterior moments, B clips of a batch, C colours or latent channels, F frames, N = B x F images, H and W,
L text positions, D text width.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from vmc.benchmarks.clips import noise_clips
from vmc.config.build import build_session
from vmc.data.clips import fill
from vmc.diffusion.conditioning import Conditioning
from vmc.errors import VmcError
from vmc.models.base import Autoencoder
from vmc.models.text import TextEncoder
from vmc.runs.folder import RunFolder
from vmc.training.batches import Batch, TrainingBatches
from vmc.training.callbacks import StepCallback
from vmc.training.experiment import Experiment
from vmc.training.module import MotionModule
from vmc.training.session import Session

WARM_UP = 2
"""Steps that are not timed: the first ones make the optimiser's state."""
CLIPS = 4
"""Exemplars, and as many regularization clips."""


@dataclass(frozen=True, kw_only=True)
class TrainingSteps:
    """The trainer of a run over one kind of batches.

    Args:
        module: what is trained.
        experiment: of which.
        batches: without end.
    """

    module: MotionModule
    experiment: Experiment
    batches: "TrainingBatches | PlainBatches"

    def run(self, steps: int) -> list[float]:
        """Seconds of each step."""
        clock = Clock()
        trainer = self.experiment.hardware.trainer(steps=steps, callbacks=[clock])
        trainer.fit(self.module, DataLoader(self.batches, batch_size=None, num_workers=0))
        return clock.seconds


class Clock(StepCallback):
    """Seconds of each optimiser step, the making of its batch included."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Begin."""
        super().on_train_start(trainer, module)
        self.seconds: list[float] = []
        self._last = time.perf_counter()

    def on_step(self, trainer: pl.Trainer, module: Any, step: int) -> None:
        """Keep the time; the losses are read, as a run's log does, which waits for a GPU."""
        torch.stack([part["loss"] for part in module.losses]).tolist()
        module.losses.clear()
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


class PlainBatches(IterableDataset):
    """The same batches from frames and captions, by autoencoder and text encoder in every step.

    Args:
        cached: whose draws these are.
        frames: frames_FCHW of each clip.
        captions: of each clip.
        autoencoder: on the device that trains.
        encoder: likewise; None where the token is trained, whose texts the module encodes.
    """

    def __init__(
        self,
        cached: TrainingBatches,
        *,
        frames: Sequence[Tensor],
        captions: Sequence[str],
        autoencoder: Autoencoder,
        encoder: TextEncoder | None,
    ) -> None:
        self.cached, self.frames, self.captions = cached, frames, captions
        self.autoencoder, self.encoder = autoencoder, encoder

    def __iter__(self) -> Iterator[Batch]:
        for step in count():
            yield self.batch(step, range(self.cached.plan.batch_size))

    @torch.no_grad()
    def batch(self, step: int, indices: range) -> Batch:
        """The draws `indices` of a step, the texts through their network at once."""
        drawn = [item for index in indices for item in self.cached.plan.draw(step, index)]
        moments_BMCFHW = [self.autoencoder.encode(self.frames[item.clip]) for item in drawn]
        moments = {(item.clip, item.variant): part for item, part in zip(drawn, moments_BMCFHW, strict=True)}
        texts: list[Any] = list(self.cached.texts)
        if self.encoder is not None:
            found = self.encoder.encode_ids(self.encoder.token_ids([self.captions[item.clip] for item in drawn]))
            for place, item in enumerate(drawn):
                tensors = {name: part[place : place + 1].cpu() for name, part in found.tensors().items()}
                texts[item.clip] = Conditioning.of(tensors)
        return replace(self.cached, moments=moments, texts=texts).batch(step, indices)


def training_steps(config: Mapping[str, Any], *, plain: bool) -> TrainingSteps:
    """A run's step on noise, its posteriors and texts made beforehand, or with both networks at hand.

    Raises:
        VmcError: the run trains nothing.
    """
    if config.get("parameters") is None:
        raise VmcError("parameters is null, which trains nothing; choose what is trained")
    session = build_session(config, RunFolder(Path("benchmark"), config={}))
    assert isinstance(session, Session)
    experiment = session.experiment
    model, token, hardware = experiment.model, experiment.token, experiment.hardware
    hardware.use_threads()
    frames = [clip for _, clip in noise_clips("training", 2 * CLIPS, frames=model.frames, size=model.size)]
    exemplar, other = fill(experiment.motion.caption or "{token}", **token.words), "a person doing other things"
    captions = [exemplar] * CLIPS + [other] * CLIPS
    dtype = hardware.frozen_dtype if plain else torch.float32
    autoencoder = model.autoencoder(dtype=dtype).to(hardware.device)
    encoder = None if token.trains else model.text_encoder(token, dtype=dtype)
    cached = TrainingBatches(
        plan=session.plan(CLIPS, CLIPS),
        moments={(clip, 0): autoencoder.encode(frames_FCHW) for clip, frames_FCHW in enumerate(frames)},
        texts=[encoder(caption) for caption in captions] if encoder else session.token_ids(captions),
        steps=1_000_000,
        start=lambda: 0,
        accumulate=hardware.accumulate,
    )
    batches: TrainingBatches | PlainBatches = cached
    if plain:
        if encoder:
            encoder.network.to(hardware.device)
        batches = PlainBatches(cached, frames=frames, captions=captions, autoencoder=autoencoder, encoder=encoder)
    return TrainingSteps(module=session.module(), experiment=experiment, batches=batches)
