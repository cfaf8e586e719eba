"""Interpolation to the stopping appearance: values by hand, arms that never reach it, evaluations that do not fit."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmc.metrics.equal_appearance import Crossing, Trajectory, find_crossing, interpolate_values
from vmc.metrics.statistics import Run, intervals_of_runs
from vmc.utils.errors import VmcError

APPEARANCES = {0: 0.30, 500: 0.28, 1000: 0.24, 1500: 0.27, 2000: 0.20}


def values(appearance: list[float], correct: list[float], *, subjects: int | None = None) -> pd.DataFrame:
    names = [f"s{index}" for index in range(len(appearance))][:subjects]
    table = pd.DataFrame({"subject": names, "prompt": names, "seed": 1})
    return table.assign(motion_accuracy=correct[: len(names)], appearance=appearance[: len(names)])


def crossing_of(appearances: dict[int, float], *, threshold: float | None, name: str = "lora") -> Crossing:
    tables = {step: values([score, score], [1, 0]) for step, score in appearances.items()}
    return find_crossing(Trajectory.of(tables, name=name), threshold=threshold, name=name)


def test_a_rise_is_pooled_with_the_fall_before_it():
    """0.24 and 0.27 are 0.255 in the middle of their steps, then it falls to 0.20. Not 875, the first."""
    found = crossing_of(dict(reversed(APPEARANCES.items())), threshold=0.25)
    assert found.step == pytest.approx(1250 + 750 * 0.005 / 0.055)
    assert (found.reached, found.before, found.after, found.appearance) == (True, 1000, 1500, 0.25)


def test_a_score_on_the_threshold_is_there():
    found = crossing_of({0: 0.5, 100: 0.25, 200: 0.1}, threshold=0.25)
    assert (found.before, found.after, found.weight) == (0, 100, 1.0)


@pytest.mark.parametrize("threshold", [0.1, None])
def test_what_never_falls_stands_at_its_last_evaluation(threshold):
    found = crossing_of(APPEARANCES, threshold=threshold)
    assert (found.reached, found.before, found.after, found.step) == (False, 2000, 2000, 2000)
    assert found.appearance == pytest.approx(0.20)
    table = interpolate_values({2000: values([0.2, 0.2], [1, 0])}, found)
    pd.testing.assert_frame_equal(table, values([0.2, 0.2], [1, 0]), check_dtype=False)


def test_an_evaluation_without_valid_videos_is_passed_over():
    found = crossing_of({0: 0.3, 500: math.nan, 1000: 0.2, 1500: math.nan}, threshold=0.25)
    assert (found.before, found.after, found.weight) == (0, 1000, pytest.approx(0.5))


@pytest.mark.parametrize(
    ("appearances", "threshold", "message"),
    [
        ({0: 0.25, 500: 0.2}, 0.25, "base model of lora starts at an appearance of 0.2500"),
        ({500: 0.24}, 0.25, "lora has no evaluation above stop.appearance = 0.2500 before step 500"),
        ({}, 0.25, "lora has no evaluation with an appearance score"),
        ({0: math.nan}, 0.25, "lora has no evaluation with an appearance score"),
        ({0: 0.3}, math.nan, "stop.appearance is nan"),
    ],
)
def test_what_cannot_be_matched_is_refused(appearances, threshold, message):
    with pytest.raises(VmcError, match=message):
        crossing_of(appearances, threshold=threshold)


@settings(max_examples=30, deadline=None)
@given(
    before=st.lists(st.floats(0.5, 1), min_size=3, max_size=3),
    after=st.lists(st.floats(0, 0.4), min_size=3, max_size=3),
    threshold=st.floats(0.41, 0.49),
)
def test_the_mean_of_the_videos_is_the_interpolated_mean(before, after, threshold):
    crossing = crossing_of({0: float(np.mean(before)), 9: float(np.mean(after))}, threshold=threshold)
    tables = {0: values(before, [0, 1, 0]), 9: values(after, [1, 1, 0])}
    found = interpolate_values(tables, crossing)
    assert found["appearance"].mean() == pytest.approx(threshold)
    assert found["motion_accuracy"].mean() == pytest.approx(1 / 3 + crossing.weight / 3)
    intervals = intervals_of_runs([Run(motion="", seed=0, values=found)], resamples=50)
    assert intervals["appearance"].value == pytest.approx(threshold)


def test_a_video_invalid_at_one_side_has_no_value_but_stays_wrong():
    crossing = crossing_of({0: 0.3, 9: 0.2}, threshold=0.25)
    tables = {0: values([0.3, 0.3], [1, 1]), 9: values([0.2, math.nan], [1, 0])}
    found = interpolate_values(tables, crossing).set_index("subject")
    assert math.isnan(found.loc["s1", "appearance"])
    assert found.loc["s1", "motion_accuracy"] == pytest.approx(0.5)


def test_evaluations_are_cut_to_the_videos_in_common_and_refused_without_any():
    crossing = crossing_of({0: 0.3, 9: 0.2}, threshold=0.25)
    tables = {0: values([0.3, 0.3, 0.3], [0, 0, 0], subjects=2), 9: values([0.2, 0.2, 0.2], [1, 1, 1])}
    found = interpolate_values(tables, crossing)
    assert found["subject"].tolist() == ["s0", "s1"]
    assert found["motion_accuracy"].tolist() == pytest.approx([0.5, 0.5])
    with pytest.raises(VmcError, match="steps 0 and 9 have 2 and 1 videos, 0 in common"):
        interpolate_values({0: tables[0], 9: tables[9].iloc[2:]}, crossing)
    with pytest.raises(VmcError, match="no scores of step 9"):
        interpolate_values({0: tables[0]}, crossing)
