"""Paired differences: exact cases, how often nothing is called something, and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vmc.metrics.statistics import Difference, Run, holm, no_hit_bound, paired_differences, resample
from vmc.utils.errors import VmcError

CELLS = [(motion, seed) for motion in ("a", "b", "c", "d") for seed in range(2)]


def frame(values: np.ndarray, *, metric: str = "motion_accuracy") -> pd.DataFrame:
    subjects = [f"subject {index:02d}" for index in range(len(values))]
    return pd.DataFrame({"subject": subjects, "prompt": subjects, "seed": 1, metric: values})


def arm(means: dict[tuple[str, int], float], subjects: np.ndarray, *, metric: str = "appearance") -> list[Run]:
    return [Run(motion=m, seed=s, values=frame(mean + subjects, metric=metric)) for (m, s), mean in means.items()]


def paired_difference(runs: list[Run], others: list[Run], *, metric: str, draws: int = 10_000) -> Difference:
    one, other = (resample(arm, metrics=[metric], resamples=draws) for arm in (runs, others))
    return paired_differences(one, other)[metric]


def test_holm_by_hand():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(found) == ["a", "b", "c", "d"]
    assert holm({"a": 0.6, "b": 0.5}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_stepping_down_rejects(p_values):
    corrected = holm(dict(enumerate(p_values)))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [corrected[place] for place in order] == sorted(corrected.values())
    for level in (0.05, 0.3):
        rejected = set()
        for step, place in enumerate(order):
            if p_values[place] * (len(order) - step) > level:
                break
            rejected.add(place)
        assert {place for place, p in corrected.items() if p <= level} == rejected


def test_one_seed_each_is_students_paired_t():
    """Where only motions differ, the p-value is that of the t-test on the motions' differences."""
    effects = np.array([0.1, 0.3, 0.2, 0.6])
    nobody = np.zeros(4)
    one = arm({(m, 0): effect for m, effect in zip("abcd", effects, strict=True)}, nobody)
    other = arm({(m, 0): 0.0 for m in "abcd"}, nobody)
    found = paired_difference(one, other, metric="appearance")
    test = stats.ttest_1samp(effects, 0)
    assert found.value == pytest.approx(0.3)
    assert found.p == pytest.approx(test.pvalue, rel=0.05)
    exact = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.01)


def test_nothing_is_rarely_called_something():
    """Equal arms whose runs differ by luck. Counting resamples beyond zero calls it significant far too often."""
    rng = np.random.default_rng(0)
    trials, found, counted = 200, 0, 0
    people = rng.normal(0, 1, 8)
    for _ in range(trials):
        one, other = (arm({(motion, 0): rng.normal() for motion in "abcd"}, people) for _ in range(2))
        found += paired_difference(one, other, metric="appearance", draws=150).p < 0.05
        apart = [
            first.values["appearance"][0] - second.values["appearance"][0]
            for first, second in zip(one, other, strict=True)
        ]
        beyond = np.mean(rng.choice(apart, (150, 4)).mean(1) <= 0)  # motions drawn anew
        counted += 2 * min(beyond, 1 - beyond) < 0.05
    assert 0.01 <= found / trials <= 0.08
    assert counted / trials > 0.10


def test_pairing_takes_out_what_the_arms_share():
    rng = np.random.default_rng(1)
    people = rng.normal(0, 5, 20)
    shared = {cell: rng.normal(0, 5) for cell in CELLS}
    one = arm({cell: mean + 0.5 + rng.normal(0, 0.05) for cell, mean in shared.items()}, people)
    other = arm(shared, people)
    found = paired_difference(one, other, metric="appearance", draws=1000)
    assert found.p <= 1e-3 and 0.45 < found.low < found.high < 0.6
    back = paired_difference(other, one, metric="appearance", draws=1000)
    assert (back.value, back.low, back.high, back.p) == pytest.approx((-found.value, -found.high, -found.low, found.p))


def test_single_runs_cannot_tell():
    one, other = arm({("a", 0): 0.9}, np.zeros(5)), arm({("a", 0): 0.1}, np.zeros(5))
    with pytest.raises(VmcError, match="one run per arm cannot tell"):
        paired_difference(one, other, metric="appearance")


def test_runs_of_other_seeds_are_refused():
    one = arm({("a", 0): 1.0, ("b", 0): 1.2}, np.zeros(5))
    with pytest.raises(VmcError, match="give the same ones of both"):
        paired_difference(one, arm({("a", 0): 0.0, ("b", 1): 0.0}, np.zeros(5)), metric="appearance")
    found = paired_difference(one, arm({("b", 0): 0.0, ("a", 0): 0.0}, np.zeros(5)), metric="appearance")
    assert found.value == pytest.approx(1.1)
    assert found.speaks_of == "other motions and subjects (2 motions, a single training seed each)"


def test_arms_alike_in_every_video():
    none = [Run(motion=m, seed=s, values=frame(np.zeros(100))) for m, s in CELLS]
    every = [Run(motion=m, seed=s, values=frame(np.ones(100))) for m, s in CELLS]
    same = paired_difference(none, none, metric="motion_accuracy", draws=100)
    assert same.p == 1 and (same.low, same.high) == pytest.approx((-no_hit_bound(100), no_hit_bound(100)))
    apart = paired_difference(every, none, metric="motion_accuracy", draws=100)
    assert apart.p == 2 * 0.5**4  # four motions of one sign
    assert apart.high == 1 and not math.isnan(apart.low)
