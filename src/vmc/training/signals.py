"""Signals that end a run after the step or the videos in hand, and the state in which a run leaves its folder."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from types import FrameType, MappingProxyType
from typing import Any, Self

import pytorch_lightning as pl

from vmc.runs.folder import RunFolder
from vmc.runs.wandb_mirror import Mirror
from vmc.utils.processes import handle_signals

STOPPING = b"stopping after the step or the videos in hand; the same signal again stops at once\n"


class StopOnSignal(pl.Callback):
    """Ends the run after the current step or video when a signal comes, its state saved; a second one acts at once.

    It says so immediately, because a batch of videos may take minutes.

    SIGTERM and SIGINT come from people and systems; SIGUSR2 is a cluster's warning that it will take the machine back.
    The handler that was there before is called by `pass_on` once the run is saved, because submitit's handler requeues
    the job. After `PATIENCE` seconds it is called in any case, and the run resumes from an earlier checkpoint.

    It listens within a `with` block, and must be the first of the callbacks. All ranks stop at the same step, and none
    among the micro-batches of a step.
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
        self._seen, self._in_step = 0, False
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
        self._seen = trainer.global_step
        trainer.should_stop |= self.asked(trainer)

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        """Let a step that has begun come to its end."""
        self._in_step = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop training if a signal asks for it, and the micro-batch was the last of its step."""
        if trainer.global_step == self._seen:
            trainer.should_stop = False  # the signal may have come just before the step began
            return
        self._seen, self._in_step = trainer.global_step, False
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
            # Several ranks decide together.
            self._trainer.should_stop |= self._trainer.world_size == 1 and not self._in_step
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
