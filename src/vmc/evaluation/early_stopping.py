"""Early stopping: a run ends where the appearance score of the whole test set has fallen to the threshold."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)


def has_fallen(metrics: Mapping[str, Mapping[str, float | None]], threshold: float | None) -> bool | None:
    """Whether the appearance score is at or below the threshold, or no video is valid; None without a threshold."""
    if threshold is None:
        return None
    value = metrics.get("appearance", {}).get("value")
    return value is None or value <= threshold


def score_and_decide(
    score: Callable[[bool], dict[str, Any]], *, step: int, last: bool, stops_early: bool, threshold: float | None
) -> tuple[dict[str, Any], bool]:
    """The summary of a step, and whether the run stops there: a subset at the threshold is confirmed on the whole set.

    Args:
        score: scores the whole test set if its argument is true, else a subset; gives the content of `summary.json`.
        step, last: of the evaluation, and whether it is the run's last.
        stops_early: whether the run stops at the threshold.
        threshold: the appearance score, for the message.

    Raises:
        VmcError: the base model is at the threshold before any training, whether or not the run would stop there.
    """
    summary = score(last)
    low = summary["stop"]["reached"] and (stops_early or not step)
    if low and not last:
        summary = score(True)
        low = summary["stop"]["reached"]
        if not low:
            log.info("step %d: the whole test set is still above the threshold; training goes on", step)
    if low and not step:
        value = summary["metrics"]["appearance"]["value"]
        said = "nothing (no video is valid)" if value is None else f"{value:.4f}"
        raise VmcError(
            f"the model's appearance score is {said} before any training, not above stop.appearance"
            f" ({threshold}); lower the threshold, or give stop.appearance=null to train without stopping"
        )
    return summary, bool(low)


def first_below(score_whole: Callable[[int], dict[str, Any] | None], *, step: int, every: int) -> int:
    """The first evaluated step whose whole test set is at the threshold, and complete the evaluation before it.

    Earlier subsets may have been above the threshold where the whole set was not.

    Args:
        score_whole: scores an earlier step on the whole test set; None if its weights are no longer there.
        step: evaluated and at the threshold.
        every: steps between evaluations.
    """
    while step:
        before = (step - 1) // every * every
        summary = score_whole(before)
        if summary is None or not summary["stop"]["reached"]:
            break
        step = before
    return step
