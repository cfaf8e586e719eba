"""`vmc.report` as a command, what it refuses, its folder, its texts and its figures."""

import csv
import json
import math
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure

from vmc.config.checks import check_config
from vmc.config.folders import config_folder
from vmc.data.video import write_video
from vmc.diffusion.timesteps import CoarseNoise, TimeRange
from vmc.metrics.scores import MEASURES, write_scores
from vmc.metrics.statistics import Difference
from vmc.report import main as report
from vmc.reporting.figures.common import Drawn, arm_styles, draw_figures, figure_style, group_arms, save_figure
from vmc.reporting.figures.copies import nearest, pairs
from vmc.reporting.figures.curves import COLUMNS as POINT
from vmc.reporting.figures.curves import Curve, curve_of, draw_curves, figure7, timesteps
from vmc.reporting.figures.strips import Strip, choose, draw_strips, figure3, strips
from vmc.reporting.formatting import format_difference, format_number, format_p_value, format_value
from vmc.reporting.gallery import places
from vmc.reporting.loaded_runs import Found
from vmc.reporting.reading import find_runs
from vmc.reporting.report import Report
from vmc.reporting.writing import check_output, report_folder
from vmc.runs.clips import COLUMNS
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint
from vmc.utils.tables import TextTable, escape_markdown, to_latex, to_markdown, to_terminal

FIGURES = {"figure3_strips_ablations", "figure7_tradeoff", "figure7_tradeoff_balance", "figure7_tradeoff_frontier"}
FIGURES |= {"figure8_copies", "timesteps"}


def picture(seed: int, *, frames: int = 4) -> torch.Tensor:
    """frames_FCHW of large coloured squares, no two frames alike."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (frames, 3, 4, 4), generator=draw, dtype=torch.uint8)
    return coarse.repeat_interleave(16, 2).repeat_interleave(16, 3)


@pytest.fixture
def filmed(made_up, scored, tmp_path):
    """Two arms with videos, one of them missing, exemplars, and names that markup would trip over."""
    subjects = ("A man", "A <script> & $x_1$", "A robot", "A female firefighter")
    clip = tmp_path / "clip0.mp4"
    write_video(clip, picture(0, frames=5), fps=12)
    for arm in ("method", "reg_none"):
        evaluations = {
            step: scored(appearance=appearance, correct=correct, copied=(1, 0, 0, 0), subjects=subjects)
            for step, appearance, correct in ((0, 0.30, (0, 0, 0, 0)), (100, 0.24, (1, 0, 1, 0)))
        }
        path = made_up.run(arm, evaluations=evaluations)
        with (path / "clips.csv").open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, ("exemplar", clip, "a sign", fingerprint(clip))])
        for step in evaluations:
            for place in range(4):
                if (arm, place) != ("reg_none", 3):
                    name = path / "evaluation" / f"{step:06d}" / "videos" / f"{place:04d}.mp4"
                    write_video(name, picture(10 * place), fps=3)
    return made_up


def test_a_curve_of_times_is_a_density_over_the_uniform_one():
    samplers = {"CoarseNoise (alpha = 0.5): method": CoarseNoise(), "TimeRange (low = 0.875): a": TimeRange(low=0.875)}
    (drawn,) = timesteps(SimpleNamespace(samplers=samplers))
    _, *curves = drawn.figure.axes[0].lines
    assert [curve.get_ydata().mean().item() for curve in curves] == pytest.approx([1, 1])
    assert curves[0].get_ydata()[[0, -1]].tolist() == pytest.approx([0.5, 1.5], abs=1e-4)
    assert curves[1].get_ydata()[[0, -1]].tolist() == [0, 8]
    assert ["mean t = 0.601" in curves[0].get_label(), "mean t = 0.938" in curves[1].get_label()] == [True, True]


def test_the_command_writes_all_of_it_and_nothing_over_other_things(entered, filmed):
    status, said = entered(report, f"runs={filmed.root}", "output=out/report")
    assert status == 0, said
    assert "2 runs of 2 arms" in said and "no regularization" in said
    out = Path("out/report")
    files = {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()}
    tables = {"table1.md", "table1.csv", "table1.tex", "table2.md", "table2.csv", "table2.tex"}
    names = ("findings", "comparisons", "compared_motions", "metrics", "runs")
    tables |= {f"{name}.{suffix}" for name in names for suffix in ("md", "csv")}
    drawn = {f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("svg", "png")}
    played = {file for file in files if file.endswith(".mp4")}
    pages = {"report.md", "report.json", "index.html"}
    assert files - played == {*pages, *drawn, *(f"tables/{name}" for name in tables)}
    assert len(played) == 4 + 3 + 4 + 1  # two arms, the untuned model, an exemplar
    assert set(json.loads((out / "report.json").read_text())["files"]) == files - {"report.json"}
    page = (out / "report.md").read_text()
    assert all(f"(figures/{name}.png)" in page for name in FIGURES)
    assert [path.name for path in Path("out").iterdir()] == ["report"]

    (out / "notes.txt").write_text("mine")
    status, said = entered(report, f"runs={filmed.root}", "output=out/report")
    assert status == 1 and "notes.txt lies too" in said
    status, said = entered(report, f"runs={filmed.root}", "output=occupied")
    assert status == 1 and "holds files but no report" in said
    assert (Path("occupied") / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "runs is not set"),
        (["runs=nowhere"], "runs is nowhere, which is no folder"),
        (["runs=occupied"], "in which there is no run"),
        (["runs=occupied/notes.txt"], "which is no folder"),
    ],
)
def test_what_cannot_be_reported_on_is_said(entered, arguments, expected):
    status, said = entered(report, *arguments, "output=out")
    assert status == 1
    assert expected in said and "Traceback" not in said
    assert not Path("out").exists()


def test_a_choice_that_no_run_has_leaves_nothing_behind(entered, filmed):
    for choice, expected in (
        ("figure3.motion=dab", "figure3.motion is dab"),
        ("figure3.subject=Nobody, at all", "figure3.subject is 'Nobody, at all'"),
        ("figure3.seed=9", "figure3.seed is 9"),
    ):
        status, said = entered(report, f"runs={filmed.root}", "output=out", choice)
        assert status == 1 and expected in said
        assert not Path("out").exists()


def test_the_config_composes():
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        config = compose("report", overrides=["runs=a", "output=b", "figures.figure8_copies=null"])
    check_config(config, "report")
    assert config.stop.appearance is None and config.figure3.subject is None


# --- what does not belong together -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            {},
            {"config": {"model": {"path": "other", "frames": 8}}},
            "different base models .* model.path is pipeline and other",
        ),
        (
            {},
            {"config": {"prompts": {"file": "prompts.csv", "limit": 3}}},
            "different test sets .* prompts.limit is not set and 3",
        ),
        ({}, {"protocol": {"prompts": "anew"}}, "different test sets .* prompts is "),
        (
            {"config": {"token": {"word": "sks"}}},
            {"config": {"token": {"word": "pll"}}, "protocol": {"prompts": "anew"}},
            "different test sets .* token.word is sks and pll; give",
        ),
        (
            {},
            {"protocol": {"sampler": {"steps": 12, "guidance": 9.0}}},
            r"protocols .* sampler.guidance is 4.0 and 9.0",
        ),
        ({}, {"protocol": {"fps": 6.0, "latents": [4]}}, r"protocols .* latents is .*\(fps differ too\)"),
        (
            {},
            {
                "protocol": {
                    "copying": {"threshold": 0.25, "descriptor": {"file": "sscd", "sha256": "cc"}, "exemplars": 1}
                }
            },
            "different exemplars .* copying.exemplars",
        ),
        ({"threshold": 0.2}, {}, "stop.appearance is 0.2 in .* and 0.25 in .*; give stop.appearance=NUMBER"),
    ],
)
def test_runs_that_differ_are_refused_naming_what_differs(made_up, scored, first, second, expected):
    evaluations = {0: scored(appearance=0.3, correct=(0,) * 4)}
    made_up.run("method", evaluations=evaluations, **first)
    made_up.run("params_none", evaluations=evaluations, **second)
    with pytest.raises(VmcError, match=expected):
        Report(found=find_runs(made_up.root))


def test_other_motions_seeds_and_regularization_belong_together(made_up, scored):
    evaluations = {0: scored(appearance=0.3, correct=(0,) * 4)}
    regularized = made_up.protocol("swiping_down", 0)
    regularized["copying"]["regularization"] = {"clips": 5, "sha256": "dd"}
    made_up.run(evaluations=evaluations)
    made_up.run("reg_real_of_mine", evaluations=evaluations, protocol=regularized)
    made_up.run(motion="shaking_hand", seed=3, evaluations=evaluations)
    assert len(Report(found=find_runs(made_up.root)).runs) == 3


def test_two_runs_of_one_place_and_controls_of_another_protocol_are_refused(made_up, scored):
    evaluations = {0: scored(appearance=0.3, correct=(0,) * 4)}
    path = made_up.run(evaluations=evaluations)
    other = made_up.protocol("swiping_down", 0) | {"motion": {"classifier": {"sha256": "zz"}, "target": "x"}}
    made_up.evaluation(path / "evaluation" / "real", evaluations[0], protocol=other)
    with pytest.raises(VmcError, match=r"real is of another protocol than the runs .*motion\.classifier"):
        Report(found=find_runs(made_up.root))
    made_up.run(evaluations=evaluations, folder="again")
    with pytest.raises(VmcError, match="are both arm method of swiping_down, seed 0"):
        Report(found=find_runs(made_up.root))


@pytest.mark.parametrize(
    ("kind", "change", "refused"),
    [
        ("000000-language", {"sampler": {"steps": 50, "guidance": 9.0}}, r"sampler\.steps, sampler\.guidance"),
        ("000000-language", {"appearance": {"model": {"sha256": "zz"}}}, r"appearance\."),
        ("real", {"sampler": {"steps": 50, "guidance": 9.0}, "latents": [1]}, None),
        ("real", {"appearance": {"model": {"sha256": "zz"}}}, r"appearance\."),
        ("real", {"prompts": "others"}, None),
    ],
)
def test_a_control_has_the_settings_of_the_runs(made_up, scored, kind, change, refused):
    evaluations = {0: scored(appearance=0.3, correct=(0,) * 4)}
    path = made_up.run(evaluations=evaluations)
    made_up.evaluation(
        path / "evaluation" / kind, evaluations[0], protocol=made_up.protocol("swiping_down", 0) | change
    )
    if refused is None:
        assert Report(found=find_runs(made_up.root)).runs
        return
    with pytest.raises(VmcError, match=rf"{kind} is of another protocol than the runs .*{refused}"):
        Report(found=find_runs(made_up.root))


def test_another_network_of_the_same_folder_that_samples_in_a_way_of_its_own_stands_beside_the_method(made_up, scored):
    evaluations = {0: scored(appearance=0.3, correct=(0,) * 4)}
    made_up.run("method", evaluations=evaluations)
    model = {"path": "pipeline", "frames": 8, "size": 64, "_target_": "vmc.models.tune_a_video.TuneAVideo"}
    other = made_up.run("tune_a_video", evaluations=evaluations, config={"model": model})
    file = other / "evaluation/000000/summary.json"
    summary = json.loads(file.read_text())
    sampler = summary["protocol"].pop("sampler") | {"guidance": 12.5}
    summary["protocol"]["inversion"] = {"sampler": sampler, "exemplars": {"clips": 3, "sha256": "dd"}}
    file.write_text(json.dumps(summary))
    assert {run.arm for run in Report(found=find_runs(made_up.root)).runs} == {"method", "tune_a_video"}


def test_base_models_are_told_apart_behind_a_run_that_does_not_know_its_own(made_up, scored):
    """The first run by name failed before it wrote anything; the others have the same path and other weights."""
    evaluations = {0: scored(appearance=0.3, correct=(0,) * 4)}
    made_up.run("a_failed_one", evaluations={}, status="failed", reason="memory")
    for arm, mark in (("method", "aaa"), ("params_all", "bbb")):
        state = made_up.run(arm, evaluations=evaluations) / "run.json"
        state.write_text(json.dumps(json.loads(state.read_text()) | {"base_fingerprint": mark}))
    with pytest.raises(VmcError, match=r"method.* and .*params_all.* have different base models .* aaa and bbb"):
        Report(found=find_runs(made_up.root))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("run.json", "{", "run.json does not read .*remove that run folder"),
        ("config.yaml", "a: [", "config.yaml does not read as a config"),
        ("config.yaml", "arm: method", "config.yaml has no motion"),
        ("evaluation/000000/summary.json", "[]", "summary.json holds no JSON object"),
        ("evaluation/000000/summary.json", "{}", "summary.json has no metrics"),
    ],
)
def test_damaged_files_are_named(made_up, scored, name, text, expected):
    path = made_up.run(
        evaluations={0: scored(appearance=0.3, correct=(0,) * 4), 1: scored(appearance=0.2, correct=(0,) * 4)}
    )
    (path / name).write_text(text)
    with pytest.raises(VmcError, match=expected):
        Report(found=find_runs(made_up.root))


def test_a_run_with_damaged_scores_is_left_out_naming_them(made_up, scored):
    made_up.run(evaluations={0: scored(appearance=0.3, correct=(0,) * 4), 1: scored(appearance=0.2, correct=(0,) * 4)})
    file = made_up.root / "method/swiping_down/seed0/evaluation/000001/scores.csv"
    file.write_text("prompt\n")
    result = Report(found=find_runs(made_up.root)).results["method"]
    ((_, reason),) = result.left_out
    assert str(file) in reason and result.status == "cannot be matched"


def test_how_far_a_killed_run_came_stands_in_its_table_of_losses(made_up, scored):
    path = made_up.run(evaluations={}, status="running", step=30)
    (path / "run.json").write_text('{"status": "running", "step": 0}')
    (run,) = find_runs(made_up.root).runs
    assert run.progress == "half-finished, interrupted at step 30 of 300"
    assert run.updates[30] == 120


# --- the folder ------------------------------------------------------------------------------------------------------


def test_a_report_takes_the_place_of_the_earlier_one_or_leaves_it(tmp_path):
    for text in ("zeroth", "first"):
        with report_folder(tmp_path / "out") as folder:
            (folder / "report.md").write_text(text)
            (folder / f"{text}.txt").write_text("")
    assert not (tmp_path / "out" / "zeroth.txt").exists()
    with pytest.raises(RuntimeError), report_folder(tmp_path / "out") as folder:
        (folder / "report.md").write_text("second")
        raise RuntimeError
    assert (tmp_path / "out" / "report.md").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "empty")
    (tmp_path / "file").write_text("")
    with pytest.raises(VmcError, match="which is a file"):
        check_output(tmp_path / "file")


# --- texts -----------------------------------------------------------------------------------------------------------


def test_numbers_as_they_are_printed():
    accuracy, alignment = (
        next(one for one in MEASURES if one.name == name) for name in ("motion_accuracy", "text_alignment")
    )
    assert [format_number(number, 1) for number in (-0.04, 1.25, -3.0, math.nan)] == ["0.0", "1.2", "−3.0", "—"]
    assert format_value(0.706, accuracy) == "70.6" and format_value(-0.0012, alignment, signed=True) == "−0.0012"
    assert [format_p_value(p) for p in (0.0004, 0.0123, 0.5)] == ["p < 0.001", "p = 0.012", "p = 0.50"]
    tested = Difference(0.1, -0.02, 0.22, 0.01, 0.03, "")
    assert format_difference(tested, accuracy) == "+10.0 (−2.0 to 22.0), p = 0.03*"


def test_markup_in_names_is_shown_as_text():
    table = TextTable(name="t", title="A: b", header=("x", "y"), rows=[("<script>|*_`$[a](b)", "5 % & #1 ~ ^ \\ {}")])
    assert to_markdown(table).splitlines()[-1] == (r"| &lt;script&gt;\|\*\_\`\$\[a\](b) | 5 % &amp; \#1 \~ ^ \\ {} |")
    latex = to_latex(table)
    assert r"\textless{}script\textgreater{}\textbar{}$^{*}$\_\textasciigrave{}\$[a](b)" in latex
    assert r"5 \% \& \#1 \textasciitilde{} \textasciicircum{} \textbackslash{} \{\}" in latex
    assert r"\caption{b}" in latex
    assert escape_markdown("two\nlines") == "two lines"
    assert to_terminal(table).splitlines()[1] == "  x" + " " * 20 + "y".rjust(17)


# --- figures ---------------------------------------------------------------------------------------------------------


def test_an_untuned_model_alone_has_its_place_in_the_gallery(made_up, scored):
    rows = scored(appearance=0.3, correct=(0,) * 4)
    path = made_up.run("pretrained", steps=0, reason="no training", evaluations={0: rows})
    asked = [row | {"prompt": f"{row['subject']} swiping down."} for row in rows]
    protocol = made_up.protocol("swiping_down", 0)
    made_up.evaluation(path / "evaluation" / "000000-language", asked, protocol=protocol)
    report = Report(found=find_runs(made_up.root))
    (alone,) = places(report.results, report.found.controls)
    assert [column.arm for column in alone.columns] == ["floor", "language"] and len(alone.keys) == 8
    made_up.run("method", evaluations={0: rows})
    report = Report(found=find_runs(made_up.root))
    (beside,) = places(report.results, report.found.controls)
    assert [column.arm for column in beside.columns] == ["method", "floor"]


def test_strips_show_the_same_prompt_of_every_arm(filmed):
    results = Report(found=find_runs(filmed.root)).results
    chosen = choose(results)
    assert chosen.prompt == "A female firefighter doing the sks sign."
    rows = strips(results, chosen)
    assert [row.name for row in rows] == ["an exemplar", "untuned model", "no regularization", "method"]
    assert rows[0].frames_FHWC.shape == (5, 128, 128, 3)
    assert rows[2].missing == "the video 0003.mp4 is missing or does not read" and rows[2].frames_FHWC is None
    assert rows[3].verdict == ("No gesture", False) and rows[3].detail == "step 100, appearance 0.2400"
    other = choose(results, motion="swiping_down", subject="a man", seed=1)
    assert strips(results, other)[-1].verdict == ("Swiping Down", True)
    assert choose({}) is None


@pytest.fixture
def of_motions(made_up, scored) -> Found:
    """Two arms of one motion in two seeds; the ablation alone has the paper's motion too."""
    evaluations = {0: scored(appearance=0.3, correct=(0,) * 4), 100: scored(appearance=0.2, correct=(1,) * 4)}
    for arm in ("method", "dreambooth", "reg_none"):
        for seed in (0, 1):
            made_up.run(arm, seed=seed, evaluations=evaluations)
    made_up.run("reg_none", motion="sliding_two_fingers_up", evaluations=evaluations)
    return find_runs(made_up.root)


def test_strips_show_the_papers_motion_where_it_is_there(of_motions, caplog):
    made = Report(found=of_motions)
    assert choose(made.results).place == ("sliding_two_fingers_up", 0)
    others = {arm: made.results[arm] for arm in ("method", "dreambooth")}
    assert choose(others).place == ("swiping_down", 0)
    assert [one.end for one in figure3(made)] == ["_baselines", "_ablations"] and not caplog.text
    assert [one.end for one in figure3(made, motion="sliding_two_fingers_up")] == ["_ablations"]
    assert "figure3_baselines is left out: none of its arms has an evaluated run of sliding_two" in caplog.text
    with pytest.raises(VmcError, match=r"figure3\.motion is dab, of which .*: sliding_two_fingers_up, swiping_down$"):
        next(figure3(made, motion="dab"))


def test_runs_that_go_on_below_the_threshold_are_drawn_as_such(made_up, scored):
    evaluations = {0: scored(appearance=0.3, correct=(0,) * 4), 100: scored(appearance=0.2, correct=(1,) * 4)}
    made_up.run("method", evaluations=evaluations)
    made_up.run("lora", evaluations=evaluations, config={"stop": {"appearance": 0.25, "early": False}})
    made = Report(found=find_runs(made_up.root))
    assert {name: [run.arm for run in runs] for name, runs in made.curves.items()} == {
        "tradeoff": ["lora"],
        "stopping": ["method"],
    }
    said = {one.end: "Runs stop at the threshold." in one.caption for one in figure7(made)}
    assert (said["_tradeoff"], said["_stopping"]) == (False, True)
    assert all(result.reached for result in made.results.values())  # both are compared there


def test_pairs_lie_around_the_threshold_and_say_what_is_missing(filmed):
    results = Report(found=find_runs(filmed.root)).results
    found = pairs(results["reg_none"], descriptor=None)
    assert [round(pair.similarity, 2) for pair in found] == [0.35, 0.15, 0.15, 0.15]
    assert [pair.copied for pair in found] == [True, False, False, False]
    assert [pair.frames_FCHW[0] is None for pair in found] == [False, False, False, True]
    assert found[-1].generated is None and found[0].frames_FCHW[1].shape == (3, 64, 64)
    # Video 0 and the exemplar show the same pictures: frame 0 is nearest to its first one.
    assert (found[0].clip, found[0].generated) == ("clip0.mp4", 0)
    assert [bool(pair.doubt) for pair in found] == [True, True, True, False]


def test_pairs_are_ranked_by_what_a_video_counts_as_copied_by(filmed):
    file = filmed.root / "method/swiping_down/seed0/evaluation/000100/scores.csv"
    rows = [*csv.DictReader(file.open(newline=""))]
    for row, first in zip(rows, (0.1, 0.2, 0.4, 0.3), strict=True):
        row |= {"copy_similarity_first": first, "copy_similarity_any": 0.9, "copied": first > 0.25}
    write_scores(file, rows)
    found = pairs(Report(found=find_runs(filmed.root)).results["method"], descriptor=None)
    assert [(pair.similarity, pair.copied) for pair in found] == [(0.4, True), (0.3, True), (0.2, False), (0.1, False)]


def test_a_pair_is_the_one_with_the_measured_similarity(filmed):
    """A descriptor by which frame 2 of a video lies at 0.35 from the exemplar, and its others further away."""
    angles = torch.tensor([1.5, 1.4, math.acos(0.35), 1.3])

    def describe(frames_NCHW):
        turn = angles if len(frames_NCHW) == 4 else torch.tensor([-0.2, 0.0])[-len(frames_NCHW) :]
        return torch.stack([turn.cos(), turn.sin()], dim=1)

    found = nearest(torch.zeros(4, 3, 8, 8), torch.zeros(2, 3, 8, 8), descriptor=describe)
    assert found == (2, 1, pytest.approx(0.35))
    first, second, *_ = pairs(Report(found=find_runs(filmed.root)).results["method"], descriptor=describe)
    assert (first.generated, first.doubt) == (2, "")
    assert second.doubt  # measured at 0.15


def test_curves_are_means_of_the_finished_runs_at_common_steps(made_up, scored):
    for seed, steps in ((0, (0, 100, 200)), (1, (0, 100))):
        evaluations = {
            step: scored(appearance=0.3 - step / 1000, correct=(1, seed, 0, 0), copied=(0,) * 4) for step in steps
        }
        made_up.run(seed=seed, evaluations=evaluations)
    made_up.run(seed=2, evaluations={0: scored(appearance=0.3, correct=(1,) * 4)}, status="failed")
    curve = curve_of(find_runs(made_up.root).runs)
    assert (curve.runs, curve.of, curve.finished) == (2, 3, True)
    accuracy, appearance = (one for one in MEASURES if one.name in ("motion_accuracy", "appearance"))
    points = curve.having(accuracy)
    assert points[["step", "updates", "value"]].to_numpy().tolist() == [[0, 0.0, 37.5], [100, 400.0, 37.5]]  # percent
    assert points.low.iloc[0] <= 37.5 <= points.high.iloc[0]
    (alone,) = [run for run in find_runs(made_up.root).runs if run.seed == 0]
    assert [*curve_of([alone]).having(appearance).step] == [0, 100, 200]


@pytest.mark.parametrize(("count", "bands"), [(6, 6), (7, 1)])
def test_of_many_arms_the_method_alone_has_a_band(count, bands):
    drawn = [measure for measure in MEASURES if measure.curve]
    rows = [(one.name, step, 4.0 * step, 0.3, 0.2, 0.4, True) for one in drawn for step in (0, 50)]
    points = pd.DataFrame(rows, columns=list(POINT))
    arms = ["method", *(f"arm{number}" for number in range(1, count))]
    curves = [Curve(arm=arm, measures=drawn, points=points, runs=1, of=1, finished=True) for arm in arms]
    figure = draw_curves(curves, {}, threshold=0.25, title="")
    assert all(len(axes.collections) == bands for axes in figure.axes)
    assert all(axes.lines[0].get_color() != "#000000" for axes in figure.axes)  # the method is drawn last, on top
    (legend,) = figure.legends
    said = [text.get_text() for text in legend.get_texts()]
    assert said == [*arms, *["95 % interval of the method alone"] * (bands == 1)]


def test_many_arms_are_drawn_apart_and_none_alike():
    arms = ["reg_none", "mine", "method", "dreambooth"]
    assert group_arms(arms, together=4) == {"": ["method", "dreambooth", "reg_none", "mine"]}
    apart = group_arms(arms, together=3)
    assert apart == {"_baselines": ["method", "dreambooth"], "_ablations": ["method", "reg_none", "mine"]}
    assert group_arms(["method"], together=0) == {"": ["method"]}
    many = arm_styles([f"arm{number}" for number in range(15)])
    assert len({(many[arm].color, str(many[arm].dash)) for arm in many}) == len(many)
    assert arm_styles(["lora", "mine"])["lora"] == arm_styles(["lora", "dreambooth", "reg_none"])["lora"]


def test_a_figures_files_are_named_by_its_key_and_its_end(made_up, scored, tmp_path):
    def two(report):
        return [Drawn(figure=Figure(), caption=f"{len(report.runs)} run", end=end) for end in ("", "_b")]

    made_up.run(evaluations={100: scored(appearance=0.24, correct=(1,) * 4)})
    made = Report(found=find_runs(made_up.root))
    captions = draw_figures(made, {"a": two, "left_out": None, "empty": lambda report: ()}, tmp_path / "figures")
    assert captions == {"a": "1 run", "a_b": "1 run"}
    assert {file.stem for file in (tmp_path / "figures").iterdir()} == set(captions)
    with pytest.raises(VmcError, match=r"^figures.a_b draws a_b, which another figure is named; give it another name$"):
        draw_figures(made, {"a": two, "a_b": two}, tmp_path / "figures")
    with pytest.raises(VmcError, match=r"^figures.a is 5, which is no function; give its YAML _partial_: true$"):
        draw_figures(made, {"a": 5}, tmp_path / "figures")


def test_equal_figures_are_equal_files(tmp_path):
    strip = Strip(name="$x_1$ <b>", detail="", missing="nothing {here} $")
    for name in ("one", "two"):
        with figure_style():
            save_figure(draw_strips([strip], title="a $title^2"), tmp_path / name, "figure")
    for suffix in ("svg", "png"):
        one, two = ((tmp_path / name / f"figure.{suffix}").read_bytes() for name in ("one", "two"))
        assert one == two
