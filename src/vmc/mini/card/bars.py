"""How much is measured for the card, its figures in the order they are shown, and the bars that were set for them
before any training.
"""

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
        others: people doing each target, as many of the card's as dressed and filmed like the exemplars.
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


VIDEOS_TIMED = 300
"""Of a whole evaluation, which `seconds_300_videos` speaks of."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What a figure is, and what it should be.

    Args:
        what: in words.
        least, most: where a figure has such a bar; neither, where it is reported only.
        share: whether it is a share from 0 to 1.
    """

    what: str
    least: float | None = None
    most: float | None = None
    share: bool = True

    def met(self, value: float | None) -> bool | None:
        """Whether the value is where it should be; None without a bar, or without a value."""
        if value is None or (self.least is None and self.most is None):
            return None
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        if self.least is not None:
            return f"at least {self.least:g}"
        return "reported" if self.most is None else f"at most {self.most:g}"


BARS: dict[str, Bar] = {
    "classifier_accuracy": Bar(what="classifier, rendered clips of 27 gestures", least=0.97),
    "classifier_accuracy_vae": Bar(what="the same clips after the autoencoder, mp4 and back", least=0.93),
    "base_known_gestures": Bar(what="base model's videos of the known gestures, classified right", least=0.80),
    "base_targets_token": Bar(
        what="base model's videos prompted with the rare token, classified as a target, mean of the five", most=0.05
    ),
    "base_targets_language": Bar(
        what="base model's videos of the targets in natural language, classified right, mean of the five"
    ),
    "clip_top1_rendered": Bar(what="own subject among the 100, rendered clips", least=0.90),
    "clip_top1_generated": Bar(what="own subject among the 100, base model's videos", least=0.60),
    "clip_gesture_top1": Bar(what="own gesture's caption among 27, rendered clips"),
    "copy_auc": Bar(what="re-encoded exemplars against other persons doing the same, area under the curve", least=0.99),
    "copied_base": Bar(what="base model's videos above the copy threshold, mean of the five targets", most=0.02),
    "copied_exemplars": Bar(what="re-encoded exemplars above the copy threshold", least=0.95),
    "seconds_300_videos": Bar(what="300 videos, made and written, in seconds", most=240, share=False),
}
"""By the card's keys."""

ALSO: dict[str, Bar] = {
    "clip_gesture_unordered": Bar(what="own gesture's caption, mirrored and reversed gestures counting as one"),
    "appearance_base": Bar(what="base model's appearance on its test set, prompted with the token", share=False),
    "appearance_random": Bar(what="the same videos paired with all other subjects", share=False),
    "copied_others": Bar(what="other people doing the same, above the copy threshold, which they take part in"),
    "copied_alike": Bar(what="people dressed and filmed as the exemplars, above it, which they take part in"),
    "copied_held_out": Bar(what="clips dressed and filmed as the exemplars and not drawn, of people not among those"),
    "copy_auc_held_out": Bar(what="re-encoded exemplars against those"),
    "valid_base": Bar(what="base model's videos of the test set that show something"),
}
"""Of the section `also`: what the thresholds come from, and what tells how far they carry."""
