"""Intervals: their coverage in simulations with known truth, their labels, and the cases in which a bootstrap fails.

Axes: N subjects, K videos of a subject.
"""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vmc.metrics.scores import known_columns
from vmc.metrics.statistics import (
    Interval,
    Resampled,
    Run,
    intervals_of_run,
    intervals_of_runs,
    intervals_of_values,
    no_hit_bound,
    resample,
    subject_weights,
)
from vmc.utils.errors import VmcError


def frame(values_NK: np.ndarray, *, metric: str = "appearance") -> pd.DataFrame:
    count, videos = values_NK.shape
    return pd.DataFrame(
        {
            "subject": np.repeat([f"subject {index:03d}" for index in range(count)], videos),
            "prompt": "a prompt",
            "seed": np.tile(np.arange(videos), count),
            metric: np.asarray(values_NK, dtype=float).ravel(),
        }
    )


def runs_of(means: dict[tuple[str, int], float], *, rng: np.random.Generator, subjects: np.ndarray) -> list[Run]:
    noise = rng.normal(0, 0.5, (len(means), len(subjects), 2))
    return [
        Run(motion=motion, seed=seed, values=frame(mean + subjects[:, None] + noise[index]))
        for index, ((motion, seed), mean) in enumerate(means.items())
    ]


def alone(values: pd.DataFrame) -> Run:
    return Run(motion="", seed=0, values=values)


def covers(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def test_one_run_covers_and_ignoring_subjects_does_not():
    """Subjects are easy or hard (Beta(0.2, 0.2)): their three videos mostly stand or fall together."""
    rng = np.random.default_rng(0)
    trials, right, wrong = 120, 0, 0
    for _ in range(trials):
        chances = rng.beta(0.2, 0.2, (40, 1))
        values = frame(rng.random((40, 3)) < chances, metric="motion_accuracy")
        right += covers(intervals_of_runs([alone(values)], resamples=300)["motion_accuracy"], 0.5)
        apart = values.assign(subject=values["subject"] + values["seed"].astype(str))
        wrong += covers(intervals_of_runs([alone(apart)], resamples=300)["motion_accuracy"], 0.5)
    assert 0.92 <= right / trials <= 0.98
    assert wrong / trials < 0.87


def test_several_runs_cover_where_percentiles_do_not():
    """Three motions, two seeds each: the truth is the mean over all motions there could be.

    Percentiles are about the range of the three: it holds the truth three times in four.
    """
    rng = np.random.default_rng(1)
    trials, right, wrong = 80, 0, 0
    for _ in range(trials):
        motions = rng.normal(0, 1, 3)
        means = {(f"m{m}", s): motions[m] + rng.normal(0, 0.1) for m in range(3) for s in range(2)}
        runs = runs_of(means, rng=rng, subjects=rng.normal(0, 0.1, 20))
        right += covers(intervals_of_runs(runs, resamples=300)["appearance"], 0.0)
        draws = resample(runs, metrics=["appearance"], resamples=300).draws_RV[:, 0]
        low, high = np.quantile(draws, [0.025, 0.975])
        wrong += low <= 0 <= high
    assert right / trials >= 0.90
    assert wrong / trials < 0.85


def test_subjects_are_the_same_people_in_every_run():
    """Runs that differ in nothing but noise: averaging them makes the error of the subjects no smaller."""
    rng = np.random.default_rng(2)
    subjects = rng.normal(0, 1, 60)
    means = {(f"m{m}", s): 0.0 for m in range(4) for s in range(3)}
    drawn = resample(runs_of(means, rng=rng, subjects=subjects), metrics=["appearance"], resamples=2000)
    assert drawn.draws_RV.std() == pytest.approx(subjects.std() / math.sqrt(60), rel=0.15)


def test_the_error_holds_motions_and_subjects_and_counts_the_noise_of_videos_once():
    """Of 4 motions whose means differ by noise alone, and of subjects that differ for all of them."""
    rng, found = np.random.default_rng(8), []
    for _ in range(60):
        noise = rng.normal(0, 1, (4, 30, 1))
        runs = [Run(motion=f"m{m}", seed=0, values=frame(noise[m])) for m in range(4)]
        between, shared, own = resample(runs, metrics=["appearance"], resamples=200).variances()
        found.append((between[0], shared[0], own[0]))
    mean = np.mean(found, axis=0)
    assert mean[0] == pytest.approx(1 / 120, rel=0.25) and mean[2] == pytest.approx(1 / 120, rel=0.1)
    assert mean[1] < 0.4 / 120
    people = rng.normal(0, 1, (30, 1))
    alike = [Run(motion=f"m{m}", seed=0, values=frame(people)) for m in range(4)]
    between, shared, _ = resample(alike, metrics=["appearance"], resamples=2000).variances()
    assert between[0] == pytest.approx(0) and shared[0] == pytest.approx(people.var() / 30 * 0.75, rel=0.15)


def test_one_run_agrees_with_students_t():
    rng = np.random.default_rng(3)
    for count in (10, 100):
        values = rng.normal(0, 1, (count, 1))
        found = intervals_of_values(frame(values))["appearance"]
        reach = stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count)
        assert found.value == pytest.approx(values.mean())
        assert found.high - found.low == pytest.approx(2 * reach, rel=0.06)


def test_motions_weigh_alike_whatever_their_number_of_seeds():
    values = frame(np.zeros((5, 1)))
    cells = [("a", 0, 0.0), ("a", 1, 0.0), ("a", 2, 0.0), ("b", 0, 1.0)]
    runs = [Run(motion=m, seed=s, values=values.assign(appearance=value)) for m, s, value in cells]
    assert intervals_of_runs(runs, resamples=100)["appearance"].value == pytest.approx(0.5)


@pytest.mark.parametrize("hit", [0.0, 1.0])
def test_no_hit_among_a_hundred_subjects(hit):
    found = intervals_of_values(frame(np.full((100, 3), hit), metric="copy_score"))["copy_score"]
    exact = stats.binomtest(round(hit * 100), 100).proportion_ci(0.95, method="exact")
    assert found.value == hit
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert no_hit_bound(100) == pytest.approx(0.0362, abs=1e-4)


def test_a_first_hit_never_lowers_the_upper_end():
    ends = []
    for hits in range(8):
        values = np.zeros((100, 3))
        values[:hits, 0] = 1
        found = intervals_of_runs([alone(frame(values, metric="copy_score"))], resamples=2000)["copy_score"]
        assert found.low <= found.value <= found.high
        ends.append(found.high)
    assert ends == sorted(ends)


def test_no_hit_in_several_runs_speaks_of_subjects_alone():
    values = frame(np.zeros((100, 3)), metric="motion_accuracy")
    runs = [Run(motion=m, seed=s, values=values) for m in "abc" for s in range(2)]
    found = intervals_of_runs(runs, resamples=200)["motion_accuracy"]
    assert (found.low, found.high) == (0, pytest.approx(no_hit_bound(100)))
    assert found.speaks_of.startswith("these runs only")


def test_shares_stay_between_zero_and_one():
    values = frame(np.zeros((20, 2)), metric="motion_accuracy")
    runs = [Run(motion=m, seed=0, values=values.assign(motion_accuracy=v)) for m, v in (("a", 0.9), ("b", 0.3))]
    found = intervals_of_runs(runs, resamples=200)["motion_accuracy"]
    assert (found.low, found.high) == (0.0, 1.0)  # two motions so far apart tell nothing


@pytest.mark.parametrize(
    ("cells", "label"),
    [
        ([("a", 0)], "this model only"),
        ([("a", 0), ("a", 1)], "this motion only: other training seeds and subjects (1 motion, 2 training seeds)"),
        ([("a", 0), ("b", 1)], "other motions and subjects (2 motions, a single training seed each)"),
        (
            [("a", 0), ("a", 1), ("b", 0), ("b", 1)],
            "other motions, training seeds and subjects (2 motions, 2 training seeds each)",
        ),
        (
            [("a", 0), ("a", 1), ("b", 0)],
            "other motions, training seeds and subjects (2 motions, 1 to 2 training seeds each)",
        ),
    ],
)
def test_labels(cells, label):
    values = frame(np.random.default_rng(4).random((5, 2)))
    runs = [Run(motion=motion, seed=seed, values=values) for motion, seed in cells]
    assert intervals_of_runs(runs, resamples=50)["appearance"].speaks_of == label


def test_no_runs_are_refused_and_metrics_are_those_of_all():
    with pytest.raises(VmcError, match="no runs"):
        intervals_of_runs([])
    both = frame(np.random.default_rng(5).random((5, 2))).assign(flicker=0.5)
    runs = [Run(motion="a", seed=0, values=both), Run(motion="b", seed=0, values=both.drop(columns="flicker"))]
    assert list(intervals_of_runs(runs, resamples=50)) == ["appearance"]


def test_a_single_subject_has_no_interval_but_a_share_is_bounded():
    one = frame(np.array([[0.0, 0.0, 0.0]])).assign(valid=0.0)
    found = intervals_of_values(one)
    assert found["appearance"].to_json() == {"value": 0.0, "low": None, "high": None}
    assert (found["valid"].low, found["valid"].high) == (0, pytest.approx(0.975))
    json.dumps(found["appearance"].to_json(), allow_nan=False)


def test_videos_without_a_value_are_left_out():
    values = frame(np.arange(20.0).reshape(10, 2))
    values.loc[values["subject"] < "subject 005", "appearance"] = np.nan
    found = intervals_of_values(values)["appearance"]
    assert found.value == pytest.approx(14.5)
    assert 10 <= found.low < found.high <= 19


def test_what_one_metric_lacks_changes_nothing_of_the_others():
    """One subject alone has a value of it in one run: most resamples have none."""
    rng = np.random.default_rng(7)
    runs = runs_of({("a", 0): 0.2, ("b", 0): 0.4}, rng=rng, subjects=rng.normal(0, 1, 12))
    sparse = runs[0].values.assign(flicker=np.where(runs[0].values["subject"] == "subject 003", 0.5, np.nan))
    others = [replace(runs[0], values=sparse), replace(runs[1], values=runs[1].values.assign(flicker=0.1))]
    found = intervals_of_runs(others, resamples=400)
    expected = intervals_of_runs(runs, resamples=400)["appearance"].to_json()
    assert found["appearance"].to_json() == pytest.approx(expected)
    assert found["flicker"].value == pytest.approx(0.3)
    assert found["flicker"].low < 0.3 < found["flicker"].high


def test_a_metric_that_every_resample_lacks_has_no_interval_and_no_band():
    rng = np.random.default_rng(10)
    values = frame(rng.normal(0, 1, (8, 2))).assign(flicker=0.5)
    runs = [
        Run(motion=m, seed=0, values=values.assign(appearance=values["appearance"] + k)) for k, m in enumerate("ab")
    ]
    drawn = resample(runs, metrics=["appearance", "flicker"], resamples=300)
    drawn.draws_QRV[0, :, 1] = np.nan
    whole = resample(runs, metrics=["appearance"], resamples=300)
    for (known, lost), (other,) in zip((*drawn.ends(), *drawn.band()), (*whole.ends(), *whole.band()), strict=True):
        assert known == pytest.approx(other) and math.isnan(lost)
    assert math.isnan(drawn.p_values()[1]) and drawn.p_values()[0] == pytest.approx(whole.p_values()[0])
    draws_QRV = np.full_like(whole.draws_QRV, np.nan)
    assert np.isnan(replace(whole, draws_QRV=draws_QRV).band()).all()


def test_the_scores_of_a_run():
    scores = pd.DataFrame(
        {
            "prompt": np.repeat(["a man", "a cat", "a dog"], 2),
            "subject": None,
            "seed": [1, 2] * 3,
            "valid": [True] * 5 + [False],
            "motion_correct": [True, False, True, True, False, None],
            "copy_similarity_any": [0.1, 0.2, 0.3, 0.4, 0.5, None],
        }
    )
    found = intervals_of_run(scores, columns=known_columns(0.35))
    assert list(found) == ["motion_accuracy", "copy_score_any", "valid"]
    assert found["motion_accuracy"].value == 0.5
    assert found["copy_score_any"].value == pytest.approx(0.4)
    assert {interval.speaks_of for interval in found.values()} == {"this model only"}


@settings(max_examples=12, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1), st.booleans()), min_size=2, max_size=20),
    order=st.randoms(use_true_random=False),
)
def test_the_order_of_rows_changes_nothing_and_the_value_lies_inside(rows, order):
    scores = pd.DataFrame(
        {
            "prompt": [f"p{subject}" for subject, _, _ in rows],
            "subject": None,
            "seed": range(len(rows)),
            "valid": [valid for _, _, valid in rows],
            "appearance": [value for _, value, _ in rows],
            "motion_correct": [value > 0.5 for _, value, _ in rows],
        }
    )
    shuffled = list(range(len(rows)))
    order.shuffle(shuffled)
    found, again = intervals_of_run(scores), intervals_of_run(scores.iloc[shuffled].reset_index(drop=True))
    assert {name: interval.to_json() for name, interval in found.items()} == {
        name: interval.to_json() for name, interval in again.items()
    }
    for interval in found.values():
        if not math.isnan(interval.low):
            assert interval.low - 1e-9 <= interval.value <= interval.high + 1e-9


def test_the_order_of_runs_changes_nothing():
    rng = np.random.default_rng(6)
    means = {(m, s): rng.normal() for m in "abc" for s in range(2)}
    runs = runs_of(means, rng=rng, subjects=rng.normal(0, 1, 8))
    assert intervals_of_runs(runs, resamples=100) == intervals_of_runs(runs[::-1], resamples=100)


def test_a_band_holds_a_whole_curve_where_pointwise_intervals_do_not():
    rng = np.random.default_rng(9)
    trials, whole, pointwise = 150, 0, 0
    for _ in range(trials):
        curves_MG, people_N = rng.normal(0, 1, (4, 8)).cumsum(1), rng.normal(0, 1, 20)
        draws = subject_weights(20, 200)
        means_R = draws @ people_N / draws.sum(1)
        drawn = Resampled(
            places=[(f"m{m}", 0) for m in range(4)],
            metrics=[f"at {g}" for g in range(8)],
            draws_QRV=curves_MG[:, None] + means_R[None, :, None],
            subjects_V=np.full(8, 20),
            shares=frozenset(),
        )
        low_V, high_V = drawn.band()
        whole += bool((low_V <= 0).all() and (high_V >= 0).all())
        low_V, high_V = drawn.ends()
        pointwise += bool((low_V <= 0).all() and (high_V >= 0).all())
    assert 0.90 <= whole / trials <= 0.99
    assert pointwise / trials < 0.92
