"""A W&B workspace as code: what the paper plots, against the training step, arm by arm."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from vmc.metrics.columns import Measure
from vmc.metrics.scores import MEASURES
from vmc.runs.wandb_mirror import EVALUATION, VIDEOS
from vmc.utils.errors import VmcError

NAME = "Motion customization"
MOST_RUNS = 200  # in a panel; W&B itself shows ten


def check_extra() -> None:
    """Raise a VmcError where the package that lays out dashboards is not installed."""
    if find_spec("wandb_workspaces") is None:
        raise VmcError("dashboard needs a package that is not installed; pip install 'vmc[dashboards]'")


def build_dashboard(
    *, entity: str, project: str, group: str | None = None, measures: Iterable[Measure] = MEASURES
) -> Any:
    """Build the workspace without saving it or asking a server. Measures of a table or a figure have a curve.

    Args:
        entity: user or team in W&B that the project belongs to.
        project: in W&B.
        group: whose runs are shown; None shows all.
        measures: those of the runs.
    """
    check_extra()
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces.reports import v2 as wr

    def curve(title: str, metric: str) -> Any:
        look: dict[str, Any] = {"groupby": wr.Config("arm"), "groupby_aggfunc": "mean", "groupby_rangefunc": "minmax"}
        look |= {"title_x": "training step", "max_runs_to_show": MOST_RUNS}
        return wr.LinePlot(title=title, x="step", y=[metric], **look)

    # Further jobs (vmc.evaluate, vmc.report) have numbers of their own, which are no points of a curve.
    filters = [ws.Metric("JobType") == "train", *([] if group is None else [ws.Metric("Group") == group])]
    tradeoff = wr.ScatterPlot(
        title="Accuracy against appearance where runs stand now (paper, Fig. 7)",
        x=wr.SummaryMetric(f"{EVALUATION}/appearance"),
        y=wr.SummaryMetric(f"{EVALUATION}/motion_accuracy"),
    )
    curves = []
    for measure in measures:
        if measure.tables or measure.curve:
            better = "" if measure.better == "neither" else f" ({measure.better} is better)"
            curves.append(curve(f"{measure.plain}{better}", f"{EVALUATION}/{measure.name}"))
    videos = wr.WeavePanelSummaryTable(table_name=f"{EVALUATION}/{VIDEOS}")
    wide = ws.SectionLayoutSettings(columns=1, rows=1)
    return ws.Workspace(
        entity=entity,
        project=project,
        name=NAME if group is None else f"{NAME}: {group}",
        sections=[
            ws.Section(name="Scores", panels=[*curves, tradeoff], is_open=True),
            ws.Section(name="Videos", panels=[videos], is_open=True, layout_settings=wide),
            ws.Section(name="Training", panels=[curve("Loss of the exemplars", "loss_motion")], layout_settings=wide),
        ],
        settings=ws.WorkspaceSettings(x_axis="step", max_runs=MOST_RUNS),
        runset_settings=ws.RunsetSettings(filters=filters, groupby=[ws.Config("arm")]),
    )


def save_dashboard(
    *, entity: str | None, project: str, group: str | None = None, measures: Iterable[Measure] = MEASURES
) -> str:
    """Save the workspace in W&B and return its address; a VmcError where the server refuses or does not answer."""
    if entity is None:
        raise VmcError("the dashboard is not made, since W&B's server does not answer; run the same command again")
    workspace = build_dashboard(entity=entity, project=project, group=group, measures=measures)
    try:
        return str(workspace.save().url)
    except Exception as error:  # the package raises what its layers raise: wandb's, requests' and its own
        raise VmcError(
            f"the dashboard of {entity}/{project} cannot be saved ({' '.join(str(error).split())});"
            " check that you are logged in and may write there"
        ) from error
