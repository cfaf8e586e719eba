"""What a pretraining is: everything that decides its weights, and how long it goes on."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from vmc.mini.makers.pretraining.command import STEPS
from vmc.mini.makers.pretraining.networks import describe
from vmc.mini.world.hashing import renderer_hash
from vmc.utils.errors import VmcError


@dataclass(frozen=True, kw_only=True)
class PretrainingPlan:
    """The configuration of one pretraining.

    Args:
        seed: of the first weights and of every draw.
        clips: rendered clips, each of two windows.
        webcam: clips of a camera that stands still, besides.
        plain: clips of gestures done as they are written, besides.
        validation: clips that are measured and never trained on.
        vae_steps, steps: of the autoencoder; of text encoder and UNet. A call may change both.
        lessons: steps in which the text encoder learns to read captions, before the UNet begins.
        marks: steps in which it learns that unknown words are words.
        images: of the UNet's steps, how many at first learn from single frames.
        motion: up to which of the UNet's steps clips count by what moves in them at every timestep.
        vae_batch: frames a step.
        batch: clips a step.
    """

    seed: int = 0
    clips: int = 12_000
    webcam: int = 6_000
    plain: int = 4_000
    validation: int = 64
    vae_steps: int = 10_000
    steps: int = STEPS
    lessons: int = 1_000
    marks: int = 800
    images: int = 3_000
    motion: int = 14_400
    vae_batch: int = 16
    batch: int = 16

    def __post_init__(self) -> None:
        for name in (
            "clips",
            "webcam",
            "plain",
            "validation",
            "vae_steps",
            "steps",
            "lessons",
            "marks",
            "vae_batch",
            "batch",
        ):
            if (value := getattr(self, name)) < 1:
                raise VmcError(f"--{name.replace('_', '-')} is {value}; it must be at least 1")

    def identity(self) -> dict[str, Any]:
        """What must be equal to go on with a folder: all but the lengths of the schedules, and `webcam`, `plain`
        and `marks`, which joined a pretraining on its way.
        """
        changing = ("steps", "vae_steps", "lessons", "marks", "images", "motion", "webcam", "plain")
        fixed = {name: value for name, value in asdict(self).items() if name not in changing}
        text = json.dumps(describe(), sort_keys=True, default=str)
        return {**fixed, "architecture": hashlib.sha256(text.encode()).hexdigest()[:16], "renderer": renderer_hash()}
