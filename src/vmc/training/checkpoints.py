"""Weights and checkpoints on disk, and which checkpoint a run resumes from."""

import logging
import zipfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from vmc.runs.folder import RunFolder
from vmc.training.loss_log import StepCallback
from vmc.training.module import MotionModule
from vmc.training.tuned_weights import Delta
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write

log = logging.getLogger(__name__)


class Checkpoints(StepCallback):
    """Writes weights and checkpoints every `every` steps and at the end; the two newest checkpoints are kept."""

    KEPT = 2

    def __init__(
        self, *, run: RunFolder, every: int, about: dict[str, Any], dtype: torch.dtype = torch.float32
    ) -> None:
        self.run, self.every, self.about, self.dtype = run, every, about, dtype

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Take the step at which training starts as saved."""
        super().on_train_start(trainer, module)
        self._saved = trainer.global_step

    def on_step(self, trainer: pl.Trainer, module: Any, step: int) -> None:
        """Save if it is time to."""
        if self.every and step % self.every == 0:
            self.save(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Save the last step, whether the run is complete or was stopped."""
        if trainer.global_step != self._saved:
            self.save(trainer, module)

    def save(self, trainer: pl.Trainer, module: MotionModule) -> None:
        """Write the trained tensors and the state for resuming, each atomically."""
        step = self._saved = trainer.global_step
        if trainer.is_global_zero:
            delta = Delta(tensors=module.weights(), about={**self.about, "step": step})
            delta.save(self.run.weights(step), dtype=self.dtype)
            with atomic_write(self.run.checkpoint(step)) as temporary:
                trainer.save_checkpoint(temporary)
            self.run.update(step=step)
            self.run.drop_checkpoints(step, keep=self.KEPT)
        else:
            trainer.save_checkpoint(self.run.checkpoint(step))  # writes nothing, but waits for the first rank


def usable_checkpoint(run: RunFolder) -> Path | None:
    """The newest intact checkpoint of a run, None if it has no checkpoints; damaged newer ones are logged."""
    damaged: list[str] = []
    for file in reversed(run.checkpoints()):
        fault = checkpoint_fault(file)
        if fault is None:
            for one in damaged:
                log.warning("the checkpoint %s; the run goes on from step %d", one, int(file.stem))
            return file
        damaged.append(f"{file} is damaged ({fault})")
    if not damaged:
        return None
    raise VmcError(
        f"the checkpoint {damaged[0]}, and none before it is whole; remove {run.checkpoint(0).parent} to train from the"
        " first step on, or choose another output"
    )


def checkpoint_fault(file: Path) -> str | None:
    """What is wrong with a checkpoint file; None if it is intact.

    PyTorch writes a zip archive, but does not verify the CRC-32 checksums of its records when it reads.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            record = archive.testzip()
        if record is not None:
            return f"the checksum of its record {record} is of another content"
        torch.load(file, map_location="cpu", mmap=True, weights_only=True)  # reads no tensors
    except Exception as error:  # a flipped bit of a header may come out as anything
        return " ".join(str(error).split()) or type(error).__name__
    return None
