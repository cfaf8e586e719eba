"""A metric in one file and one YAML: all that shows metrics shows it, and tables without it stay readable."""

import json
from pathlib import Path

import pytest
import yaml

from vmc.metrics.columns import Column, Measure
from vmc.metrics.networks.files import NetworkFile
from vmc.metrics.scores import COLUMNS, DECLARED, read_scores
from vmc.reporting.dashboard import build_dashboard
from vmc.reporting.figures.curves import figure7
from vmc.reporting.reading import find_runs
from vmc.reporting.report import Report
from vmc.reporting.writing import write_report
from vmc.runs.wandb_mirror import WandbMirror
from vmc.tools.doctor.machine_checks import PlannedRun, networks
from vmc.train import main
from vmc.utils.errors import VmcError

TOY = """
from vmc.metrics.base import Metric
from vmc.metrics.columns import Column, Measure


class Brightness(Metric):
    name = "brightness"
    columns = (
        Column(
            name="brightness",
            title="Brightness",
            measure=Measure(name="brightness", title="Mean brightness", digits=1, tables=("table1",), curve=True),
        ),
        Column(
            name="bright",
            kind="truth",
            invalid=False,
            measure=Measure(name="bright_share", title="Bright videos, %", how="share"),
        ),
    )

    def __init__(self, *, least: float = 10.0) -> None:
        self.least = least

    def score(self, frames_BFCHW, records):
        means = [frames_FCHW.float().mean().item() for frames_FCHW in frames_BFCHW]
        return {"brightness": means, "bright": [mean > self.least for mean in means]}

    def describe(self):
        return {"least": self.least}
"""
CHOICE = "# @package metrics\nbrightness: {_target_: toys.Brightness, least: 5.0}\n"


@pytest.fixture
def toy(tmp_path, monkeypatch) -> list[str]:
    """The overrides that choose it."""
    (tmp_path / "toys.py").write_text(TOY)
    (tmp_path / "conf" / "metric").mkdir(parents=True)
    (tmp_path / "conf" / "metric" / "brightness.yaml").write_text(CHOICE)
    monkeypatch.syspath_prepend(tmp_path)
    return [f"hydra.searchpath=[file://{tmp_path / 'conf'}]", "+metric=brightness"]


class Recorded:
    """A mirror's run that keeps what it is given."""

    def __init__(self) -> None:
        self.logged: dict = {}

    def __call__(self, act) -> None:
        act(self)

    def log(self, values) -> None:
        self.logged |= values


def gallery_of(report: Report, folder: Path, runs: Path) -> str:
    write_report(report, folder, runs=runs, figures={"figure7": figure7})
    return (folder / "index.html").read_text()


def test_a_metric_is_one_class_and_one_yaml(toy, train, metrics, made_up, scored, tmp_path):
    run = train(*metrics, *toy, "evaluate_every=3", "evaluate_subset=6", output=tmp_path / "runs" / "own")
    evaluation = run.path / "evaluation" / "000003"
    # scores.csv and summary.json
    head = (evaluation / "scores.csv").read_text().partition("\n")[0].split(",")
    assert head == [*(column.name for column in COLUMNS), "brightness", "bright"]
    summary = json.loads((evaluation / "summary.json").read_text())
    assert set(summary["metrics"]["brightness"]) == {"value", "low", "high"}
    assert summary["metrics"]["brightness"]["low"] <= summary["metrics"]["brightness"]["value"]
    assert 0 <= summary["metrics"]["bright_share"]["low"] <= summary["metrics"]["bright_share"]["high"] <= 1
    # Of those that vmc knows, text alignment: on this stack it is in no table.
    assert [column["name"] for column in summary[DECLARED]] == ["text_alignment", "brightness", "bright"]
    assert summary["protocol"]["brightness"] == {"least": 5.0}
    # the report, beside a run that has never heard of it
    made_up.run("reg_none", evaluations={3: scored(appearance=0.2, correct=(1, 0, 0, 0))}, threshold=None)
    own = yaml.safe_load((run.path / "config.yaml").read_text())
    other = tmp_path / "runs" / "reg_none" / "swiping_down" / "seed0"
    theirs = {**own, "arm": "reg_none", "metrics": {"copying": None}}
    (other / "config.yaml").write_text(yaml.safe_dump(theirs))
    about = other / "evaluation" / "000003" / "summary.json"
    shared = {key: part for key, part in summary["protocol"].items() if key != "brightness"}
    about.write_text(json.dumps({**json.loads(about.read_text()), "protocol": shared}))
    report = Report(found=find_runs(tmp_path / "runs"))
    tables = {text.name: (text, records) for text, records in report.tables}
    (table1, _), (every, records) = tables["table1"], tables["metrics"]
    assert "Mean brightness" in table1.header and every.header[-5:-2] == [
        "Dynamic degree",
        "Mean brightness",
        "Bright videos, %",
    ]
    place = every.header.index("Mean brightness")
    cells = {row[0]: row[place] for row in every.rows}
    assert cells["no regularization"] == "—" and float(cells["method"].partition(" ")[0]) > 0
    assert "brightness_low" in records.partition("\n")[0].split(",")
    page = gallery_of(report, tmp_path / "report", tmp_path / "runs")
    fields = json.loads(page.partition('id="common">')[2].partition("</script>")[0])["fields"]
    assert fields[-2:] == ["Brightness", "Bright videos"] and "Mean brightness" in page
    assert "mean brightness" in (tmp_path / "report" / "report.md").read_text()  # Figure 7
    # W&B
    mirror = WandbMirror()
    mirror._run = Recorded()
    mirror.evaluation(evaluation, step=3, shown=[str(read_scores(evaluation / "scores.csv")["video"][0])])
    logged = mirror._run.logged
    assert logged["evaluation/brightness"] == summary["metrics"]["brightness"]["value"]
    assert {"brightness", "bright"} <= set(logged["evaluation/videos"].columns)
    if pytest.importorskip("wandb_workspaces"):
        panels = build_dashboard(entity="me", project="mine", measures=report.measures).sections[0].panels
        assert "evaluation/brightness" in [panel.y[0] for panel in panels if type(panel).__name__ == "LinePlot"]
    # the doctor
    (row,) = [row for row in networks(PlannedRun("mini", toy)) if row.part == "brightness"]
    assert (row.state, row.found) == ("ok", "needs no file")


def test_a_table_of_an_earlier_version_is_reported_on(made_up, scored, tmp_path):
    """The head is spelled out: this is how tables were written before columns were declared."""
    head = (
        "prompt,subject,seed,video,valid,predicted,motion_correct,motion_probability,appearance,text_alignment,"
        "copy_similarity_first,copy_similarity_any,regularization_similarity,copied,nearest_clip,nearest_frame,"
        "frame_consistency,flicker,dynamic_degree\n"
    )
    body = (
        "A man doing the sks sign.,A man,1,0000.mp4,True,Swiping Down,True,0.75,0.1925,0.25,0.5,0.75,0.125,True,a.mp4,"
        "3,0.875,0.9375,0.25\n"
        "A cat doing the sks sign.,A cat,1,0001.mp4,False,,False,,,,,,,,,,,,\n"
    )
    folder = made_up.run(evaluations={0: scored(appearance=0.3, correct=(1, 0, 1, 0))}, threshold=None)
    table = folder / "evaluation" / "000000" / "scores.csv"
    table.write_text(head + body)
    rows = read_scores(table).to_dict("records")
    assert rows[0] == {
        "prompt": "A man doing the sks sign.", "subject": "A man", "seed": 1, "video": "0000.mp4", "valid": True,
        "predicted": "Swiping Down", "motion_correct": True, "motion_probability": 0.75, "appearance": 0.1925,
        "text_alignment": 0.25, "copy_similarity_first": 0.5, "copy_similarity_any": 0.75,
        "regularization_similarity": 0.125, "copied": True, "nearest_clip": "a.mp4", "nearest_frame": 3,
        "frame_consistency": 0.875, "flicker": 0.9375, "dynamic_degree": 0.25,
    }  # fmt: skip
    assert rows[1]["predicted"] == "" and rows[1]["motion_correct"] is False and rows[1]["flicker"] is None
    report = Report(found=find_runs(made_up.root))
    intervals = report.results["method"].intervals
    assert intervals["motion_accuracy"].value == 0.5 and intervals["copy_score_any"].value == 1
    assert gallery_of(report, tmp_path / "report", made_up.root)


def test_a_table_with_fewer_and_with_more_columns_is_reported_on(made_up, scored, tmp_path):
    folder = made_up.run(evaluations={0: scored(appearance=0.3, correct=(1, 0, 1, 0))}, threshold=None)
    table = folder / "evaluation" / "000000" / "scores.csv"
    few = read_scores(table).drop(columns=["flicker", "nearest_clip", "copied", "motion_probability"])
    few.assign(warmth=[0.5, 1.0, 2.0, None], note=["a", "b", "", "d"]).to_csv(table, index=False)
    rows = read_scores(table).to_dict("records")
    assert {rows[0][name] for name in ("flicker", "nearest_clip", "copied")} == {None}
    assert [row["warmth"] for row in rows] == [0.5, 1.0, 2.0, None]
    assert [row["note"] for row in rows] == ["a", "b", None, "d"]
    report = Report(found=find_runs(made_up.root))
    assert "flicker" not in report.results["method"].intervals and "appearance" in report.results["method"].intervals
    assert gallery_of(report, tmp_path / "report", made_up.root)


@pytest.mark.parametrize(
    "columns",
    [3, [3], ["x"], [{"name": "x", "kind": "colour"}], [{"title": "x"}], [{"name": "x", "measure": {"name": "y"}}]],
)
def test_declarations_that_are_none_are_a_damaged_run(made_up, scored, columns):
    folder = made_up.run(evaluations={0: scored(appearance=0.3, correct=(1, 0, 1, 0))})
    made_up.run("reg_none", evaluations={0: scored(appearance=0.3, correct=(1, 0, 1, 0))})
    file = folder / "evaluation" / "000000" / "summary.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), DECLARED: columns}))
    found = {run.arm: run.damaged for run in find_runs(made_up.root).runs}
    assert str(file) in found["method"] and "remove it and score the videos again" in found["method"]
    assert not found["reg_none"]


CLASHING = """
from toys import Brightness
from vmc.metrics.columns import Column, Measure


class Same(Brightness):
    columns = (Column(name="flicker"),)


class Other(Brightness):
    columns = (Column(name="x", measure=Measure(name="appearance", title="A")),)


class Base(Brightness):
    columns = (Column(name="valid"),)
"""


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("vmc.metrics.quality.Quality", "metrics.quality and metrics.again are both the metric quality; take one out"),
        ("clashing.Same", "metrics.quality and metrics.again both have the column flicker; take one of them out"),
        ("clashing.Other", "metrics.appearance and metrics.again both have the measure appearance; take one of them"),
        ("clashing.Base", "every table and metrics.again both have the column valid; take one of them out"),
        ("pathlib.Path", "metrics.again is ., which is no metric; give one as _target_, or null"),
    ],
)
def test_two_metrics_of_one_name_or_column_are_refused_before_anything_is_loaded(
    entered, toy, target, sentence, monkeypatch, tmp_path
):
    (tmp_path / "clashing.py").write_text(CLASHING)
    monkeypatch.setattr(NetworkFile, "check", lambda self: pytest.fail("a network was opened"))
    # Of its own clips, since the miniature's world would be rendered first.
    data = (
        "data=videos",
        f"data.path={entered.clips}",
        "motion=custom",
        "motion.caption=a {token}",
        "regularization=none",
    )
    status, said = entered(main, f"+metrics.again._target_={target}", "logger=csv", "steps=1", *data)
    assert status == 1 and sentence in said and said.count("\n") == 1
    assert not Path("outputs").exists()


def test_a_declaration_that_cannot_be_is_refused():
    with pytest.raises(VmcError, match="a column is declared with 'colour' as kind"):
        Column(name="x", kind="colour")
    with pytest.raises(VmcError, match="holds text, of which there is no y"):
        Column(name="x", kind="text", measure=Measure(name="y", title="Y"))
    with pytest.raises(VmcError, match="made by 'above' with the threshold None"):
        Measure(name="y", title="Y", how="above")
