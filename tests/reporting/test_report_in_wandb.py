"""A report in W&B: its tables and figures as an artifact, and the dashboard of the project."""

import json
from pathlib import Path

import pytest
from omegaconf import DictConfig

from vmc.report import main as report
from vmc.report import with_place_of
from vmc.reporting import dashboard
from vmc.reporting.dashboard import build_dashboard, save_dashboard
from vmc.reporting.reading import find_runs
from vmc.runs.wandb_mirror import numbers
from vmc.utils.errors import VmcError


@pytest.fixture
def runs(made_up, scored):
    """Two arms, logged in W&B under one project."""
    for arm in ("method", "reg_none"):
        evaluations = {
            step: scored(appearance=appearance, correct=(1, 0, 1, 0), copied=(1, 0, 0, 0))
            for step, appearance in ((0, 0.30), (100, 0.24))
        }
        made_up.run(arm, evaluations=evaluations, config={"logger": {"project": "mine", "group": "ablations-quick"}})
    return made_up.root


def test_tables_and_figures_are_logged_offline_in_the_group_of_the_runs(entered, runs, logged):
    others = [f"figures.{name}=null" for name in ("figure3_strips", "figure8_copies", "timesteps")]
    for _ in range(2):  # again: what an earlier report has logged stays
        status, said = entered(report, f"runs={runs}", "output=out/report", "logger=wandb", *others)
        assert status == 0, said
    records = logged(Path("out"))
    begun = [record["run"] for record in records if record["type"] == "run"]
    assert len(begun) == 2 and begun[0]["run_id"] != begun[1]["run_id"]
    assert [begun[0][key] for key in ("project", "run_group", "job_type")] == ["mine", "ablations-quick", "report"]
    history = next(record["history"]["item"] for record in records if record["type"] == "history")
    assert history["report/table2._type"] == "table-file" and history["report/runs.nrows"] == 2
    assert history["report/figure7_tradeoff._type"] == "image-file"
    made = [record["artifact"] for record in records if record["type"] == "artifact"]
    kept = next(one["manifest"]["contents"] for one in made if one["type"] == "report")
    out = Path("out/report")
    files = {entry["path"]: Path(entry["local_path"]) for entry in kept}
    wanted = [file for part in ("tables", "figures") for file in (out / part).iterdir()] + [out / "report.md"]
    assert files.keys() == {file.relative_to(out).as_posix() for file in wanted}
    assert {Path(name).suffix for name in files} == {".md", ".csv", ".tex", ".svg", ".png"}
    assert files["tables/table2.csv"].read_bytes() == (out / "tables" / "table2.csv").read_bytes()


def test_the_command_line_has_the_last_word_on_the_place(runs):
    found = find_runs(runs).runs
    assert with_place_of(found, DictConfig({"project": "other", "group": None})) == {
        "project": "other",
        "group": "ablations-quick",
    }
    place = {"project": "other", "group": "own"}
    assert with_place_of(found, DictConfig(place)) == place


# --- the dashboard ---------------------------------------------------------------------------------------------------


@pytest.fixture
def needs_extra():
    pytest.importorskip("wandb_workspaces")


@pytest.mark.usefixtures("needs_extra")
def test_the_dashboard_lays_out_what_runs_log(runs):
    found = numbers(json.loads((runs / "method/swiping_down/seed0/evaluation/000100/summary.json").read_text()))
    logged = {*found, "evaluation/videos", "loss_motion", "step"}
    workspace = build_dashboard(entity="me", project="mine", group="ablations-quick")
    assert [section.name for section in workspace.sections] == ["Scores", "Videos", "Training"]
    scores, videos, training = (section.panels for section in workspace.sections)
    curves = [panel for panel in (*scores, *training) if type(panel).__name__ == "LinePlot"]
    assert {panel.y[0] for panel in curves} <= logged
    shown = {f"evaluation/{metric}" for metric in ("motion_accuracy", "appearance", "copy_score")}
    assert shown <= {panel.y[0] for panel in curves}
    assert {(panel.x, panel.groupby.name) for panel in curves} == {("step", "arm")}
    (tradeoff,) = (panel for panel in scores if type(panel).__name__ == "ScatterPlot")
    assert {tradeoff.x.name, tradeoff.y.name} <= logged
    assert [panel.table_name for panel in videos] == ["evaluation/videos"]


@pytest.mark.usefixtures("needs_extra")
def test_the_dashboard_shows_a_group_arm_by_arm_as_the_server_gets_it():
    sent = build_dashboard(entity="me", project="mine", group="g")._to_model().model_dump(by_alias=True)
    (shown,) = sent["spec"]["section"]["runSets"]
    assert [(one["key"]["name"], one["value"]) for one in shown["filters"]["filters"]] == [
        ("jobType", "train"),
        ("group", "g"),
    ]
    assert [key["name"] for key in shown["grouping"]] == ["arm.value"]
    assert (sent["entity"], sent["project"]) == ("me", "mine")
    everything = build_dashboard(entity="me", project="mine")._to_model().model_dump(by_alias=True)
    assert len(everything["spec"]["section"]["runSets"][0]["filters"]["filters"]) == 1


@pytest.mark.usefixtures("needs_extra")
def test_a_server_that_refuses_is_told_of(monkeypatch):
    def refuse(self):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("wandb_workspaces.workspaces.Workspace.save", refuse)
    with pytest.raises(VmcError, match=r"dashboard of me/mine cannot be saved \(no route to host\)"):
        save_dashboard(entity="me", project="mine")


def test_without_the_extra_its_name_is_said(monkeypatch, entered, runs):
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    status, said = entered(report, f"runs={runs}", "output=out", "logger=wandb", "dashboard=true")
    assert status == 1 and "pip install 'vmc[dashboards]'" in said and not Path("out").exists()


@pytest.mark.usefixtures("needs_extra")
@pytest.mark.parametrize("logger", [[], ["logger=wandb"], ["logger=wandb", "logger.mode=offline"]])
def test_a_dashboard_needs_the_server(entered, runs, logger):
    status, said = entered(report, f"runs={runs}", "output=out", "dashboard=true", *logger)
    assert status == 1 and "wandb login, and give logger=wandb" in said and not Path("out").exists()
