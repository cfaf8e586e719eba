"""Scores to numbers: what is counted, what is left out, what is refused."""

import io

import numpy as np
import pandas as pd
import pytest

from vmc.metrics.columns import Column, Measure
from vmc.metrics.scores import KEYS, known_columns, names_of, values_of_run
from vmc.utils.errors import VmcError

CSV = """prompt,subject,seed,video,valid,motion_correct,appearance,copied,copy_similarity_any,flicker
a man waving,a man,1,a.mp4,True,True,0.30,False,0.20,0.9
a man waving,a man,2,b.mp4,True,False,0.20,True,0.30,0.8
a cat waving,a cat,1,c.mp4,False,,,,,
"""


def table(text: str = CSV) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


def test_an_invalid_video_is_wrong_and_otherwise_left_out():
    values = values_of_run(table()).set_index(KEYS)
    cat = values.loc[("a cat", "a cat waving", 1)]
    assert cat["motion_accuracy"] == 0 and cat["valid"] == 0
    assert cat[["appearance", "copy_score", "copy_score_any", "flicker"]].isna().all()
    means = values.mean()
    assert means["motion_accuracy"] == pytest.approx(1 / 3)
    assert means["appearance"] == pytest.approx(0.25)
    assert means["copy_score"] == 0.5 and means["copy_score_any"] == 0.5
    assert means["valid"] == pytest.approx(2 / 3)


def test_an_invalid_video_is_wrong_whatever_its_cells_say():
    scores = table()
    scores["motion_correct"] = True
    scores["appearance"] = 0.3
    values = values_of_run(scores).set_index("subject")
    assert values.loc["a cat", "motion_accuracy"] == 0
    assert np.isnan(values.loc["a cat", "appearance"])


def test_the_copy_threshold_is_strict_and_an_argument():
    assert values_of_run(table(), columns=known_columns(0.3))["copy_score_any"].mean() == 0
    assert values_of_run(table(), columns=known_columns(0.1))["copy_score_any"].mean() == 1


def test_the_threshold_holds_for_the_value_of_an_invalid_video_too():
    measure = Measure("near", "Near", how="above", threshold=0.25)
    values = values_of_run(table(), columns=[Column("copy_similarity_any", invalid=-1.0, measure=measure)])
    assert values["near"].tolist() == [0, 0, 1]


def test_what_was_not_measured_has_no_metric():
    scores = table()
    scores["motion_correct"] = None  # a motion that the classifier does not know
    values = values_of_run(scores.drop(columns="flicker"))
    assert names_of(values) == ["appearance", "copy_score", "copy_score_any", "valid"]


def test_a_prompt_without_a_subject_is_its_own_subject():
    scores = table()
    scores["subject"] = None
    assert values_of_run(scores)["subject"].tolist() == ["a cat waving", "a man waving", "a man waving"]


def test_videos_without_a_seed_are_told_by_their_file():
    scores = table()
    scores["seed"] = None
    assert values_of_run(scores)["seed"].tolist() == ["c.mp4", "a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda scores: scores.head(0), "no videos"),
        (lambda scores: scores.assign(valid=True), "motion_correct of 'a cat waving' is empty"),
        (lambda scores: scores.assign(appearance=[np.inf, 0.1, 0.2]), "column appearance holds an infinite"),
    ],
)
def test_bad_tables_are_refused(change, message):
    with pytest.raises(VmcError, match=message):
        values_of_run(change(table()))
