"""Falling fits of appearance, crossings found anew in every resample, and how often intervals and tests are right."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from vmc.metrics.equal_appearance import Fit, fit_falling, lowest_common, resample_trajectories
from vmc.metrics.statistics import intervals_of, intervals_of_values

SCRIPT = Path(__file__).parents[2] / "experiments" / "matching" / "simulate.py"


@pytest.fixture(scope="module")
def simulate():
    spec = importlib.util.spec_from_file_location("simulate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fit(*scores: float, steps: tuple[int, ...] = (0, 100, 200, 300), weights: tuple[int, ...] = (1, 1, 1, 1)) -> Fit:
    return fit_falling(np.array([scores]), steps_K=np.array(steps), weights_K=np.array(weights))


def test_many_fits_at_once_are_those_of_scipy():
    rng = np.random.default_rng(0)
    scores_RK, weights_K = rng.normal(0, 1, (200, 7)).cumsum(1) * 0.3 - 0.1 * np.arange(7), rng.integers(1, 9, 7)
    found = fit_falling(scores_RK, steps_K=np.arange(7), weights_K=weights_K)
    for scores_K, fitted_K in zip(scores_RK, found.scores_RK, strict=True):
        assert fitted_K == pytest.approx(isotonic_regression(scores_K, weights=weights_K, increasing=False).x)


def test_a_flat_stretch_is_one_point_in_its_middle():
    found = fit(0.30, 0.22, 0.26, 0.20, weights=(1, 1, 3, 1))
    assert found.scores_RK[0] == pytest.approx([0.30, 0.25, 0.25, 0.20])
    assert found.centers_RK[0] == pytest.approx([0, 175, 175, 300])
    steps = found.steps_at(np.array([[0.31, 0.30, 0.275, 0.25, 0.225, 0.20, 0.1]]))[0]
    assert steps == pytest.approx([0, 0, 87.5, 175, 237.5, 300, 300])


def test_runs_are_compared_at_the_threshold_or_the_higher_of_their_lowest():
    deep, shallow = fit(0.3, 0.25, 0.2, 0.1), fit(0.3, 0.28, 0.26, 0.24)
    assert lowest_common(deep, deep, threshold=0.15) == pytest.approx(0.15)
    assert lowest_common(deep, shallow, threshold=0.15) == pytest.approx(0.24)
    assert lowest_common(deep, shallow, threshold=0.27) == pytest.approx(0.27)
    assert lowest_common(deep, shallow, threshold=None) == pytest.approx(0.24)


def test_the_crossing_is_found_anew_in_every_resample(simulate):
    """An interval that takes it as known is much too narrow."""
    design = simulate.DESIGNS["one run"]
    (run,), _ = simulate.draw_runs(design, np.random.default_rng(3))
    alone, _ = simulate.measure([run], [run], threshold=design.threshold, resamples=300)
    found = intervals_of(alone)["motion_accuracy"]
    subjects = sorted(set(run.videos["subject"]))
    (drawn,) = resample_trajectories([run], metrics=["motion_accuracy"], subjects=subjects, resamples=300)
    step = run.fit.steps_at(np.array([[design.threshold]]))[0, 0]
    near = int(np.abs(run.steps_K - step).argmin())
    known = intervals_of_values(run.videos.assign(motion_accuracy=run.values_KUV[near, :, 0]))["motion_accuracy"]
    assert found.high - found.low > 1.5 * (known.high - known.low)
    assert alone.draws_QRV[0, 0, 0] == pytest.approx(drawn.read(np.array([[design.threshold]] * 301))[0, 0, 0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["as the laptop's", "not monotone", "coarse evaluations"])
def test_intervals_cover_and_equal_arms_are_rarely_told_apart(simulate, name):
    """Numbers of many more trials stand in experiments/matching; a few leave a standard error of 3 points."""
    found = simulate.run_design(simulate.DESIGNS[name], trials=60, resamples=150, seed=0)
    assert found.coverage >= 0.86 and found.difference_coverage >= 0.88
    assert found.rejected <= 0.12


@pytest.mark.slow
def test_one_run_covers(simulate):
    found = simulate.run_design(simulate.DESIGNS["one run"], trials=200, resamples=200, seed=0)
    assert 0.91 <= found.coverage <= 0.99
