"""The log of losses: `train.csv`, the mirror and the progress bar; and the base of callbacks that act after a step."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from tqdm import tqdm

from vmc.runs.folder import RunFolder
from vmc.runs.wandb_mirror import Mirror
from vmc.training.module import MotionModule
from vmc.utils.errors import VmcError


class StepCallback(pl.Callback):
    """A callback that acts after each optimizer step, however many micro-batches that takes."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Remember the step at which this process starts."""
        self._seen = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Call `on_step` if the optimizer has stepped."""
        if trainer.global_step != self._seen:
            self._seen = trainer.global_step
            self.on_step(trainer, module, trainer.global_step)

    def on_step(self, trainer: pl.Trainer, module: Any, step: int) -> None:
        """Act after optimizer step `step`, counted from 1."""


class LossLog(StepCallback):
    """Logs the losses of every step to `train.csv` and the mirror, and shows a progress bar on a terminal.

    Columns: `loss`; `loss_motion` (exemplars alone), `loss_regularization` and one for each further kind of clips;
    `loss_NAME`, the part of `loss` that the objective calls NAME; `lr`, the learning rate of the first group, if a
    schedule changes it.

    Args:
        run, mirror: where the losses are written.
        every: losses are read after steps that are multiples of one of these numbers, and at the end, because reading
            waits for the GPU. So other callbacks that act at such a step find them written. 0 has no multiples here.
    """

    def __init__(self, *, run: RunFolder, mirror: Mirror, every: Sequence[int] = (1,)) -> None:
        self.run, self.mirror, self.every = run, mirror, [number for number in every if number]
        self.exemplar_updates, self.seconds = 0, 0.0
        self._unread: list[tuple[int, list[dict[str, Any]], float | None]] = []  # step, its losses, its rate

    def state_dict(self) -> dict[str, Any]:
        """The counters, which continue in a resumed run."""
        return {"exemplar_updates": self.exemplar_updates, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the counters."""
        self.exemplar_updates, self.seconds = state_dict["exemplar_updates"], state_dict["seconds"]

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Drop the rows of `train.csv` after the step that is resumed from, and start bar and clock."""
        super().on_train_start(trainer, module)
        if trainer.is_global_zero:
            self.run.cut_back(trainer.global_step)
        hidden, total, done = None if trainer.is_global_zero else True, trainer.max_steps, trainer.global_step
        self._bar = tqdm(total=total, initial=done, desc="train", unit="step", disable=hidden)
        self._clock = time.perf_counter()

    def on_step(self, trainer: pl.Trainer, module: MotionModule, step: int) -> None:
        """Keep the losses of the step, and read all that were kept if it is time to."""
        self._unread.append((step, module.losses[:], module.rate))
        module.losses.clear()
        if trainer.should_stop or step == trainer.max_steps or any(step % number == 0 for number in self.every):
            self._read(trainer, module)

    def _read(self, trainer: pl.Trainer, module: MotionModule) -> None:
        """Write the rows of all unread steps, which share the seconds since the last reading equally."""
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
        """The sums of a step over micro-batches and ranks."""
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
        # `loss` is a mean over micro-batches, that of a kind of clips a mean over these clips.
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
        """Read the remaining losses, and close the bar."""
        if self._unread:
            self._read(trainer, module)
        self._bar.close()

    def skip_time(self) -> None:
        """Leave the time since the last step, spent on an evaluation, out of the seconds of training."""
        self._clock = time.perf_counter()
