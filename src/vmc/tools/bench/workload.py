"""What a benchmark measures: the run of `vmc.train` with the same overrides, on clips of noise.

Axes: F frames, C colours, H and W.

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

from vmc.config.build import build_session
from vmc.config.checks import check_complete, check_config, check_parts, resolved
from vmc.config.command import compose
from vmc.data.clips import fill
from vmc.data.prompts import Prompt, spread
from vmc.diffusion.conditioning import Conditioning
from vmc.evaluation.generation import TunedModel, VideoGenerator
from vmc.models.base import Autoencoder
from vmc.models.text import TextEncoder
from vmc.runs.folder import RunFolder
from vmc.training.batches import Batch, TrainingBatches
from vmc.training.callbacks import StepCallback
from vmc.training.experiment import Experiment
from vmc.training.module import MotionModule
from vmc.training.session import Session
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator


def noise_clips(role: str, count: int, *, frames: int, size: int) -> Iterator[tuple[str, Tensor]]:
    """Names and frames_FCHW, uint8."""
    for number in range(count):
        draw = generator("benchmark", role, number)
        yield f"{role}{number}", torch.randint(256, (frames, 3, size, size), generator=draw, dtype=torch.uint8)


def compose_run(overrides: Sequence[str], *, scored: bool) -> dict[str, Any]:
    """The run's config, as plain values that another process can be given.

    Args:
        overrides: of `vmc.train`.
        scored: keep test set and metrics.

    Raises:
        VmcError: the overrides are wrong, or lack a value.
    """
    config = compose("train", ["logger=csv", *overrides])
    config.data.path, config.data.source = None, {"_target_": "vmc.data.clips.NoClips"}
    for part in ("data", "regularization"):
        if "variants" in config[part]:
            config[part].variants = 1
    config.evaluate_every = int(scored)
    check_complete(config)
    check_config(config, "train")
    check_parts(config)
    return resolved(config)


def some_prompts(experiment: Experiment, count: int) -> Sequence[Prompt]:
    """So many of the test set: subjects spread through it, each with all its seeds, as texts are shared there.

    Raises:
        VmcError: it has not so many.
    """
    found = experiment.prompts
    if count > len(found):
        raise VmcError(f"--videos is {count}; the test set has {len(found)} prompts, give at most as many")
    subjects = len({prompt.subject or prompt.text for prompt in found})
    return spread(found, -(-count * subjects // len(found)))[:count]


def untuned_generator(experiment: Experiment, *, batch_size: int | None = None) -> VideoGenerator:
    """Makes videos of the untuned model, on its device, with its threads set."""
    experiment.hardware.use_threads()
    model = TunedModel.load(experiment.model, experiment.token, None, hardware=experiment.hardware)
    return model.generator(sampler=experiment.sampler, batch_size=batch_size)


def describe(config: Mapping[str, Any], experiment: Experiment) -> dict[str, Any]:
    """What was measured, for a report; no paths."""
    model = experiment.model
    return {
        "stack": config["stack_name"],
        "model": str(model.path).rstrip("/").rpartition("/")[2],
        "video": [model.frames, model.size, model.size],
        "attention": model.attention,
        "precision": experiment.hardware.precision,
    }


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
