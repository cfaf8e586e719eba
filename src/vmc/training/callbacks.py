"""What happens around the training step: losses are logged, weights and checkpoints written, signals obeyed; also which
checkpoint a run resumes from, and the state in which it leaves its folder.
"""

import contextlib
import logging
import math
import os
import signal
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, Self

import pytorch_lightning as pl
import torch
from tqdm import tqdm

from vmc.runs.folder import RunFolder
from vmc.runs.mirror import Mirror
from vmc.training.delta import Delta
from vmc.training.module import MotionModule
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write
from vmc.utils.processes import handle_signals

log = logging.getLogger(__name__)


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


STOPPING = b"stopping after the step or the videos in hand; the same signal again stops at once\n"


class StopOnSignal(pl.Callback):
    """Ends the run after the current step or video when a signal comes, its state saved; a second one acts at once.

    It says so immediately, because a batch of videos may take minutes.

    SIGTERM and SIGINT come from people and systems; SIGUSR2 is a cluster's warning that it will take the machine back.
    The handler that was there before is called by `pass_on` once the run is saved, because submitit's handler requeues
    the job. After `PATIENCE` seconds it is called in any case, and the run resumes from an earlier checkpoint.

    It listens within a `with` block, and must be the first of the callbacks. All ranks stop at the same step.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
    PATIENCE = 60.0
    ONE_AND_THE_SAME = 1.0
    """Seconds within which the same signal is taken for one, sent to the process and to its group."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._first: dict[int, float] = {}
        self._before: dict[int, Any] = {}
        self._listening = contextlib.ExitStack()
        self._trainer: pl.Trainer | None = None
        # Looked up now, because Lightning sets handlers while it trains. Python's own handler of SIGINT only raises.
        known = {number: signal.getsignal(number) for number in self.SIGNALS}
        ours = signal.default_int_handler
        self._listeners = {number: one for number, one in known.items() if callable(one) and one is not ours}

    def __enter__(self) -> Self:
        """Install the handlers."""
        self._before = self._listening.enter_context(handle_signals(self._hear, *self.SIGNALS))
        self._listening.enter_context(handle_signals(lambda *_: self.pass_on(), signal.SIGALRM))
        return self

    def __exit__(self, *error: object) -> None:
        """Restore the handlers that were there before."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._listening.close()

    @property
    def exit_code(self) -> int:
        """The exit code of a stopped process as in a shell: 130 for Ctrl-C, 143 for SIGTERM; 0 without a signal."""
        return 0 if self.received is None else 128 + self.received

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Remember the trainer."""
        self._trainer = trainer

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Replace Lightning's handlers, which would make the ranks wait for each other."""
        for number in self._before:
            signal.signal(number, self._hear)
        trainer.should_stop |= self.asked(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop training if a signal asks for it."""
        trainer.should_stop |= self.asked(trainer)

    def asked(self, trainer: pl.Trainer) -> bool:
        """Whether any rank was asked to stop; all ranks must call this together."""
        asked = self.received is not None
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked and self.received is None:
            self.received = signal.SIGTERM
        return asked

    def _hear(self, number: int, frame: FrameType | None) -> None:
        further_rank = self._trainer is not None and self._trainer.global_rank > 0  # it ends with the first
        now = time.monotonic()
        if now - self._first.setdefault(number, now) > self.ONE_AND_THE_SAME and not further_rank:
            signal.signal(number, self._before.pop(number))
            signal.raise_signal(number)
            return
        if self.received is None and not further_rank:
            with contextlib.suppress(OSError):  # nobody reads it any more
                os.write(2, STOPPING)  # not by print, which may be what the signal interrupts
        if self.received != signal.SIGUSR2:  # back in the queue goes before being ended
            self.received = signal.Signals(number)
        if number in self._listeners:
            signal.setitimer(signal.ITIMER_REAL, self.PATIENCE)
        if self._trainer is not None:
            self._trainer.should_stop |= self._trainer.world_size == 1  # else they decide together
            for process in getattr(self._trainer.strategy.launcher, "procs", ()):  # the other ranks
                process.send_signal(signal.SIGTERM)

    def pass_on(self) -> None:
        """Call the handler that was there before, which may end the process."""
        if self.received in self._listeners:
            self._listeners[self.received](self.received, None)


def run_to_end(
    work: Callable[[StopOnSignal], str],
    *,
    run: RunFolder,
    mirror: Mirror,
    rank: int = 0,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Do the work of a run and mark its folder finished, stopped or failed; returns the exit code of the process.

    Args:
        work: returns why it ended, `signal` if a signal ended it early.
        run, mirror: the run folder and its mirror, which the first rank updates at the end.
        rank: index of this process.
        about: further entries of `run.json`, filled in by the work.
    """

    def end(status: str, reason: str, exit_code: int) -> None:
        if rank == 0:
            run.conclude(status=status, reason=reason, **about)
            mirror.finish(exit_code)

    with StopOnSignal() as stop:
        try:
            reason = work(stop)
        except (KeyboardInterrupt, SystemExit):  # a signal that could not wait for the step or the videos in hand
            end("stopped", "signal", 1)
            raise
        except BaseException as error:
            end("failed", f"{type(error).__name__}: {error}".strip(": "), 1)
            raise
        code = stop.exit_code if reason == "signal" else 0
        end("stopped" if reason == "signal" else "finished", reason, code)
    if reason == "signal":
        stop.pass_on()
    return code
