"""The loop that both phases share: learn, log, measure, show, save, and stop in time."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from torch import Tensor
from tqdm import tqdm

from vmc.tools.learning.learner import Learner

LOG_EVERY, MEASURE_EVERY = 10, 250
"""Steps between lines of the log, and between measurements where nothing else is said."""
SAVE_SECONDS, SHOW_SECONDS = 120.0, 900.0


@dataclass
class Clock:
    """When a call ends: its minutes are over (0 = never), or it was asked to by a signal."""

    minutes: float = 0.0
    asked: bool = False
    _start: float = field(default_factory=time.monotonic)

    def over(self) -> bool:
        """Whether to stop at the next chance."""
        return self.asked or bool(self.minutes and time.monotonic() - self._start >= 60 * self.minutes)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the call after the step they come in; a second SIGINT is Python's own."""

        def ask(number: int, _: FrameType | None) -> None:
            self.asked = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        former = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


@dataclass(kw_only=True)
class Loop:
    """Trains one phase.

    Args:
        name: of the phase, for the bar.
        learner: what learns.
        loss_of: the loss of the step with that number, counted from 0.
        measure: the fixed validation figure.
        show: draws a sheet.
        save: writes the state; given the seconds that were trained since the last time.
        write_row: one line of the log: step, mean loss since the last line, validation or None, seconds of this call.
        clock: when to stop.
        measure_every: steps between measurements; there is one at the end in any case.
    """

    name: str
    learner: Learner
    loss_of: Callable[[int], Tensor]
    measure: Callable[[], float]
    show: Callable[[], None]
    save: Callable[[float], None]
    write_row: Callable[[int, float, float | None, float], None]
    clock: Clock
    measure_every: int = MEASURE_EVERY

    def run(self) -> bool:
        """Whether the schedule is done; the state is saved at the end in any case."""
        learner, losses = self.learner, list[float]()
        start = saved = shown = time.monotonic()
        with tqdm(total=learner.steps, initial=learner.step, desc=self.name, unit="step", disable=None) as bar:
            while learner.step < learner.steps and not self.clock.over():
                losses.append(learner.learn(self.loss_of(learner.step)))
                bar.update()
                now = time.monotonic()
                if learner.step % LOG_EVERY == 0 or self._measures:
                    validation = self.measure() if self._measures else None
                    mean = sum(losses) / len(losses)
                    self.write_row(learner.step, mean, validation, now - start)
                    bar.set_postfix(loss=f"{mean:.4f}")
                    losses.clear()
                if now - saved >= SAVE_SECONDS:
                    self.save(now - saved)
                    saved = now
                if now - shown >= SHOW_SECONDS:
                    self.show()
                    shown = now
        self.save(time.monotonic() - saved)
        return learner.step >= learner.steps

    @property
    def _measures(self) -> bool:
        return self.learner.step % self.measure_every == 0 or self.learner.step == self.learner.steps
