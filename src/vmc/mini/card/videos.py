"""The base model's videos: which are asked for, and how long they take."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from vmc.data.prompts import Prompt, read_prompts, spread
from vmc.evaluation.generation import TunedModel, video_names
from vmc.mini.card.bars import SHOWN, VIDEOS_TIMED, CardPlan
from vmc.mini.card.intervals import Figure, per_item
from vmc.mini.card.networks import Networks
from vmc.mini.card.rendered import evenly_spaced, subjects
from vmc.mini.world.captions import gesture_caption
from vmc.mini.world.gestures import KNOWN, TARGETS
from vmc.mini.world.test_set import test_set_file
from vmc.training.hardware import Hardware
from vmc.utils.errors import VmcError
from vmc.utils.randomness import derive_seed

BATCH = 8
"""Videos at a time: the fastest on two cores."""
TIMED = 16
"""Videos that are made once more where all are there and no time is known."""
_SEEDS = 1_000_000


@dataclass(frozen=True)
class Asked:
    """A prompt and the gesture that its video should show; none where the token is asked for."""

    prompt: Prompt
    gesture: str = ""


def test_videos(networks: Networks, plan: CardPlan) -> list[Asked]:
    """The test set, prompted with the rare token."""
    settings = networks.settings
    prompts = read_prompts(test_set_file(), template=settings.template, token=settings.token.word, seeds=[])
    return [Asked(prompt) for prompt in spread(prompts, plan.subjects)]


def known_videos(plan: CardPlan) -> list[Asked]:
    """Known gestures: first the same subjects in every gesture, then others, in each gesture other ones."""
    shown = evenly_spaced(len(subjects()), SHOWN)
    rest = [place for place in range(len(subjects())) if place not in shown]
    asked = []
    for number, gesture in enumerate(KNOWN[: plan.known]):
        others = evenly_spaced(len(rest), max(plan.known_videos - SHOWN, 0))
        places = [*shown, *(rest[(place + number) % len(rest)] for place in others)]
        asked += [_in_language(subjects()[place], gesture) for place in places[: plan.known_videos]]
    return asked


def language_videos(plan: CardPlan) -> list[Asked]:
    """The targets in natural language (Supplement D), all of the same subjects."""
    places = evenly_spaced(len(subjects()), plan.language_videos)
    return [_in_language(subjects()[place], gesture) for gesture in TARGETS for place in places]


def _in_language(subject: str, gesture: str) -> Asked:
    seed = derive_seed("card", subject, gesture) % _SEEDS
    return Asked(Prompt(text=gesture_caption(gesture, subject), seed=seed, subject=subject), gesture)


class Maker:
    """Makes videos of the base model, those that are there not again, and keeps how long batches took.

    Args:
        networks: of which the base model is used.
        folder: of the videos.
        threads: that they are made with.
    """

    def __init__(self, networks: Networks, folder: Path, *, threads: int) -> None:
        settings = networks.settings
        model = TunedModel.load(networks.base, settings.token, None, hardware=Hardware(threads=threads))
        self.folder, self.threads = folder, threads
        self.made_with = (settings.sampler, model.identity)
        self._generator = model.generator(sampler=settings.sampler, batch_size=BATCH)

    def make(self, name: str, asked: Sequence[Asked]) -> list[Path]:
        """The files of all videos, in the order asked."""
        prompts = [one.prompt for one in asked]
        files = [self.folder / name / file for file in video_names(prompts, *self.made_with)]
        self._make(name, prompts, files)
        return files

    def seconds(self, name: str, asked: Sequence[Asked]) -> Figure:
        """What 300 videos take, by the batches of these videos; a few are made anew if no time is known."""
        if not self._times(name):
            prompts = [one.prompt for one in asked][:TIMED]
            with TemporaryDirectory() as folder:
                self._make(name, prompts, [Path(folder) / f"{place}.mp4" for place in range(len(prompts))])
        counts, seconds = zip(*self._times(name), strict=True)
        return per_item(counts, seconds, VIDEOS_TIMED)

    def _make(self, name: str, prompts: Sequence[Prompt], files: Sequence[Path]) -> None:
        count, start = 0, time.monotonic()
        for _ in self._generator.write(prompts, files, label=f"videos ({name})"):
            count += 1
            if count == BATCH:
                self._keep_time(name, count, time.monotonic() - start)
                count, start = 0, time.monotonic()
        if count:
            self._keep_time(name, count, time.monotonic() - start)

    def _keep_time(self, name: str, count: int, seconds: float) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log(name).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps([self._mark, self.threads, count, round(seconds, 3)]) + "\n")

    def _times(self, name: str) -> list[tuple[int, float]]:
        """(videos, seconds) of the batches of this model on so many threads."""
        if not self._log(name).is_file():
            return []
        try:
            rows = [json.loads(line) for line in self._log(name).read_text(encoding="utf-8").splitlines()]
            return [(count, spent) for mark, threads, count, spent in rows if (mark, threads) == self._key]
        except ValueError as error:
            raise VmcError(f"{self._log(name)} is damaged; remove it, a few videos are timed anew") from error

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}-seconds.jsonl"

    @property
    def _mark(self) -> str:
        return f"{derive_seed(repr(self.made_with)):x}"

    @property
    def _key(self) -> tuple[str, int]:
        return self._mark, self.threads
