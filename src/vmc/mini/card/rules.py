"""The two thresholds. Their rules were fixed before any ablation was run; their values follow from the networks."""

from collections.abc import Sequence

from vmc.mini.card.intervals import Clustered, Figure, mean, percentile

PERCENT = 99.0
"""Of people who were not copied, doing the same gesture: what lies above is called a copy."""
WAY_DOWN = 1 / 3
"""From the base model's appearance on its test set down to that of random pairings of videos and subjects."""
DECIMALS = 4
"""To which thresholds are rounded, in the card as in the stack."""


def appearance_threshold(own: Sequence[float], others: Sequence[float], subjects: Sequence[str]) -> Figure:
    """One third of the way from what videos score with their own subject to what they score with all others.

    Args:
        own: each video's appearance with its own subject; NaN for an invalid one.
        others: its mean appearance with all other subjects.
        subjects: of the videos.
    """
    between = [first - WAY_DOWN * (first - second) for first, second in zip(own, others, strict=True)]
    return rounded(mean(between, subjects, share=False))


def copy_threshold(*uncopied: Clustered) -> Figure:
    """The similarity that `PERCENT` of every kind of uncopied videos do not exceed: the kind nearest to copies sets it.

    Args:
        uncopied: of each kind, similarities to the exemplars of the same gesture.
    """
    return rounded(max((percentile(kind, PERCENT) for kind in uncopied), key=lambda found: found["value"] or -1.0))


def rounded(figure: Figure) -> Figure:
    """To `DECIMALS`."""
    return {name: None if number is None else round(number, DECIMALS) for name, number in figure.items()}
