"""The course of the appearance model: its batches, what it is measured by, and what it writes.

Axes: B frames of a batch, T texts.
"""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from open_clip import CLIP
from torch import Tensor, nn

from vmc.diffusion.components import BaseModel
from vmc.errors import VmcError
from vmc.files import written_whole
from vmc.metrics.open_clip_model import load_image_text
from vmc.mini.appearance import frames, network
from vmc.mini.appearance.command import NAME, STEPS
from vmc.mini.appearance.measuring import Measured, figures, render_subjects
from vmc.mini.appearance.sentences import altered, draw_content, facts_of, true_of
from vmc.mini.hashing import renderer_hash
from vmc.mini.learning.course import Course, Options, Progress, train
from vmc.mini.learning.loop import Clock
from vmc.mini.people import generator as numpy_generator
from vmc.randomness import generator

BATCH = 64
RATE = 0.02
DECODED_SHARE = 0.5
NEGATIVES = {0: 1, 1100: 3}
"""From which step on how many altered captions of every frame: first clothes are learned, which the other frames'
captions teach, then what only a caption teaches that differs in one thing."""
FIGURES = "figures.json"


class Batches:
    """Frames and captions of every step, a function of the seed and the step.

    Args:
        clips: how many there are.
        pipeline: the folder whose autoencoder the frames go through.
        seed: of all draws.
        batch: frames a step.
    """

    def __init__(self, *, clips: int, pipeline: Path, seed: int, batch: int = BATCH) -> None:
        self.rendered, self.decoded = frames.rendered(clips), frames.decoded(clips, pipeline)
        self.seed, self.batch = seed, batch
        self.tokenizer = network.tokenizer()

    def prepare(self, *, workers: int, clock: Clock) -> bool:
        """Whether all frames are there."""
        return all(shards.prepare(workers=workers, enough=clock.over) for shards in (self.rendered, self.decoded))

    def pictures(self, step: int) -> tuple[list[int], Tensor]:
        """Clips and their prepared images_BCHW."""
        draw = generator(self.seed, step, "frames")
        clips = torch.randint(len(self.rendered), (self.batch,), generator=draw).tolist()
        kept = torch.randint(frames.KEPT, (self.batch,), generator=draw).tolist()
        soft = (torch.rand(self.batch, generator=draw) < DECODED_SHARE).tolist()
        shown_BHWC = self.rendered.items(clips)[np.arange(self.batch), kept]
        if any(soft):
            places = [place for place in range(self.batch) if soft[place]]
            shown_BHWC[places] = self.decoded.items([clips[place] for place in places])
        return clips, network.normalised(frames.augmented(frames.pixels_of(shown_BHWC), draw))

    def captions(self, clips: list[int], step: int) -> tuple[Tensor, Tensor]:
        """tokens_TL of the clips' own captions and then of `NEGATIVES` altered captions of each, and true_BT."""
        random = numpy_generator(self.seed, step, "captions")
        specs = [frames.spec_of(clip) for clip in clips]
        contents = [draw_content(spec, random) for spec in specs]
        negatives = max((first, count) for first, count in NEGATIVES.items() if first <= step)[1]
        wrong = [altered(content, random) for _ in range(negatives) for content in contents]
        sentences = [content.sentence() for content in (*contents, *wrong)]
        stops = random.random(len(sentences)) < 0.3
        texts = [sentence.text + "." * stop for sentence, stop in zip(sentences, stops.tolist(), strict=True)]
        return self.tokenizer(texts), torch.tensor(true_of(sentences, [facts_of(spec) for spec in specs]))


def train_appearance(options: Options, *, pipeline: Path, clips: int) -> None:
    """Begins or goes on; the minutes count from here, rendering included.

    Raises:
        VmcError: see `train`; or the pipeline has no autoencoder.
    """
    if clips < 1:
        raise VmcError(f"--clips is {clips}; it must be at least 1")
    torch.set_num_threads(options.threads)
    clock = Clock(options.minutes)
    start = time.monotonic()
    batches = Batches(clips=clips, pipeline=pipeline, seed=options.seed)
    with clock.listening():
        if not batches.prepare(workers=options.threads, clock=clock):
            print(f"{options.output}: not all frames are rendered yet; the same command goes on")
            return
    sharp = render_subjects()
    soft = sharp.after(pipeline)
    if options.minutes:
        options = replace(options, minutes=max(options.minutes - (time.monotonic() - start) / 60, 1e-6))
    train(_course(batches, soft, pipeline=pipeline, options=options), options)
    _write_figures(options.output, {"rendered": sharp, "decoded": soft})


def _course(batches: Batches, measured: Measured, *, pipeline: Path, options: Options) -> Course:
    def loss_of(networks: nn.ModuleDict, step: int) -> Tensor:
        clips, images_BCHW = batches.pictures(step)
        tokens_TL, true_BT = batches.captions(clips, step)
        tensors = (part.to(options.device) for part in (images_BCHW, tokens_TL, true_BT))
        return network.contrastive_loss(cast(CLIP, networks["clip"]), *tensors)

    def export(networks: nn.ModuleDict, folder: Path, progress: Progress) -> None:
        network.write_model(cast(CLIP, networks["clip"]), folder)

    return Course(
        name=NAME,
        steps=STEPS,
        rate=RATE,
        identity=_identity(len(batches.rendered), pipeline),
        networks={"clip": network.make_model(options.seed)},
        loss_of=loss_of,
        measure=lambda networks: figures(cast(CLIP, networks["clip"]), measured)["subject_top1"],
        export=export,
        edges=network.EDGES,
    )


def _identity(clips: int, pipeline: Path) -> dict[str, Any]:
    return {
        "renderer": renderer_hash(),
        "autoencoder": BaseModel(path=pipeline).fingerprint("vae"),
        "model": json.dumps(network.MODEL, sort_keys=True),
        "clips": clips,
        "batch": BATCH,
    }


def _write_figures(folder: Path, measured: dict[str, Measured]) -> None:
    """What the written model can do, on frames as rendered and after the autoencoder."""
    model = cast(CLIP, load_image_text(folder=folder).model)
    found = {name: figures(model, shown) for name, shown in measured.items()}
    with written_whole(folder / FIGURES) as temporary:
        temporary.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for name, values in found.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in values.items()))
