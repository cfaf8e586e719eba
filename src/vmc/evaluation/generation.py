"""Generation of videos from prompts by a base model or a run's weights, as many at a time as memory allows.

Their files are named and written here, too.

Axes: B videos, C colors or latent channels, M posterior moments, F frames, H and W.
"""

import csv
import hashlib
import logging
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor
from tqdm import tqdm

from vmc.data.clips import Clip, NoClips, readable
from vmc.data.frames import ClipTransform
from vmc.data.prompts import Prompt
from vmc.data.video import write_video
from vmc.diffusion.sampling import Conditioning, InvertedSampler, Predict, Sampler, on_device
from vmc.evaluation.batching import TOO_LARGE, BatchSize, is_out_of_memory, prefetch
from vmc.models.base import Autoencoder, VideoModel
from vmc.models.pretrained_weights import cast, low_precision_copy
from vmc.models.text import TextEncoder
from vmc.models.token import MotionToken
from vmc.training.experiment import Experiment, fill_captions
from vmc.training.hardware import Hardware, compile_layers
from vmc.training.merging import MergedDeltas, Weights
from vmc.training.tuned_weights import Delta
from vmc.utils.errors import VmcError
from vmc.utils.files import csv_text, fingerprint, write_text
from vmc.utils.graphs import LARGEST, Graph
from vmc.utils.randomness import derive_seed, initial_noise

log = logging.getLogger(__name__)

WRITERS = 4  # threads that write videos while a GPU makes the next ones
VIDEOS = "videos.csv"  # the prompt and seed of each video in a folder: a test set with a column `video`
_Todo: TypeAlias = tuple[Prompt, Path]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Clips that an `InvertedSampler` may start from.

    A seed draws the clip and nothing else, so seeds that draw the same clip give the same video, as in Tune-A-Video.
    """

    clips: Sequence[Clip]  # with their captions filled in
    transform: ClipTransform  # how each becomes frames; its first variant is taken

    def draw(self, seed: int) -> Clip:
        """Draw the clip that the video of a seed starts from."""
        return self.clips[derive_seed(seed, "inverted clip") % len(self.clips)]

    def describe(self) -> dict[str, Any]:
        """The number of clips, and a hash of their files and captions."""
        content = [(fingerprint(clip.path), clip.caption) for clip in self.clips]
        return {"clips": len(content), "sha256": hashlib.sha256(repr(content).encode()).hexdigest()}


@dataclass(kw_only=True)
class VideoGenerator:
    """Generates videos. Up to rounding, a prompt with a seed gives the same video in any batch."""

    model: VideoModel  # the base model, with the frames, size and rate of the videos
    denoiser: Any  # of the model, tuned or not, in eval mode, on the device that is to be used
    encode: Callable[[str], Conditioning]  # what the denoiser reads of a text
    sampler: Sampler
    hardware: Hardware  # the precision of computing, and how many frames and which tiles are decoded at a time
    batch_size: int | None = None  # videos at a time; None for as many as memory allows
    sources: Sources | None = None  # what an `InvertedSampler` starts from; None starts from noise
    # On any device: it moves to the denoiser's while it decodes. None loads it.
    autoencoder: Autoencoder = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.autoencoder is None:
            loaded = self.model.autoencoder(dtype=self.hardware.decoding_dtype)
            self.autoencoder = loaded.to(self.hardware.resting_device)
        # These hold for the current weights of the model.
        self._texts: dict[str, Conditioning] = {}
        self._inverted: dict[Path, Tensor] = {}  # noise_CFHW of clips
        self._predict: Predict | None = None
        self._batch = BatchSize(self.batch_size, self.denoiser.device)

    def write(self, prompts: Sequence[Prompt], files: Sequence[Path], *, label: str = "videos") -> Iterator[Path]:
        """Write each prompt's video to its file and yield the files that were missing, in order.

        Which prompts share a batch depends on the prompts alone, because videos in one batch affect each other's last
        bits. A batch with a missing video is generated as a whole; existing videos are kept.
        """
        todo, missing = list(zip(prompts, files, strict=True)), {file for file in files if not file.exists()}
        # The denoiser, and a token, may have been trained since.
        self._inverted.clear()
        self._texts.clear()
        self._predict = None
        # A GPU samples the next batch while this one is decoded, written and scored; on a CPU they may compete.
        overlap = self.hardware.overlaps
        waiting: deque[tuple[Path, Future]] = deque()

        def finished(*, wait: bool) -> Iterator[Path]:
            while waiting and (wait or waiting[0][1].done()):
                file, writing = waiting.popleft()
                writing.result()
                bar.update()
                yield file

        with (
            tqdm(total=len(missing), desc=label, unit="video", disable=None, leave=False) as bar,
            ThreadPoolExecutor(WRITERS if overlap else 1) as pool,
        ):
            try:
                for batch, frames_BFCHW in self._batches(todo, missing):
                    for (_, file), frames_FCHW in zip(batch, frames_BFCHW, strict=True):
                        if file in missing:
                            waiting.append((file, pool.submit(write_video, file, frames_FCHW, fps=self.model.fps)))
                    yield from finished(wait=not overlap)
                yield from finished(wait=True)
            finally:  # after an error or a signal, videos that wait are not written
                self._predict = None
                if overlap:
                    pool.shutdown(cancel_futures=True)

    def _batches(self, todo: Sequence[_Todo], missing: Set[Path]) -> Iterator[tuple[Sequence[_Todo], Tensor]]:
        """Yield batches that fit into memory and lack a file: prompts with their files, and frames_BFCHW."""
        # Inverting clips needs the autoencoder, which the next stage would use at the same time.
        overlap = self.hardware.overlaps and self.sources is None
        device, sampled = self.denoiser.device, self._sampled(todo, missing)
        drawn = prefetch(sampled, device) if overlap else sampled
        decoded = ((batch, self.decode(latents_BCFHW)) for batch, latents_BCFHW in drawn)
        return prefetch(decoded, device) if overlap else decoded

    def _sampled(self, todo: Sequence[_Todo], missing: Set[Path]) -> Iterator[tuple[Sequence[_Todo], Tensor]]:
        """Yield the same batches with latents_BCFHW."""
        first = 0
        while first < len(todo):
            batch = todo[first : first + self._batch.size]
            if any(file in missing for _, file in batch):
                self._batch.begin()
                try:
                    latents_BCFHW = self.latents([prompt for prompt, _ in batch])
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                    self._batch.too_large(error)
                    continue
                self._batch.done(len(batch))
                yield batch, latents_BCFHW
            first += len(batch)

    def frames(self, prompts: Sequence[Prompt]) -> Tensor:
        """Generate frames_BFCHW, uint8, of one batch of prompts."""
        return self.decode(self.latents(prompts))

    def latents(self, prompts: Sequence[Prompt]) -> Tensor:
        """Sample latents_BCFHW of one batch of prompts."""
        model, device = self.model, self.denoiser.device
        shape = model.latent_shape(frames=model.frames, size=model.size)
        seeds = [prompt.seed for prompt in prompts]
        noise_BCFHW = initial_noise(seeds, shape) if self.sources is None else self._inverted_clips(seeds)
        return self.sampler(
            self.predict,
            model.process.solver(),
            noise_BCFHW=noise_BCFHW.to(device),
            text=Conditioning.cat([self._text(prompt.text) for prompt in prompts]).to(device),
            empty=self._text("").to(device),
        )

    def decode(self, latents_BCFHW: Tensor) -> Tensor:
        """Decode latents to frames_BFCHW, uint8 on the CPU, video by video where memory is short."""
        decode_frames, tile = self.hardware.decode_frames, self.hardware.decode_tile
        with on_device(self.autoencoder.module, self.denoiser.device):
            try:
                return self.autoencoder.decode(latents_BCFHW, frames_at_once=decode_frames, tile=tile)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(latents_BCFHW) == 1:
                    raise VmcError(TOO_LARGE) from error
            return torch.cat([self.decode(latents_BCFHW[place : place + 1]) for place in range(len(latents_BCFHW))])

    @property
    def predict(self) -> Predict:
        """The denoiser's prediction in the precision of sampling, with its weights of when `write` was called.

        It is captured as a CUDA graph where that is asked for and the denoiser is small.
        """
        if self._predict is None:
            denoiser, dtype = self.denoiser, self.hardware.sampling_dtype
            if dtype is not None:
                denoiser = low_precision_copy(denoiser, dtype)
            self._predict = partial(self._predicted, denoiser)
            size = sum(parameter.numel() for parameter in denoiser.parameters())
            if self.hardware.cuda_graph and size > LARGEST:
                log.info("trainer.cuda_graph: the denoiser has %d parameters, too many to gain by a graph", size)
            elif self.hardware.cuda_graph:
                step = self._predict
                graph = Graph(
                    lambda noisy_BCFHW, timestep, **text: {"it": step(noisy_BCFHW, timestep, Conditioning.of(text))},
                    device=self.denoiser.device,
                    name="steps of the sampler",
                )
                self._predict = lambda noisy_BCFHW, timestep, text: graph(
                    noisy_BCFHW=noisy_BCFHW, timestep=timestep, **text.tensors()
                )["it"]
        return self._predict

    def _predicted(self, denoiser: Any, noisy_BCFHW: Tensor, timestep: Tensor, text: Conditioning) -> Tensor:
        dtype = self.hardware.sampling_dtype
        if dtype is None:
            with self.hardware.autocast():
                return self.model.predict(denoiser, noisy_BCFHW, timestep, text)
        text = Conditioning(text.embeddings_BLD.to(dtype), text.mask_BL)
        return self.model.predict(denoiser, noisy_BCFHW.to(dtype), timestep, text)

    def _inverted_clips(self, seeds: Sequence[int]) -> Tensor:
        """noise_BCFHW that the videos of seeds start from; each clip is inverted once, by itself."""
        sources, sampler, device = self.sources, self.sampler, self.denoiser.device
        assert sources is not None and isinstance(sampler, InvertedSampler)
        drawn = [sources.draw(seed) for seed in seeds]
        for clip in drawn:
            if clip.path in self._inverted:
                continue
            with on_device(self.autoencoder.module, device):
                moments_MCFHW = self.autoencoder.encode(sources.transform(clip.path, variant=0))
            (self._inverted[clip.path],) = sampler.invert(
                self.predict,
                self.model.process,
                latents_BCFHW=moments_MCFHW[:1].to(device),
                text=self._text(clip.caption).to(device),
            )
        return torch.stack([self._inverted[clip.path] for clip in drawn])

    def _text(self, text: str) -> Conditioning:
        if text not in self._texts:
            self._texts[text] = self.encode(text)
        return self._texts[text]


@dataclass(kw_only=True)
class TunedModel:
    """A base model with the weights of one or several runs: its parts that differ, and the hardware."""

    base: VideoModel
    denoiser: Any
    encoder: TextEncoder
    hardware: Hardware
    weights: Weights | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """All that the model's videos depend on, besides prompts and sampler."""
        weights = self.fingerprint if self.weights else None
        return self.base.identity, weights, self.base.frames, self.base.size, *self.hardware.video_choices

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the trained weights, or of the untouched denoiser."""
        return fingerprint_of(self.weights) if self.weights else self.base.fingerprint("denoiser")

    @classmethod
    def load(cls, base: VideoModel, token: MotionToken, weights: Weights | None, *, hardware: Hardware) -> "TunedModel":
        """Load the base model and apply the delta of `weights`, which must be of the same base model."""
        delta = Delta.load(weights) if isinstance(weights, Path) else weights
        if delta is not None:
            delta.check_base(base)
        denoiser, encoder = base.denoiser(), base.text_encoder(token)
        if delta is not None:
            delta.apply(base, denoiser, encoder)
        if hardware.compile:
            compile_layers(base.compiled(denoiser))
        return cls(base=base, denoiser=denoiser, encoder=encoder, hardware=hardware, weights=weights)

    def generator(self, *, sampler: Sampler, batch_size: int | None, sources: Sources | None = None) -> VideoGenerator:
        """Build a generator of videos of the model's length and size."""
        base, hardware = self.base, self.hardware
        if hardware.frozen_dtype != self.denoiser.dtype:
            cast(self.denoiser, hardware.frozen_dtype)
        return VideoGenerator(
            model=base,
            denoiser=self.denoiser.to(hardware.device),
            encode=self.encoder,
            sampler=sampler,
            hardware=hardware,
            batch_size=batch_size,
            sources=sources,
        )


def fingerprint_of(weights: Weights) -> str:
    """SHA-256 of trained weights; nothing is loaded."""
    return weights.fingerprint if isinstance(weights, MergedDeltas) else fingerprint(weights)


def video_names(prompts: Sequence[Prompt], *made_with: object) -> list[str]:
    """A readable and unique file name for each prompt: place, subject or text, seed.

    Args:
        prompts: of the videos.
        made_with: model and sampler. If given, the name ends in a hash of them and of the prompt, so that videos of the
            same name are the same, and a folder can hold those of several models, prompts and samplers.
    """
    names = []
    for place, prompt in enumerate(prompts):
        slug = re.sub(r"[^a-z0-9]+", "-", (prompt.subject or prompt.text).lower()).strip("-")[:48].strip("-")
        digest = hashlib.sha256(repr((prompt.text, prompt.seed, made_with)).encode()).hexdigest()[:8]
        names.append(f"{place:04d}-{slug or 'video'}-{prompt.seed}{f'-{digest}' if made_with else ''}.mp4")
    return names


def note_videos(folder: Path, prompts: Sequence[Prompt], files: Sequence[Path]) -> None:
    """Add the prompt and seed of each video to the table of its folder."""
    rows: dict[str, dict[str, Any]] = {}
    if (folder / VIDEOS).is_file():
        with (folder / VIDEOS).open(newline="", encoding="utf-8") as stream:
            rows = {row["video"]: dict(row) for row in csv.DictReader(stream) if row.get("video")}
    for prompt, file in zip(prompts, files, strict=True):
        about = {"video": file.name, "prompt": prompt.text} | asdict(prompt)
        rows[file.name] = {name: value for name, value in about.items() if name != "text"}
    columns, there = list(rows[files[0].name]), [rows[name] for name in sorted(rows) if (folder / name).is_file()]
    write_text(folder / VIDEOS, csv_text(columns, [{name: row.get(name) for name in columns} for row in there]))


def find_sources(experiment: Experiment, clips: Sequence[Clip] | None = None) -> Sources | None:
    """Find the exemplars for a sampler that starts from inverted clips; None for other samplers.

    Args:
        experiment: whose videos are made.
        clips: of the run, where they are known already.

    Raises:
        VmcError: a clip is missing, there is none, or the model has no solver that inverts.
    """
    if not isinstance(experiment.sampler, InvertedSampler):
        return None
    experiment.model.process.inverse_solver()
    if isinstance(experiment.data.source, NoClips):
        raise VmcError(
            "sampler is one that inverts the clips of a run, and there is no run; give run=DIR, or"
            " sampler._target_=vmc.diffusion.sampling.Sampler"
        )
    if clips is None:
        clips = readable(fill_captions(experiment, experiment.exemplars), skip_bad=experiment.data.skip_bad)
    exemplars = [clip for clip in clips if clip.role == "exemplar"]
    return Sources(clips=exemplars, transform=experiment.data.transform(augmented=False, mirror=False))
