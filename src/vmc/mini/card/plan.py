"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CardPlan:
    """Numbers of clips and videos.

    Args:
        clips: rendered for the classifier, a multiple of 27 for equal shares.
        subjects: of the test set, evenly spaced; all its seeds each.
        subject_clips: rendered of each of these subjects.
        known: known gestures that the base model draws, and `known_videos` of each.
        known_videos: the first `SHOWN` of them show the same subjects in every gesture.
        language_videos: of each target in natural language.
        exemplars: of a run, and `draws` of them, each with the seed of a run.
        draws: of exemplars.
        others: other people doing each target.
    """

    clips: int = 540
    subjects: int = 100
    subject_clips: int = 3
    known: int = 16
    known_videos: int = 20
    language_videos: int = 60
    exemplars: int = 10
    draws: int = 3
    others: int = 100


QUICK = CardPlan(
    clips=4,
    subjects=2,
    subject_clips=1,
    known=2,
    known_videos=1,
    language_videos=1,
    exemplars=1,
    draws=1,
    others=1,
)
"""To see that everything runs; its figures mean nothing."""
SHOWN = 5
"""Subjects of the contact sheet of known gestures."""
