"""Figures with their 95 % intervals, as the card holds them: `{"value", "low", "high"}`, None for what is not known.

Axes: N values, C clusters, R resamples.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from vmc.metrics.statistics import intervals_of_values, no_hit_bound
from vmc.utils.randomness import derive_seed

Figure = dict[str, float | None]
Array = NDArray[np.float64]
RESAMPLES = 2000
PERCENTILES = (0.025, 0.975)


class Clustered(NamedTuple):
    """Values, and for each the clip or subject that it is of: values of one cluster stand or fall together."""

    values: Sequence[float]
    clusters: Sequence[str]


def share_of_clips(right: Sequence[bool]) -> Figure:
    """The share of independent clips that are right (Clopper and Pearson)."""
    found = binomtest(sum(right), len(right))
    interval = found.proportion_ci(method="exact")
    return {"value": sum(right) / len(right), "low": float(interval.low), "high": float(interval.high)}


def mean(values: Sequence[float], clusters: Sequence[str], *, share: bool) -> Figure:
    """The mean with its interval over clusters; NaN is no value. A share is never surer than its clusters allow."""
    metric = "motion_accuracy" if share else "appearance"
    columns = {"subject": list(clusters), "prompt": "", "seed": range(len(values)), metric: np.asarray(values, float)}
    return dict(intervals_of_values(pd.DataFrame(columns))[metric].to_json())


def scaled(figure: Figure, factor: float) -> Figure:
    """The figure times a factor."""
    return {name: None if number is None else number * factor for name, number in figure.items()}


def percentile(part: Clustered, percent: float) -> Figure:
    """A percentile, resampled over clusters."""
    values, names = np.asarray(part.values, float), np.asarray(part.clusters)
    groups = [values[names == name] for name in np.unique(names)]
    rng = np.random.default_rng(derive_seed(len(groups), "card", "percentile"))
    draws = [
        np.percentile(np.concatenate([groups[place] for place in rng.integers(len(groups), size=len(groups))]), percent)
        for _ in range(RESAMPLES)
    ]
    return _figure(float(np.percentile(values, percent)), np.array(draws), clusters=len(groups))


def area(above: Clustered, below: Clustered) -> Figure:
    """The chance that a value of `above` exceeds one of `below` (area under the ROC curve), ties counting half.

    Where no pair is out of order the resamples say nothing; the interval is then that of no hit among the clusters.
    """
    first_N, second_N = np.asarray(above.values, float), np.asarray(below.values, float)
    order_NN = (first_N[:, None] > second_N) + 0.5 * (first_N[:, None] == second_N)
    first_RN, second_RN = _times(above.clusters, "above"), _times(below.clusters, "below")
    draws_R = ((first_RN @ order_NN) * second_RN).sum(1) / (first_RN.sum(1) * second_RN.sum(1))
    clusters = min(len(set(above.clusters)), len(set(below.clusters)))
    found = _figure(float(order_NN.mean()), draws_R, clusters=clusters)
    if found["low"] is not None:
        found["low"] = min(found["low"], 1 - no_hit_bound(clusters))
    return found


def per_item(counts: Sequence[int], totals: Sequence[float], items: int) -> Figure:
    """What `items` of something take, from batches of so many that took so much, resampled over batches."""
    counts_N, totals_N = np.asarray(counts, float), np.asarray(totals, float)
    times_RN = _times([str(place) for place in range(len(counts))], "batches")
    draws_R = items * (times_RN @ totals_N) / (times_RN @ counts_N)
    return _figure(items * float(totals_N.sum() / counts_N.sum()), draws_R, clusters=len(counts))


def _times(clusters: Sequence[str], purpose: str) -> Array:
    """How often each value is drawn in every resample of its clusters."""
    names, place_N = np.unique(np.asarray(clusters), return_inverse=True)
    rng = np.random.default_rng(derive_seed(len(names), "card", purpose))
    drawn_RC = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    return drawn_RC[:, place_N].astype(np.float64)


def _figure(value: float, draws_R: Array, *, clusters: int) -> Figure:
    if clusters < 2:
        return {"value": value, "low": None, "high": None}
    low, high = np.quantile(draws_R, PERCENTILES)
    return {"value": value, "low": min(float(low), value), "high": max(float(high), value)}
