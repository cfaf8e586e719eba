"""What a pipeline makes of prompt suites with gestures that it knows, and what their metrics make of rendered clips.

The metrics cannot show a model to be better than they are themselves: rendered clips of two people, slow and quick ones
and sequences, through autoencoder and mp4, are the ceiling.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from vmc.data.prompts import Prompt
from vmc.data.video import read_frames
from vmc.evaluation.generation import TunedModel, video_names
from vmc.evaluation.score import suites_of
from vmc.metrics.base import Record, RunContext
from vmc.metrics.columns import Column, Row
from vmc.metrics.people import PEOPLE, People
from vmc.metrics.sequence import SEQUENCE, GestureSequence
from vmc.metrics.suite import Suite
from vmc.metrics.tempo import QUICK, SLOW, Tempo
from vmc.mini.card.networks import Networks, RoundTrip
from vmc.mini.card.rendered import window_of
from vmc.mini.world.applications import rows
from vmc.mini.world.captions import sign_name
from vmc.mini.world.gestures import KNOWN
from vmc.mini.world.renderer import ClipSpec, Framing
from vmc.mini.world.specs import PLAIN, Variety, sample_clip
from vmc.training.hardware import Hardware
from vmc.utils.randomness import derive_seed

MEASURED = (PEOPLE, SLOW, QUICK, SEQUENCE)
BATCH = 8
LENGTHS = (32, 40)
"""Shortest and longest rendered clip: two gestures need their time."""
FIRST = 50_000
"""Number of the first rendered clip: no other figure of the card is of these persons."""


@dataclass(frozen=True)
class Case:
    """A gesture and what is asked of it."""

    gesture: str
    prompt: Prompt
    number: int

    @property
    def record(self) -> Record:
        """For the metrics; each case is a subject of its own, so intervals are over cases."""
        name = f"{self.number}"
        return Record(video=name, prompt=name, seed=0, suite=self.prompt.suite, then=self.prompt.then)

    @property
    def spec(self) -> ClipSpec:
        """A clip of it, before a webcam and before a camera as the web's in turn."""
        suite = self.prompt.suite
        framing: Framing = "web" if self.number % 2 else "webcam"
        variety = Variety(0.0, 1.0, 0.0, 0.0) if suite == PEOPLE else PLAIN
        spec = sample_clip(
            "card", FIRST + self.number, gestures=(self.gesture,), framing=framing, frames=LENGTHS, variety=variety
        )
        if suite == SEQUENCE:
            return replace(spec, gestures=(self.gesture, str(self.prompt.then)))
        return replace(spec, tempo="slow" if suite == SLOW else "quick") if suite in (SLOW, QUICK) else spec


def cases(each: int) -> list[Case]:
    """`each` prompts of every measured suite for every known gesture, whose subjects and manners are the suites'."""
    found = list[Case]()
    for suite in MEASURED:
        of_suite = [row for row in rows() if row[0] == suite]
        for place, gesture in enumerate(KNOWN):
            # A gesture after itself would be one.
            usable = [row for row in of_suite if row[3] != gesture]
            for number in range(each):
                _, subject, manner, then = usable[(place * each + number) % len(usable)]
                text = f"{subject} doing the {sign_name(gesture)} sign {manner}".rstrip()
                pair = "tempo" if suite in (SLOW, QUICK) else suite
                seed = derive_seed("suites", pair, gesture, number) % 10**6
                prompt = Prompt(text=text, seed=seed, subject=subject, suite=suite, then=then or None)
                found.append(Case(gesture, prompt, len(found)))
    return found


def measure(
    networks: Networks, videos: Sequence[tuple[Case, Tensor]], *, gestures: Sequence[str] = KNOWN
) -> Mapping[str, Any]:
    """The metrics of each suite with their intervals, by suite."""
    suite = Suite(classifier=networks.classifier, people=People(), tempo=Tempo(), sequence=GestureSequence())
    table, columns = list[Row](), tuple[Column, ...]()
    for gesture in gestures:
        chosen = [(case, frames) for case, frames in videos if case.gesture == gesture]
        evaluator = suite.evaluator(RunContext(target=gesture))
        table += evaluator.score([frames for _, frames in chosen], [case.record for case, _ in chosen])
        columns = tuple(evaluator.columns)
    return suites_of(table, columns=columns)["suites"]


def rendered(networks: Networks, each: int) -> Iterator[tuple[Case, Tensor]]:
    """Clips of the cases as generated videos come: through the autoencoder, written and read."""
    trip = RoundTrip(networks.base.autoencoder(), fps=networks.base.fps)
    for case in tqdm(cases(each), desc="rendering", unit="clip", disable=None):
        yield case, trip(window_of(case.spec, networks))


def generated(networks: Networks, pipeline: Path, folder: Path, each: int) -> Iterator[tuple[Case, Tensor]]:
    """Videos of a pipeline; those that the folder holds are not made again."""
    settings, asked = networks.settings, cases(each)
    hardware = Hardware(threads=torch.get_num_threads())
    model = TunedModel.load(settings.base(pipeline), settings.token, None, hardware=hardware)
    prompts = [case.prompt for case in asked]
    files = [folder / name for name in video_names(prompts, settings.sampler, model.identity)]
    for _ in model.generator(sampler=settings.sampler, batch_size=BATCH).write(prompts, files, label="videos"):
        pass
    yield from ((case, read_frames(file)) for case, file in zip(asked, files, strict=True))
