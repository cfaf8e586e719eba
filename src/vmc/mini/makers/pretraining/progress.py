"""One call of the pretraining: what it is, how far it is, and its folder, opened or begun."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from vmc.mini.makers.pretraining.clips import PLAIN, VALIDATION, WEBCAM, Clips
from vmc.mini.makers.pretraining.command import STEPS
from vmc.mini.makers.pretraining.networks import describe
from vmc.mini.world.hashing import renderer_hash
from vmc.tools.learning.learner import Learner
from vmc.tools.learning.training import Clock, Task, TrainingFolder, run_steps
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


@dataclass(kw_only=True)
class PretrainingProgress:
    """How far a pretraining is.

    Attributes:
        identity: of its plan.
        vae_steps, steps: lengths of its schedules.
        vae_step, step: updates done.
        seconds: of training, all calls together.
        marked: whether the text encoder has learned that unknown words are words.
        scaling_factor, deviation_C: of the finished autoencoder, None before.
    """

    identity: dict[str, Any]
    vae_steps: int
    steps: int
    vae_step: int = 0
    step: int = 0
    seconds: float = 0.0
    marked: bool = False
    scaling_factor: float | None = None
    deviation_C: list[float] | None = None

    @property
    def phase(self) -> str:
        """Which part is being trained."""
        return "vae" if self.scaling_factor is None else "unet"

    @property
    def steps_done(self) -> dict[str, int]:
        """Of both phases, by the names they have in the log."""
        lessons = {"text": self.step, "marks": self.marked}  # done whole, and kept with the first state after them
        return {"vae": self.vae_step, "unet": self.step, **{name: 10**9 for name, done in lessons.items() if done}}


@dataclass
class Session:
    """A folder, its progress and the clips; the phases work on it.

    Args:
        folder: of the pretraining.
        plan: whose lengths of schedules are those of the progress.
        progress: how far it is.
        tensors: of the state.
        device: cpu or cuda.
        clock: when the call ends.
    """

    folder: TrainingFolder
    plan: PretrainingPlan
    progress: PretrainingProgress
    tensors: dict[str, Tensor]
    device: str
    clock: Clock

    def __post_init__(self) -> None:
        self.pipeline = self.folder.path / "pipeline"  # the averaged networks in the diffusers layout
        self.clips = Clips(self.plan.clips)
        self.validation = Clips(self.plan.validation, first=VALIDATION)
        self.webcam = Clips(self.plan.webcam, first=WEBCAM)
        self.plain = Clips(self.plan.plain, first=PLAIN)

    @property
    def all_clips(self) -> tuple[Clips, Clips, Clips, Clips]:
        """Those that are measured, those of all framings, those of a webcam, those of gestures as they are written."""
        return self.validation, self.clips, self.webcam, self.plain

    def prepare_clips(self, workers: int) -> bool:
        """Render what is missing; whether all is there."""
        return all(clips.prepare(workers=workers, enough=self.clock.over) for clips in self.all_clips)

    def save(self, tensors: dict[str, Tensor], learner: Learner | None = None, seconds: float = 0.0) -> None:
        """Write the state."""
        self.tensors = tensors
        self.progress.seconds += seconds
        self.folder.write(self.progress, tensors, learner)

    def train(
        self,
        task: Task,
        learner: Learner,
        counter: Literal["vae_step", "step"],
        *,
        kept: dict[str, Tensor],
        export: Callable[[], None] = lambda: None,
    ) -> bool:
        """Run a phase; whether its schedule is done. `kept` are tensors of the state that are not the learner's."""

        def save(seconds: float) -> None:
            setattr(self.progress, counter, learner.step)
            self.save({**kept, **learner.tensors()}, learner, seconds)
            export()

        return run_steps(task, learner, folder=self.folder, clock=self.clock, save=save)


def open_session(
    path: Path,
    plan: PretrainingPlan,
    *,
    device: str,
    clock: Clock,
    vae_steps: int | None = None,
    steps: int | None = None,
) -> Session:
    """Go on with the folder, or begin it.

    Args:
        path: of the folder.
        plan: the configuration wanted.
        device: cpu or cuda.
        clock: when the call ends.
        vae_steps, steps: lengths of the schedules where they are to be other than the folder's; None leaves them.

    Raises:
        VmcError: the folder is of another configuration, its state damaged, or the device not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise VmcError("--device is cuda, and PyTorch finds no GPU here; use --device cpu")
    folder = TrainingFolder(path, PretrainingProgress)
    found = folder.read()
    plan = replace(plan, **{name: value for name, value in (("vae_steps", vae_steps), ("steps", steps)) if value})
    if found is None:
        progress = PretrainingProgress(identity=plan.identity(), vae_steps=plan.vae_steps, steps=plan.steps)
        folder.begin(progress, new=True)
        return Session(folder, plan, progress, {}, device, clock)
    progress, tensors = found
    _check(path, plan.identity(), progress, vae_steps)
    progress.vae_steps, progress.steps = vae_steps or progress.vae_steps, steps or progress.steps
    folder.begin(progress, new=False)
    return Session(folder, plan, progress, tensors, device, clock)


def _check(path: Path, wanted: dict[str, object], progress: PretrainingProgress, vae_steps: int | None) -> None:
    for name, value in wanted.items():
        if (there := progress.identity.get(name)) != value:
            raise VmcError(
                f"--output is {path}, a pretraining with {name} {there}, and this one has {value};"
                " choose a new folder, or go on with the same configuration"
            )
    if vae_steps and progress.phase != "vae" and vae_steps != progress.vae_steps:
        raise VmcError(
            f"--vae-steps is {vae_steps}, and the autoencoder of {path} is finished after {progress.vae_steps};"
            " leave the option out, or choose a new folder"
        )
