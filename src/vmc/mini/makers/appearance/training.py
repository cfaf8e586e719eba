"""The training of the appearance model: its batches, what it is measured by, and what it writes.

Axes: B frames of a batch, T texts.
"""

import json
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from open_clip import CLIP
from torch import Tensor, nn

from vmc.metrics.networks.open_clip import load_image_text
from vmc.mini.makers.appearance import frames, network
from vmc.mini.makers.appearance.attributes import attribute_loss, classes_of, make_heads
from vmc.mini.makers.appearance.command import NAME, STEPS
from vmc.mini.makers.appearance.measuring import Measured, figures, render_subjects
from vmc.mini.makers.appearance.sentences import altered, draw_content, draw_single, facts_of, true_of
from vmc.mini.makers.common import prepare_and_train
from vmc.mini.world.hashing import renderer_hash
from vmc.mini.world.people import generator as numpy_generator
from vmc.models.zeroscope import UNet3D
from vmc.tools.learning.training import Task, TaskProgress, TrainOptions
from vmc.utils.errors import VmcError
from vmc.utils.files import write_json
from vmc.utils.randomness import derive_seed, generator

BATCH = 64
RATE = 0.03
SEEING_STEPS = 2000
"""Steps in which the image tower learns to see attributes, before the text tower joins."""
SEEING_WEIGHT = 4.0
"""Of the attributes' loss beside the contrastive one."""
DECODED_SHARE = 0.5
OCCUPATION_WEIGHT = 0.4
"""Of a clip with an occupation against one without: these are told apart early."""
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

    @cached_property
    def _weights(self) -> Tensor:
        persons = [frames.spec_of(clip).persons[0] for clip in range(len(self.rendered))]
        return torch.tensor([OCCUPATION_WEIGHT if person.occupation else 1.0 for person in persons])

    def prepare(self, workers: int, enough: Callable[[], bool]) -> bool:
        """Render and decode what is missing; whether all frames are there."""
        return all(shards.prepare(workers=workers, enough=enough) for shards in (self.rendered, self.decoded))

    def pictures(self, step: int) -> tuple[list[int], Tensor]:
        """Clips and their prepared images_BCHW."""
        draw = generator(self.seed, step, "frames")
        clips = torch.multinomial(self._weights, self.batch, replacement=True, generator=draw).tolist()
        kept = torch.randint(frames.KEPT, (self.batch,), generator=draw).tolist()
        soft = (torch.rand(self.batch, generator=draw) < DECODED_SHARE).tolist()
        shown_BHWC = self.rendered.items(clips)[np.arange(self.batch), kept]
        if any(soft):
            places = [place for place in range(self.batch) if soft[place]]
            shown_BHWC[places] = self.decoded.items([clips[place] for place in places])
        return clips, network.normalized(frames.augmented(frames.pixels_of(shown_BHWC), draw))

    def captions(self, clips: list[int], step: int) -> list[tuple[Tensor, Tensor]]:
        """Two groups of (tokens_TL, true_BT), see `contrastive_loss`.

        Captions as prompts are; and captions of one thing, without which the clothes' colour, the largest thing there
        is, outweighs all else. The negatives are the same captions with one thing said wrongly, and in the first group
        others that could be said, altered too.
        """
        random = numpy_generator(self.seed, step, "captions")
        specs = [frames.spec_of(clip) for clip in clips]
        whole, single, others = (
            [draw(spec, random) for spec in specs] for draw in (draw_content, draw_single, draw_content)
        )
        groups = []
        for own, more in ((whole, others), (single, [])):
            false = [altered(content, random) for content in (*own, *more)]
            sentences = [content.sentence() for content in (*own, *false)]
            stops = (random.random(len(sentences)) < 0.3).tolist()
            texts = [sentence.text + "." * stop for sentence, stop in zip(sentences, stops, strict=True)]
            true = true_of(sentences, [facts_of(spec) for spec in specs])
            groups.append((self.tokenizer(texts), torch.tensor(true)))
        return groups


def train_appearance(options: TrainOptions, *, pipeline: Path, clips: int) -> None:
    """Begin or go on; the minutes count from here, rendering included.

    Raises:
        VmcError: see `train`; or the pipeline has no autoencoder.
    """
    if clips < 1:
        raise VmcError(f"--clips is {clips}; it must be at least 1")
    batches = Batches(clips=clips, pipeline=pipeline, seed=options.seed)
    shown: dict[str, Measured] = {}

    def make_task() -> Task:
        shown["rendered"] = render_subjects()
        shown["decoded"] = shown["rendered"].after(pipeline)
        return _task(batches, shown["decoded"], pipeline=pipeline, options=options)

    if prepare_and_train(options, partial(batches.prepare, options.threads), make_task):
        _write_figures(options.output, shown)


def _task(batches: Batches, measured: Measured, *, pipeline: Path, options: TrainOptions) -> Task:
    def loss_of(networks: nn.ModuleDict, step: int) -> Tensor:
        model, device = cast(CLIP, networks["clip"]), options.device
        clips, images_BCHW = batches.pictures(step)
        images_BD = model.encode_image(images_BCHW.to(device))
        seen = [classes_of(frames.spec_of(clip)) for clip in clips]
        loss = SEEING_WEIGHT * attribute_loss(networks["heads"](images_BD), seen)
        if step < SEEING_STEPS:
            return loss
        groups = [(tokens.to(device), true.to(device)) for tokens, true in batches.captions(clips, step)]
        return loss + network.contrastive_loss(model, images_BD, groups)

    def export(networks: nn.ModuleDict, folder: Path, progress: TaskProgress) -> None:
        network.write_model(cast(CLIP, networks["clip"]), folder)

    return Task(
        name=NAME,
        steps=STEPS,
        rate=RATE,
        identity=_identity(len(batches.rendered), pipeline),
        networks={
            "clip": network.make_model(options.seed),
            "heads": make_heads(network.MODEL["embed_dim"], derive_seed(options.seed, "heads")),
        },
        loss_of=loss_of,
        measure=lambda networks, step: figures(cast(CLIP, networks["clip"]), measured)["subject_top1"],
        export=export,
        edges=network.EDGES,
    )


def _identity(clips: int, pipeline: Path) -> dict[str, Any]:
    return {
        "renderer": renderer_hash(),
        "autoencoder": UNet3D(path=pipeline).fingerprint("vae"),
        "model": json.dumps(network.MODEL, sort_keys=True),
        "clips": clips,
        "batch": BATCH,
    }


def _write_figures(folder: Path, measured: dict[str, Measured]) -> None:
    """What the written model can do, on frames as rendered and after the autoencoder."""
    model = cast(CLIP, load_image_text(folder).model)
    found = {name: figures(model, shown) for name, shown in measured.items()}
    write_json(folder / FIGURES, found)
    for name, values in found.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in values.items()))
