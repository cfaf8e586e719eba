"""One call of the pretraining: opens or begins a folder, and goes on from where it stands."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vmc.mini.makers.pretraining.clips import PLAIN, VALIDATION, WEBCAM, Clips
from vmc.mini.makers.pretraining.plan import PretrainingPlan
from vmc.mini.makers.pretraining.progress import PretrainingProgress
from vmc.tools.learning.learner import Learner
from vmc.tools.learning.training import Clock, Task, TrainingFolder, run_steps
from vmc.utils.errors import VmcError


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
