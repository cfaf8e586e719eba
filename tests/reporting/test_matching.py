"""Interpolation to the stopping appearance: values by hand, arms that never reach it, evaluations that do not fit."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmc.metrics.statistics import intervals_of_values
from vmc.reporting.matched import find_crossing, interpolate_values
from vmc.utils.errors import VmcError

APPEARANCES = {0: 0.30, 500: 0.28, 1000: 0.24, 1500: 0.27, 2000: 0.20}


def values(appearance: list[float], correct: list[float], *, subjects: int | None = None) -> pd.DataFrame:
    names = [f"s{index}" for index in range(len(appearance))][:subjects]
    table = pd.DataFrame({"subject": names, "prompt": names, "seed": 1})
    return table.assign(motion_accuracy=correct[: len(names)], appearance=appearance[: len(names)])


def test_the_first_crossing_from_above():
    found = find_crossing(dict(reversed(APPEARANCES.items())), threshold=0.25)
    assert (found.reached, found.before, found.after) == (True, 500, 1000)
    assert found.weight == pytest.approx(0.75)
    assert found.step == pytest.approx(875)
    assert found.appearance == 0.25


def test_a_score_on_the_threshold_is_there():
    found = find_crossing({0: 0.5, 100: 0.25, 200: 0.1}, threshold=0.25)
    assert (found.before, found.after, found.weight) == (0, 100, 1.0)


def test_what_never_falls_stands_at_its_last_evaluation():
    found = find_crossing(APPEARANCES, threshold=0.1)
    assert (found.reached, found.before, found.after, found.step) == (False, 2000, 2000, 2000)
    assert found.appearance == 0.20
    table = interpolate_values({2000: values([0.2, 0.2], [1, 0])}, found)
    pd.testing.assert_frame_equal(table, values([0.2, 0.2], [1, 0]), check_dtype=False)


def test_an_evaluation_without_valid_videos_is_passed_over():
    found = find_crossing({0: 0.3, 500: math.nan, 1000: 0.2, 1500: math.nan}, threshold=0.25)
    assert (found.before, found.after, found.weight) == (0, 1000, pytest.approx(0.5))


@pytest.mark.parametrize(
    ("appearances", "threshold", "message"),
    [
        ({0: 0.25, 500: 0.2}, 0.25, "base model of lora starts at an appearance of 0.2500"),
        ({500: 0.24}, 0.25, "lora has no evaluation above stop.appearance = 0.2500 before step 500"),
        ({}, 0.25, "no evaluation with an appearance score"),
        ({0: math.nan}, 0.25, "no evaluation with an appearance score"),
        ({0: 0.3}, math.nan, "stop.appearance is nan"),
    ],
)
def test_what_cannot_be_matched_is_refused(appearances, threshold, message):
    with pytest.raises(VmcError, match=message):
        find_crossing(appearances, threshold=threshold, name="lora")


@settings(max_examples=30, deadline=None)
@given(
    before=st.lists(st.floats(0.5, 1), min_size=3, max_size=3),
    after=st.lists(st.floats(0, 0.4), min_size=3, max_size=3),
    threshold=st.floats(0.41, 0.49),
)
def test_the_mean_of_the_videos_is_the_interpolated_mean(before, after, threshold):
    crossing = find_crossing({0: float(np.mean(before)), 9: float(np.mean(after))}, threshold=threshold)
    tables = {0: values(before, [0, 1, 0]), 9: values(after, [1, 1, 0])}
    found = interpolate_values(tables, crossing)
    assert found["appearance"].mean() == pytest.approx(threshold)
    assert found["motion_accuracy"].mean() == pytest.approx(1 / 3 + crossing.weight / 3)
    intervals = intervals_of_values(found, resamples=50)
    assert intervals["appearance"].value == pytest.approx(threshold)


def test_a_video_invalid_at_one_side_has_no_value_but_stays_wrong():
    crossing = find_crossing({0: 0.3, 9: 0.2}, threshold=0.25)
    tables = {0: values([0.3, 0.3], [1, 1]), 9: values([0.2, math.nan], [1, 0])}
    found = interpolate_values(tables, crossing).set_index("subject")
    assert math.isnan(found.loc["s1", "appearance"])
    assert found.loc["s1", "motion_accuracy"] == pytest.approx(0.5)


def test_evaluations_of_other_videos_are_refused_or_cut_to_the_common_ones():
    crossing = find_crossing({0: 0.3, 9: 0.2}, threshold=0.25)
    tables = {0: values([0.3, 0.3, 0.3], [0, 0, 0], subjects=2), 9: values([0.2, 0.2, 0.2], [1, 1, 1])}
    with pytest.raises(VmcError, match="steps 0 and 9 have 2 and 3 videos, 2 in common"):
        interpolate_values(tables, crossing)
    found = interpolate_values(tables, crossing, common_only=True)
    assert found["subject"].tolist() == ["s0", "s1"]
    assert found["motion_accuracy"].tolist() == pytest.approx([0.5, 0.5])
    with pytest.raises(VmcError, match="no scores of step 9"):
        interpolate_values({0: tables[0]}, crossing)
