"""What happens on SIGTERM and Ctrl-C: a run ends after the step in progress, saved, and its folder says how."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from types import FrameType, MappingProxyType
from typing import Any, Self

import pytorch_lightning as pl

from vmc.runs.folder import RunFolder
from vmc.runs.mirror import Mirror
from vmc.utils.processes import handle_signals

STOPPING = b"stopping after the step or the videos in hand; the same signal again stops at once\n"


class StopOnSignal(pl.Callback):
    """A signal ends the run after the step or video in progress, its state saved; the same one again acts at once.

    It says so as soon as it comes: a batch of videos may take minutes.

    SIGTERM and SIGINT come from people and systems; SIGUSR2 is a cluster's warning that it will take the machine back.
    Whoever listened to it before is told by `pass_on` when the run is saved: submitit, which puts the job back in the
    queue, must not do so before. After `PATIENCE` seconds it is told all the same: the run then goes on from an earlier
    checkpoint.

    It listens for the length of a `with` block, as the first of the callbacks. Several ranks stop at the same step.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
    PATIENCE = 60.0
    ONE_AND_THE_SAME = 1.0
    """Seconds within which a signal that comes twice was sent once, to a process and to its group."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._first: dict[int, float] = {}
        self._before: dict[int, Any] = {}
        self._listening = contextlib.ExitStack()
        self._trainer: pl.Trainer | None = None
        # Taken now: Lightning listens too, while it trains. Python's own handler of SIGINT only raises.
        known = {number: signal.getsignal(number) for number in self.SIGNALS}
        ours = signal.default_int_handler
        self._listeners = {number: one for number, one in known.items() if callable(one) and one is not ours}

    def __enter__(self) -> Self:
        """Listen."""
        self._before = self._listening.enter_context(handle_signals(self._hear, *self.SIGNALS))
        self._listening.enter_context(handle_signals(lambda *_: self.pass_on(), signal.SIGALRM))
        return self

    def __exit__(self, *error: object) -> None:
        """Give the signals back."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._listening.close()

    @property
    def exit_code(self) -> int:
        """Of a process that a signal ended, as a shell has it: 130 for Ctrl-C, 143 for SIGTERM; 0 where none came."""
        return 0 if self.received is None else 128 + self.received

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Know the trainer."""
        self._trainer = trainer

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Listen in place of Lightning, whose handler would have the ranks wait for each other."""
        for number in self._before:
            signal.signal(number, self._hear)
        trainer.should_stop |= self.asked(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the training where it is asked for."""
        trainer.should_stop |= self.asked(trainer)

    def asked(self, trainer: pl.Trainer) -> bool:
        """Whether any rank was asked to stop; all of them must ask together."""
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
        """Tell whoever listened before, who may end the process."""
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
    """Do the work of a run and leave its folder finished, stopped or failed; the exit code of the process.

    Args:
        work: gives the reason why it ended, `signal` where a signal ended it before its time.
        run, mirror: which are told of the end, by the first `rank`.
        about: what else `run.json` then says, filled by the work.
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
