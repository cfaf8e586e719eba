"""What happens beside the training step. Each callback does one thing; and which checkpoint a run goes on from."""

import logging
import math
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from tqdm import tqdm

from vmc.runs.folder import RunFolder
from vmc.runs.mirror import Mirror
from vmc.training.delta import Delta
from vmc.training.module import MotionModule
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write

log = logging.getLogger(__name__)


class StepCallback(pl.Callback):
    """A callback that acts after each optimizer step; accumulated micro-batches are one step."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Remember where this process begins."""
        self._seen = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Call `on_step` when the optimizer has moved."""
        if trainer.global_step != self._seen:
            self._seen = trainer.global_step
            self.on_step(trainer, module, trainer.global_step)

    def on_step(self, trainer: pl.Trainer, module: Any, step: int) -> None:
        """Act after optimizer step `step`, counted from 1."""


class LossLog(StepCallback):
    """Logs the losses of every step to `train.csv` and the mirror, and moves a bar where there is a terminal.

    `loss`, `loss_motion` (of the exemplars alone), `loss_regularization` and that of each further set of clips;
    `loss_NAME`, what a part that the objective gives a name adds to `loss`; `lr`, the first group's rate in the step,
    where a schedule changes it.

    Args:
        run, mirror: where they are shown.
        every: the losses are read after steps that one of these numbers divides, and at the end: reading them waits for
            a GPU. Whoever else acts after a step finds them written. 0 divides none.
    """

    def __init__(self, *, run: RunFolder, mirror: Mirror, every: Sequence[int] = (1,)) -> None:
        self.run, self.mirror, self.every = run, mirror, [number for number in every if number]
        self.exemplar_updates, self.seconds = 0, 0.0
        self._unread: list[tuple[int, list[dict[str, Any]], float | None]] = []  # step, its losses, its rate

    def state_dict(self) -> dict[str, Any]:
        """Counters that go on in a resumed run."""
        return {"exemplar_updates": self.exemplar_updates, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the counters."""
        self.exemplar_updates, self.seconds = state_dict["exemplar_updates"], state_dict["seconds"]

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Cut `train.csv` back to the step that is resumed from."""
        super().on_train_start(trainer, module)
        if trainer.is_global_zero:
            self.run.cut_back(trainer.global_step)
        hidden, total, done = None if trainer.is_global_zero else True, trainer.max_steps, trainer.global_step
        self._bar = tqdm(total=total, initial=done, desc="train", unit="step", disable=hidden)
        self._clock = time.perf_counter()

    def on_step(self, trainer: pl.Trainer, module: MotionModule, step: int) -> None:
        """Keep the losses, and read them where that is due."""
        self._unread.append((step, module.losses[:], module.rate))
        module.losses.clear()
        if trainer.should_stop or step == trainer.max_steps or any(step % number == 0 for number in self.every):
            self._read(trainer, module)

    def _read(self, trainer: pl.Trainer, module: MotionModule) -> None:
        """Write the rows of the steps since the last time, which share the seconds since then."""
        unread, self._unread = self._unread, []
        totals = [self._total(trainer, module, losses) for _, losses, _ in unread]
        now = time.perf_counter()
        each, self._clock = (now - self._clock) / len(unread), now
        for (step, _, rate), total in zip(unread, totals, strict=True):
            self.seconds += each
            self._write(trainer, total, step=step, rate=rate)

    def _total(
        self, trainer: pl.Trainer, module: MotionModule, losses: Sequence[Mapping[str, Any]]
    ) -> dict[str, float]:
        """The sums of a step over its micro-batches and the ranks."""
        parts = [module.sum_losses(part) for part in losses]
        names = parts[0].keys()
        if any(part.keys() != names for part in parts):
            raise VmcError("objective returns losses of other names than before; it must return the same in every call")
        sums = torch.stack([torch.stack([part[name] for part in parts]).sum() for name in names])
        if trainer.world_size > 1:
            sums = trainer.strategy.reduce(sums.to(module.device), reduce_op="sum")
        return dict(zip(names, sums.tolist(), strict=True))

    def _write(self, trainer: pl.Trainer, total: Mapping[str, float], *, step: int, rate: float | None) -> None:
        """Write the row of a step."""
        self.exemplar_updates += round(total["motion clips"])
        # Means: over all micro-batches of the step, but over the clips of its own kind where there are several kinds.
        losses: dict[str, float | None] = {"loss": total["loss"] / total["micro_batches"]}
        for kind in (kind for kind in total if f"{kind} clips" in total):
            clips = total[f"{kind} clips"]
            losses[f"loss_{kind}"] = total[kind] / clips if clips else None
        losses |= {name: value / total["micro_batches"] for name, value in total.items() if name.startswith("loss_")}
        if not math.isfinite(losses["loss"] or 0.0):
            raise VmcError(
                f"the loss of step {step} is {losses['loss']}; lower optimizer.lr or use trainer.precision=32-true"
            )
        if trainer.is_global_zero:
            row = {"step": step, "exemplar_updates": self.exemplar_updates, "seconds": round(self.seconds, 3)}
            logged = losses if rate is None else {**losses, "lr": rate}
            self.run.append(row | {name: "" if value is None else repr(value) for name, value in logged.items()})
            known = {name: value for name, value in logged.items() if value is not None}
            self.mirror.log({"exemplar_updates": self.exemplar_updates, **known}, step=step)
        self._bar.set_postfix(loss=f"{losses['loss']:.4f}", refresh=False)
        self._bar.update()

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Read what is left, and close the bar."""
        if self._unread:
            self._read(trainer, module)
        self._bar.close()

    def skip_time(self) -> None:
        """Do not count the time since the last step (spent on evaluating)."""
        self._clock = time.perf_counter()


class Checkpoints(StepCallback):
    """Writes `weights/` and `checkpoints/` every so many steps and at the end; the two newest checkpoints are kept."""

    KEPT = 2

    def __init__(
        self, *, run: RunFolder, every: int, about: dict[str, Any], dtype: torch.dtype = torch.float32
    ) -> None:
        self.run, self.every, self.about, self.dtype = run, every, about, dtype

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """The step that is begun at needs no saving."""
        super().on_train_start(trainer, module)
        self._saved = trainer.global_step

    def on_step(self, trainer: pl.Trainer, module: Any, step: int) -> None:
        """Save where it is due."""
        if self.every and step % self.every == 0:
            self.save(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Save the last step, whether the run is complete or was asked to stop."""
        if trainer.global_step != self._saved:
            self.save(trainer, module)

    def save(self, trainer: pl.Trainer, module: MotionModule) -> None:
        """Write the trained tensors and the state for resuming, each whole."""
        step = self._saved = trainer.global_step
        if trainer.is_global_zero:
            delta = Delta(tensors=module.weights(), about={**self.about, "step": step})
            delta.save(self.run.weights(step), dtype=self.dtype)
            with atomic_write(self.run.checkpoint(step)) as temporary:
                trainer.save_checkpoint(temporary)
            self.run.update(step=step)
            self.run.drop_checkpoints(step, keep=self.KEPT)
        else:
            trainer.save_checkpoint(self.run.checkpoint(step))  # writes nothing, but waits for the first process


def usable_checkpoint(run: RunFolder) -> Path | None:
    """The newest training state of a run that is whole, None where it has none; damaged ones after it are named."""
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
    """What keeps a checkpoint from being read as it was written; None for nothing.

    PyTorch writes a zip archive, whose records have checksums (CRC-32) that it does not look at when it reads.
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
