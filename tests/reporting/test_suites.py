"""Scores of prompt suites, as an evaluation leaves them, in the report."""

import csv
import io
from pathlib import Path

import pytest
from tests.reporting.conftest import SUBJECTS, MadeUp, rows

from vmc.evaluation.score import suites_of, summarize, summary_lines
from vmc.evaluation.score_files import SUMMARY
from vmc.metrics.people import People
from vmc.metrics.scores import columns_with, extra_columns, read_scores, write_scores
from vmc.reporting.reading import find_runs
from vmc.reporting.report import Report
from vmc.utils.files import write_json


def suites_folder(folder: Path) -> dict:
    """An evaluation of two suites of four videos: in `people` one video is invalid, in `slow` all are right."""
    columns = columns_with([People()])
    found = rows(appearance=0.2, correct=[1, 0, 0, 1, 1, 1, 1, 1], subjects=SUBJECTS, seeds=(1, 2))
    for place, row in enumerate(found):
        row |= {"suite": "people" if place < 4 else "slow", "valid": place != 0}
        if place < 4:
            row |= {"people_share": (None, 0.5, 1.0, 1.0)[place], "people_all": (None, False, True, True)[place]}
    folder.mkdir(parents=True)
    write_scores(folder / "scores.csv", found, columns=columns)
    summary = {"step": 300, "videos": 8, "of": 8, "metrics": summarize(found, columns=columns), "protocol": {}}
    summary |= suites_of(found, columns=columns)
    write_json(folder / SUMMARY, summary | extra_columns(columns, summary))
    return summary


def test_suites_are_told_apart_and_an_invalid_video_counts_in_its_own(tmp_path):
    summary = suites_folder(tmp_path / "evaluation")
    people, slow = summary["suites"]["people"], summary["suites"]["slow"]
    assert people["people_all"]["value"] == 0.5 and people["people_share"]["value"] == pytest.approx(2.5 / 4)
    assert people["motion_accuracy"]["value"] == 0.25 and slow["motion_accuracy"]["value"] == 1
    assert "people_all" not in slow
    assert summary["metrics"]["people_all"]["value"] == 0.5  # over all videos, of those of its suite alone
    lines = summary_lines(summary)
    assert "people:" in lines and any(line.startswith("  people_share") for line in lines)
    table = read_scores(tmp_path / "evaluation" / "scores.csv", columns=columns_with([People()]))
    assert table["suite"].tolist() == ["people"] * 4 + ["slow"] * 4


def test_a_report_has_a_row_for_each_suite_and_none_without(tmp_path):
    made_up = MadeUp(tmp_path)
    path = made_up.run(evaluations={300: rows(appearance=0.2, correct=[1, 0, 1, 0])})
    assert [table.name for table in Report(found=find_runs(tmp_path)).texts][-1] == "runs"
    suites_folder(path / "evaluation" / "000300-applications")
    text, content = Report(found=find_runs(tmp_path)).tables[-1]
    assert text.name == "suites"
    assert [row[:6] for row in text.rows] == [
        ["method", "swiping_down", "0", "300", suite, "4"] for suite in ("people", "slow")
    ]
    assert "Both people, %" in text.header
    first, second = csv.DictReader(io.StringIO(content))
    assert (first["people_all"], second["people_all"]) == ("0.500000", "")
    assert float(first["people_share_low"]) < 0.625 < float(first["people_share_high"])
    (path / "evaluation" / "000300-applications" / "scores.csv").write_bytes(b"\xff\xfe prompt")
    assert "suites" not in [table.name for table in Report(found=find_runs(tmp_path)).texts]


def test_a_test_set_without_suites_has_none():
    assert suites_of(rows(appearance=0.2, correct=[1, 0, 1, 0]), columns=()) == {}
