"""Tables of made-up runs: exact texts, and numbers that a hand can follow."""

import csv
import io
import math
import os
from collections import defaultdict
from pathlib import Path

import pytest

from vmc.metrics.scores import MEASURES
from vmc.metrics.statistics import ONE_MODEL, Interval
from vmc.reporting.comparisons import NO_RANGE, ONE_EVALUATION, OTHER_RUNS
from vmc.reporting.other_tables import metrics_table
from vmc.reporting.reading import find_runs
from vmc.reporting.report import Report
from vmc.reporting.results import Result
from vmc.reporting.table_arms import LAYOUTS, METHOD, paper_values
from vmc.utils.tables import to_latex, to_markdown

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def single(lasting, scored):
    """One motion and seed: arms that reached the threshold, one that did not, a failed and a half-finished one."""
    made_up = lasting()

    def steps(*correct, copied=((0, 0, 0, 0),) * 3, appearances=(0.30, 0.27, 0.23)):
        return {
            100 * place: scored(appearance=appearance, correct=correct[place], copied=copied[place])
            for place, appearance in enumerate(appearances)
        }

    made_up.run(
        "method",
        evaluations=steps((0, 0, 0, 0), (1, 1, 0, 0), (1, 1, 1, 0), copied=((0,) * 4, (0,) * 4, (1, 0, 0, 0))),
    )
    made_up.run("timesteps_uniform", evaluations=steps((0, 0, 0, 0), (0, 0, 0, 0), (1, 0, 0, 0)))
    made_up.run("dreambooth", evaluations=steps((0, 0, 0, 0), (0, 0, 1, 0), (0, 1, 1, 1)))
    made_up.run(
        "params_none",
        reason="steps",
        steps=200,
        evaluations=steps((0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 1, 1), appearances=(0.30, 0.29, 0.28)),
    )
    failed = steps((0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), appearances=(0.30,))
    made_up.run(
        "reg_none", status="failed", reason="VmcError: a <b> & 50 % of $x_1$ | nan", step=40, evaluations=failed
    )
    made_up.run("lora", status="stopped", reason="signal", step=40, evaluations=failed)
    return Report(found=find_runs(made_up.root))


@pytest.fixture(scope="module")
def several(lasting, scored):
    """Two motions and two seeds, with floor and ceiling; runs that are missing, failed or above the threshold."""
    made_up = lasting()
    right = {
        "method": (0, 3, 4),
        "timesteps_uniform": (0, 1, 2),
        "reg_none": (0, 2, 2),
        "dreambooth": (0, 0, 1),
        "custom_diffusion": (0, 0, 0),
    }
    worse = defaultdict(
        float, {("custom_diffusion", "shaking_hand"): 0.05, ("custom_diffusion", "swiping_down"): 0.0505}
    )
    for arm, counts in right.items():
        for motion in ("shaking_hand", "swiping_down"):
            for seed in (0, 1):
                if (arm, motion, seed) == ("timesteps_uniform", "swiping_down", 1):
                    made_up.run(arm, motion=motion, seed=seed, evaluations={}, status="failed", reason="no space left")
                    continue
                behind = (arm, motion, seed) == ("reg_none", "shaking_hand", 1)
                appearances = (0.30, 0.28, 0.26 if behind else 0.22)
                made_up.run(
                    arm,
                    motion=motion,
                    seed=seed,
                    reason="steps" if behind else "appearance",
                    evaluations={
                        150 * place: scored(
                            appearance=appearance,
                            correct=[int(index < max(0, count - (motion == "swiping_down"))) for index in range(4)],
                            copied=[int(index < place - seed) for index in range(4)],
                            text=0.2 + 0.01 * place + 0.001 * seed - worse[arm, motion] * place,
                        )
                        for place, (appearance, count) in enumerate(zip(appearances, counts, strict=True))
                    },
                )
    for motion in ("shaking_hand", "swiping_down"):
        rows = scored(
            appearance=0.0, correct=(1, 1, 1, 0), copied=(0, 0, 0, 1), subjects=("clip 1", "clip 2", "clip 3", "clip 4")
        )
        rows = [row | {"appearance": None, "text_alignment": None, "subject": None} for row in rows]
        folder = made_up.root / "method" / motion / "seed0" / "evaluation" / "real"
        made_up.evaluation(folder, rows, protocol=made_up.protocol(motion, 0))
    return Report(found=find_runs(made_up.root))


def test_step_and_metrics_of_a_row_are_of_one_fit(made_up, scored):
    """Step 100 was evaluated on a part; the fit over all videos is at the threshold a fifth of the way to step 200."""
    part, right = ("A man", "A woman"), {0: (0, 0, 0, 0), 100: (0, 0), 200: (1, 1, 1, 1)}
    evaluations = {
        0: scored(appearance=0.30, correct=right[0]),
        100: scored(appearance=0.26, correct=right[100], subjects=part),
        200: scored(appearance=0.20, correct=right[200]),
    }
    for step, score in ((0, 0.34), (200, 0.22)):
        for row in evaluations[step][2:]:
            row["appearance"] = score
    made_up.run(evaluations=evaluations)
    for motion in ("zooming", "rolling"):
        made_up.run("lora", motion=motion, evaluations=evaluations)
    made = Report(found=find_runs(made_up.root))
    for result in made.results.values():
        assert result.step == pytest.approx(120)
        assert result.intervals["motion_accuracy"].value == pytest.approx(0.2)
        assert result.runs[0].values["motion_accuracy"].mean() == pytest.approx(0.2)


def test_a_metric_that_consecutive_evaluations_share_no_video_of_is_not_compared(made_up, scored):
    whole = {step: scored(appearance=0.3 - step / 1000, correct=(0, 1, step > 0, 0)) for step in (0, 100)}
    apart = {0: scored(appearance=0.3, correct=(0,) * 4), 100: scored(appearance=0.2, correct=(1,) * 4)}
    for step, rows in apart.items():
        for row in rows[:2] if step else rows[2:]:
            row["text_alignment"] = None
            row["appearance"] = None
            row["valid"] = False
    for seed in (0, 1):
        made_up.run(seed=seed, evaluations=whole)
        made_up.run("lora", seed=seed, evaluations=apart)
    made = Report(found=find_runs(made_up.root))
    (found,) = made.comparisons
    lost, known = found.differences["text_alignment"], found.differences["motion_accuracy"]
    assert all(math.isnan(one) for one in (lost.value, lost.low, lost.high, lost.p, lost.p_corrected))
    assert math.isfinite(known.p_corrected) and known.low < known.high
    notes = "\n".join(note for text in made.texts for note in text.notes)
    assert "Not tested, because a single motion" not in notes


def test_the_table_of_metrics_says_what_most_intervals_of_a_row_speak_of():
    scopes = {"motion_accuracy": "these runs", "appearance": "others", "text_alignment": "others"}
    intervals = {name: Interval(0.2, 0.1, 0.3, scope) for name, scope in scopes.items()}
    text, _ = metrics_table({METHOD: Result(arm=METHOD, intervals=intervals)}, [])
    assert text.rows[0][-1] == "others" and "the scope of most of them" in text.notes[0]
    del intervals["motion_accuracy"]
    text, _ = metrics_table({METHOD: Result(arm=METHOD, intervals=intervals)}, [])
    assert text.rows[0][-1] == "others" and not text.notes


@pytest.mark.parametrize("case", ["single", "several"])
def test_tables_are_these_texts(case, request):
    """Notes, marks, LaTeX, and the tables that no test below computes; VMC_GOLDEN=write writes those that are there."""
    report = request.getfixturevalue(case)
    above = str(report.runs[0].path.parents[3])
    assert len(list((GOLDEN / case).iterdir())) == 3
    for table, records in report.tables:
        for suffix, text in (("md", to_markdown(table)), ("tex", to_latex(table)), ("csv", records)):
            if (file := GOLDEN / case / f"{table.name}.{suffix}").exists():
                if os.environ.get("VMC_GOLDEN") == "write":
                    file.write_text(text.replace(above, ""), encoding="utf-8")
                assert text.replace(above, "") == file.read_text(encoding="utf-8"), file.name


def records(report: Report, name: str) -> dict[str, dict[str, str]]:
    """Rows of a table's CSV by arm."""
    found = {table.name: text for table, text in report.tables}
    return {row["arm"]: row for row in csv.DictReader(io.StringIO(found[name]))}


def test_the_method_half_way_between_two_evaluations(single):
    """0.27 at step 100 and 0.23 at step 200: the threshold of 0.25 lies half-way, and so does everything else."""
    method = records(single, "table2")["method"]
    assert (method["step"], method["appearance"]) == ("150.000000", "0.250000")
    assert method["motion_accuracy"] == "0.625000"  # of 2 and 3 of 4
    assert method["copy_score"] == "0.125000"  # of 0 and 1 of 4
    assert method["motion_accuracy_speaks_of"] == ONE_MODEL
    assert (method["motion_accuracy_paper"], method["copy_score_paper_standing"]) == ("0.706000", "second-hand")


def test_one_run_is_compared_and_not_tested(single):
    table = records(single, "table2")
    uniform = table["timesteps_uniform"]
    assert uniform["motion_accuracy_difference"] == "-0.500000"  # 0.125 less 0.625
    assert uniform["motion_accuracy_p"] == "" and uniform["motion_accuracy_difference_low"] == ""


def test_what_did_not_reach_the_threshold_is_compared_at_its_lowest_appearance(single):
    """It ends at 0.28, where the method, two thirds of the way from 0.30 to 0.27, has a third of its videos right."""
    none = records(single, "table2")["params_none"]
    assert (none["reached"], none["step"], none["appearance"]) == ("False", "200.000000", "0.280000")
    assert (none["motion_accuracy"], none["motion_accuracy_difference"]) == ("1.000000", "0.666667")
    assert (none["compared_at"], none["compared_at_threshold"], none["compared"]) == (
        "0.280000",
        "0",
        "1 pairs of runs",
    )
    assert "Compared above the threshold" in to_markdown(single.texts[1])


def test_failed_half_finished_and_missing_arms_say_so(single):
    table = records(single, "table2")
    assert table["reg_none"]["status"] == "failed at step 40 of 300"
    assert table["reg_none"]["left_out"].endswith("VmcError: a <b> & 50 % of $x_1$ | nan")
    assert table["lora"]["status"] == "half-finished, stopped at step 40 of 300"
    assert table["params_all"]["status"] == "not run"
    assert table["ceiling"]["status"] == "not measured"
    assert all(table[arm]["motion_accuracy"] == "" for arm in ("reg_none", "lora", "params_all", "ceiling"))


def test_several_runs_are_means_over_motions_of_means_over_seeds(several):
    """Two thirds of the way from 0.28 to 0.22 lies 0.24; half-way 0.25."""
    table = records(several, "table2")
    # Shaking hand: 3 and 4 of 4; swiping down one fewer; both seeds alike.
    assert table["method"]["motion_accuracy"] == f"{(0.875 + 0.625) / 2:.6f}"
    assert "2 motions, 2 training seeds each" in table["method"]["motion_accuracy_speaks_of"]
    # Swiping down has one seed here, shaking hand two: motions count alike.
    assert table["timesteps_uniform"]["motion_accuracy"] == f"{(0.375 + 0.125) / 2:.6f}"
    assert table["timesteps_uniform"]["runs"] == "3" and "no space left" in table["timesteps_uniform"]["left_out"]
    # Three pairs of runs at 0.25; one of them ends at 0.26 and is compared there.
    assert (table["reg_none"]["reached"], table["reg_none"]["compared_at_threshold"]) == ("False", "3")
    assert table["reg_none"]["compared_at"] == "0.252500"
    assert table["floor"]["appearance"] == "0.300000" and table["ceiling"]["motion_accuracy"] == "0.750000"


def test_differences_are_those_of_the_runs_in_common(several):
    table = records(several, "table2")
    # Half of the videos in every run that both have.
    assert table["timesteps_uniform"]["motion_accuracy_difference"] == "-0.500000"
    assert float(table["timesteps_uniform"]["motion_accuracy_p_corrected"]) <= 1
    baseline = records(several, "table1")["dreambooth"]
    # Two arms and two metrics are a family of four.
    assert float(baseline["motion_accuracy_p_corrected"]) >= float(baseline["motion_accuracy_p"])
    worse = records(several, "table1")["custom_diffusion"]
    assert float(worse["text_alignment_p_corrected"]) == pytest.approx(4 * float(worse["text_alignment_p"]), abs=1e-5)
    (cell,) = [row[5] for row in several.texts[0].rows if row[0] == "Custom Diffusion"]
    assert cell.startswith("−0.0754 (") and cell.endswith("*")


def test_another_threshold_moves_every_row(single):
    table = records(Report(found=single.found, chosen_threshold=0.28), "table2")
    assert table["method"]["step"] == f"{100 * 2 / 3:.6f}"
    assert table["params_none"]["reached"] == "True"  # at its last evaluation exactly


def test_without_a_threshold_arms_are_compared_at_the_higher_of_their_lowest_scores(made_up, scored):
    for arm, lowest in (("method", 0.2), ("reg_none", 0.25)):
        evaluations = {
            step: scored(appearance=score, correct=(int(step > 0), 0, 0, 0)) for step, score in ((0, 0.3), (10, lowest))
        }
        made_up.run(arm, evaluations=evaluations, threshold=None)
    report = Report(found=find_runs(made_up.root))
    row = records(report, "table2")["reg_none"]
    assert (row["reached"], row["step"], row["compared_at"]) == ("", "10.000000", "0.250000")
    assert row["motion_accuracy_difference"] == "0.125000"  # 1 of 4 against half of that
    assert "No run has a stop.appearance" in to_markdown(report.texts[0])


@pytest.mark.parametrize(
    ("evaluations", "seed", "said"),
    [
        ({0: 0.2, 100: 0.1}, 0, NO_RANGE),
        ({100: 0.26}, 0, ONE_EVALUATION),
        ({0: 0.3, 100: 0.2}, 7, OTHER_RUNS),
    ],
)
def test_why_arms_are_not_compared_stands_in_the_cell_and_in_a_note(made_up, scored, evaluations, seed, said):
    for arm, scores, own in (("method", {0: 0.3, 100: 0.24}, 0), ("lora", evaluations, seed)):
        rows = {step: scored(appearance=score, correct=(1, 0, 0, 0), copied=(0,) * 4) for step, score in scores.items()}
        made_up.run(arm, seed=own, evaluations=rows, threshold=None)
    report = Report(found=find_runs(made_up.root))
    row = records(report, "table2")["lora"]
    assert (row["compared"], row["motion_accuracy_difference"], row["compared_at"]) == (said, "", "")
    (cells,) = [cells for cells in report.texts[1].rows if cells[1].startswith("LoRA")]
    assert cells.count(said) == 2
    assert any(note.startswith("LoRA, not compared") and said in note for note in report.texts[1].notes)
    assert records(report, "comparisons")["lora"]["metric"] == said


def test_a_part_of_the_test_set_is_marked(made_up, scored):
    """Step 0 holds two of four videos, and the threshold lies right after it."""
    begin = scored(appearance=0.27, correct=(0, 0, 0, 0))[:2]
    made_up.run(evaluations={0: begin, 100: scored(appearance=0.23, correct=(1, 0, 1, 1))})
    report = Report(found=find_runs(made_up.root))
    assert records(report, "table1")["method"]["videos"] == "2"
    assert records(report, "table1")["method"]["motion_accuracy"] == "0.250000"
    text = to_markdown(report.texts[0])
    assert "The method §" in text and "method (2 of 4)" in text


def test_two_parts_of_the_test_set_are_no_whole(made_up, scored):
    made_up.run(
        evaluations={0: scored(appearance=0.3, correct=(0,) * 4), 5: scored(appearance=0.2, correct=(1,) * 4)}, of=300
    )
    assert "method (4 of 300)" in to_markdown(Report(found=find_runs(made_up.root)).texts[0])


def test_a_run_that_cannot_be_matched_is_left_out_with_the_reason(made_up, scored):
    made_up.run(evaluations={100: scored(appearance=0.2, correct=(1, 0, 0, 0))})
    made_up.run("lora", evaluations={})
    table = records(Report(found=find_runs(made_up.root)), "table2")
    assert table["method"]["status"] == "cannot be matched"
    assert "evaluate it at step 0 too" in table["method"]["left_out"]
    assert table["lora"]["status"] == "not evaluated"
    assert "run `python -m vmc.evaluate` on it" in table["lora"]["left_out"]


def test_metrics_that_nobody_measured_are_left_open(made_up, scored):
    rows = [row | {"motion_correct": None, "predicted": None} for row in scored(appearance=0.3, correct=(1, 0, 0, 0))]
    lower = [row | {"appearance": 0.2} for row in rows]
    made_up.run(evaluations={0: rows, 100: lower})
    row = records(Report(found=find_runs(made_up.root)), "table2")["method"]
    assert row["motion_accuracy"] == "" and row["copy_score"] == ""
    assert row["step"] == "50.000000"


def test_an_untrained_run_is_the_floor_and_no_arm(made_up, scored):
    made_up.run(
        evaluations={0: scored(appearance=0.3, correct=(0, 0, 0, 0))[:2], 10: scored(appearance=0.2, correct=(1,) * 4)}
    )
    rows = scored(appearance=0.31, correct=(1, 0, 0, 0))
    path = made_up.run("pretrained", steps=0, reason="no training", evaluations={0: rows})
    made_up.evaluation(path / "evaluation" / "000000-language", rows, protocol=made_up.protocol("swiping_down", 0))
    report = Report(found=find_runs(made_up.root))
    assert list(report.results) == [METHOD]
    table = records(report, "table1")
    assert (table["floor"]["videos"], table["floor"]["appearance"]) == ("4", "0.310000")
    assert table["language"]["motion_accuracy_paper"] == "0.000000"
    assert "language" not in records(report, "table2")
    assert records(report, "runs")["pretrained"]["remark"] == "the untuned model"


def test_runs_that_nothing_stops_leave_the_tables_to_those_that_stop(made_up, scored):
    stop = {0: scored(appearance=0.3, correct=(0,) * 4), 10: scored(appearance=0.2, correct=(1,) * 4)}
    free = {**stop, 20: scored(appearance=0.1, correct=(0,) * 4)}
    made_up.run(evaluations=stop)
    made_up.run(evaluations=free, threshold=None, folder="tradeoff/method")
    made_up.run("lora", evaluations=free, threshold=None, folder="tradeoff/lora")
    report = Report(found=find_runs(made_up.root))
    assert [one.run.threshold for one in report.results["method"].matched] == [0.25]
    assert records(report, "table2")["lora"]["step"] == "5.000000"
    assert report.tables[-1][1].count("for Figure 7") == 1


def test_the_ceiling_of_an_untouched_model_is_found(made_up, scored):
    made_up.run(evaluations={0: scored(appearance=0.3, correct=(0,) * 4), 10: scored(appearance=0.2, correct=(1,) * 4)})
    rows = scored(appearance=0.3, correct=(1, 1, 0, 0))
    made_up.evaluation(
        made_up.root / "base" / "swiping_down" / "real", rows, protocol=made_up.protocol("swiping_down", 0)
    )
    assert records(Report(found=find_runs(made_up.root)), "table1")["ceiling"]["motion_accuracy"] == "0.500000"


def test_every_value_of_the_paper_has_a_row():
    known = {(layout.name, line.arm) for layout in LAYOUTS for line in layout.lines}
    known |= {(layout.name, control) for layout in LAYOUTS for control in layout.controls}
    for (table, arm, metric), value in paper_values().items():
        assert (table, arm) in known
        assert metric in [measure.name for measure in MEASURES if table in measure.tables]
        assert value.standing in ("paper", "second-hand", "unknown") and bool(value.text) == (
            value.standing != "unknown"
        )
        if value.text and value.percent:
            assert 0 <= float(value.text) <= 100
