"""How far a pretraining is."""

from dataclasses import dataclass
from typing import Any


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
