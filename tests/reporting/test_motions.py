"""Tables of motions and of forgetting, from made-up runs."""

import csv

import pytest

from vmc.metrics.statistics import intervals_of_runs
from vmc.reporting.other_tables import base_knowledge, forgetting_table, known_relatives, motion_notes, motions_table
from vmc.reporting.reading import find_runs
from vmc.reporting.report import Report
from vmc.utils.files import atomic_write

GESTURES = ("Swiping Up", "Thumb Up")


@pytest.fixture
def asked(made_up, scored):
    """Adds an evaluation of known gestures to a run: how many of 4 videos of each gesture are right."""

    def add(run, step: int, *right: int) -> None:
        folder = run / "evaluation" / f"{step:06d}-known"
        for gesture, count in zip(GESTURES, right, strict=True):
            rows = scored(appearance=0.2, correct=[1] * count + [0] * (4 - count))
            rows = [row | {"prompt": f"{row['subject']} doing {gesture}"} for row in rows]
            place, protocol = folder / gesture.lower().replace(" ", "_"), made_up.protocol(gesture, 0)
            made_up.evaluation(place, rows, step=step, protocol=protocol)
        with atomic_write(folder / "summary.json") as temporary:
            temporary.write_text("{}")

    return add


@pytest.fixture
def trained(made_up, scored):
    """Makes a finished run, of which `right` of 4 videos are right at the last step."""

    def make(arm: str = "method", right: int = 2, **more):
        evaluations = {
            0: scored(appearance=0.3, correct=(0, 0, 0, 0)),
            100: scored(appearance=0.25, correct=[1] * right + [0] * (4 - right)),
        }
        return made_up.run(arm, evaluations=evaluations, **more)

    return make


def test_a_motion_that_was_looked_at_and_what_is_known_of_its_relatives_stand_in_its_rows(made_up, trained, asked):
    first = trained(motion="swiping_down", right=3)
    trained(motion="drumming_fingers", right=1)
    trained("lora", motion="drumming_fingers", right=2, seed=1)
    asked(first, 0, 4, 2)
    report = Report(found=find_runs(made_up.root))
    ((text, records),) = motions_table(report.results, report.runs)
    rows = list(csv.DictReader(records.splitlines()))
    assert {(row["motion"], row["arm"], row["runs"]) for row in rows} == {
        ("swiping_down", "method", "1"),
        ("drumming_fingers", "method", "1"),
        ("drumming_fingers", "lora", "1"),
    }
    known = {row["motion"]: (row["relatives_known"], bool(row["looked_at_before"])) for row in rows}
    assert known == {"drumming_fingers": ("none", False), "swiping_down": ("Swiping Up 100 %", True)}
    assert any(note.startswith("swiping_down, looked at before: the text encoder's repair") for note in text.notes)
    assert {(row[0], row[-2], row[-1]) for row in text.rows} == {
        ("swiping_down", "Swiping Up 100 %", "yes"),
        ("drumming_fingers", "none", "no"),
    }
    assert float(next(row for row in rows if row["motion"] == "swiping_down")["motion_accuracy"]) == 0.75
    assert "motions" in {table.name for table in report.texts}


def test_a_motion_of_one_run_has_the_intervals_of_its_arm(made_up, trained, scored):
    """Where appearance crosses the threshold is found again in every resample here too."""
    for motion in ("swiping_down", "drumming_fingers"):
        trained(motion=motion)
    steps = {0: 0.3, 100: 0.26, 200: 0.2}
    evaluations = {
        step: scored(appearance=score, correct=[step > 0, step > 100, 0, 0]) for step, score in steps.items()
    }
    for rows in evaluations.values():
        for place, row in enumerate(rows):
            row["appearance"] += 0.02 * place - 0.03
    made_up.run("lora", motion="swiping_down", evaluations=evaluations)
    report = Report(found=find_runs(made_up.root))
    ((_, records),) = motions_table(report.results, report.runs)
    (row,) = [row for row in csv.DictReader(records.splitlines()) if row["arm"] == "lora"]
    whole, fixed = report.results["lora"].intervals, intervals_of_runs(report.results["lora"].runs)
    ends = [(one["motion_accuracy"].low, one["motion_accuracy"].high) for one in (whole, fixed)]
    assert (float(row["motion_accuracy_low"]), float(row["motion_accuracy_high"])) == pytest.approx(ends[0], abs=1e-6)
    assert ends[0] != pytest.approx(ends[1], abs=1e-3)


def test_one_motion_has_no_table_of_motions(made_up, trained):
    trained()
    report = Report(found=find_runs(made_up.root))
    assert motions_table(report.results, report.runs) == []


def test_every_reported_motion_of_the_miniature_has_a_note_and_relatives_that_are_known():
    from vmc.mini.world.gestures import KNOWN, TARGETS

    notes = motion_notes("mini")
    assert set(notes) == {target.lower().replace(" ", "_") for target in TARGETS}
    assert {name for note in notes.values() for name in note.relatives} <= set(KNOWN)
    assert notes["shaking_hand"].looked_at and notes["swiping_down"].looked_at
    assert known_relatives(notes["swiping_down"], {}) == "—" and base_knowledge([]) == {}


def test_forgetting_is_told_against_the_base_model_and_the_method(made_up, trained, asked):
    for motion in ("swiping_down", "drumming_fingers"):
        for arm, right in (("method", (4, 3)), ("reg_none", (2, 1))):
            run = trained(arm, motion=motion)
            asked(run, 100, *right)
            if arm == "method":
                asked(run, 0, 4, 4)
    ((text, records),) = forgetting_table(find_runs(made_up.root).runs)
    rows = {row["arm"]: row for row in csv.DictReader(records.splitlines())}
    assert list(rows) == ["base", "method", "reg_none"]
    assert [float(row["known_accuracy"]) for row in rows.values()] == [1.0, 0.875, 0.375]
    assert [rows[arm]["forgotten"] for arm in ("method", "reg_none")] == ["12.500000", "62.500000"]
    assert float(rows["reg_none"]["known_from_method"]) == -50 and rows["reg_none"]["known_from_method_low"]
    assert [row[0] for row in text.rows] == ["Untuned model", "method", "no regularization"]
    assert not any("only these are compared" in note for note in text.notes)


def test_arms_of_other_seeds_are_compared_over_what_they_share_and_that_is_said(made_up, trained, asked):
    for arm, seeds in (("method", (0, 1, 2)), ("reg_none", (1, 2, 3)), ("reg_synthetic", (4,))):
        for seed in seeds:
            asked(trained(arm, seed=seed), 100, 4, 4 - (arm == "reg_none") - seed % 2)
    ((text, records),) = forgetting_table(find_runs(made_up.root).runs)
    rows = {row["arm"]: row for row in csv.DictReader(records.splitlines())}
    assert float(rows["reg_none"]["known_from_method"]) == -12.5
    assert rows["reg_synthetic"]["known_from_method"] == "" and rows["method"]["forgotten"] == ""
    said = [note for note in text.notes if "only these are compared" in note]
    shared = "and the method have {} motions and training seeds in common, of {} and 3; only these are compared."
    assert said == [
        f"no regularization {shared.format(2, 3)}",
        f"synthetic regularization {shared.format(0, 1)}",
    ]


def test_known_gestures_of_which_scores_are_damaged_are_left_out(made_up, trained, asked, caplog):
    for arm in ("method", "reg_none", "lora"):
        run = trained(arm)
        asked(run, 0, 4, 4)
        asked(run, 100, 4, 3)
    for arm, step in (("method", 0), ("lora", 100)):
        file = made_up.root / arm / f"swiping_down/seed0/evaluation/{step:06d}-known/thumb_up/scores.csv"
        file.write_bytes(b"\xff\xfe prompt")
    ((text, _),) = forgetting_table(find_runs(made_up.root).runs)
    assert [row[0] for row in text.rows] == ["Untuned model", "method", "no regularization"]
    assert f"{file} does not read as a table" in caplog.text


def test_a_report_without_known_gestures_has_no_table_of_them(made_up, trained):
    trained()
    assert forgetting_table(find_runs(made_up.root).runs) == []
