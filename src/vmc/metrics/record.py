"""What a metric is told of a video besides its frames."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Record:
    """One video and what it was made from.

    Args:
        video: its file name.
        prompt: as the model was given it.
        subject: the phrase that the appearance score looks for; None where the test set names none.
        language: the full caption in natural language, for text alignment; None where there is none.
        seed: of the video's noise; None for a video whose seed is not known.
    """

    video: str
    prompt: str
    subject: str | None = None
    language: str | None = None
    seed: int | None = None
