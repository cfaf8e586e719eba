"""Writes weights and checkpoints, and removes the oldest checkpoints."""

from typing import Any

import pytorch_lightning as pl
import torch

from vmc.runs.folder import RunFolder
from vmc.training.loss_log import StepCallback
from vmc.training.module import MotionModule
from vmc.training.tuned_weights import Delta
from vmc.utils.files import atomic_write


class Checkpoints(StepCallback):
    """Writes weights and checkpoints every `every` steps and at the end; the two newest checkpoints are kept."""

    KEPT = 2

    def __init__(
        self, *, run: RunFolder, every: int, about: dict[str, Any], dtype: torch.dtype = torch.float32
    ) -> None:
        self.run, self.every, self.about, self.dtype = run, every, about, dtype

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Take the step at which training starts as saved, and count its micro-batches from 0."""
        super().on_train_start(trainer, module)
        self._saved = trainer.global_step
        # Lightning steps at multiples of `trainer.accumulate`, which may be another than when the run was stopped.
        trainer.fit_loop.epoch_loop.batch_progress.current.reset()

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
