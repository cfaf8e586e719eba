"""`python -m vmc.report`: tables, figures and a gallery from run folders alone."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vmc.config.checks import check_config, check_parts, check_place
from vmc.config.command import run_hydra
from vmc.config.trusted_classes import build_foreign
from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)


def report(config: DictConfig) -> None:
    """Write the report, print its tables, and show it in W&B where `logger=wandb` asks for it."""
    from hydra.utils import instantiate

    from vmc.reporting.choice_answers import read_study
    from vmc.reporting.choice_page import KEY, find_page
    from vmc.reporting.reading import find_runs
    from vmc.reporting.report import Report
    from vmc.reporting.tables import compact_table
    from vmc.reporting.writing import check_output, write_report
    from vmc.utils.tables import to_terminal

    check_config(config, "report")
    check_parts(config, ("logger", "figures"))
    runs, output = Path(config.runs), Path(config.output)
    check_place("output", output)
    check_output(output)
    if config.dashboard:
        check_dashboard(config)
    found = find_runs(runs)
    mirror = instantiate(with_place_of(found.runs, config.logger))
    made = Report(found=found, chosen_threshold=config.stop.appearance)
    made.samplers = samplers_of(made.runs, trust=config.trust)
    made.descriptor = descriptor_of(made.runs, trust=config.trust)
    choice: Any = OmegaConf.to_container(config.choice)
    if choice["answers"] is not None:
        made.study = read_study(choice["answers"], Path(choice["key"] or output / KEY))
    words, about = ({key: choice[key] for key in keys} for keys in (("motion", "text"), ("arms", "questions", "pairs")))
    study = None if choice["arms"] is None else find_page(made, **about, words=words, named=choice["name"])
    figures = write_report(made, output, runs=runs, figures=instantiate(config.figures), study=study)
    shown = [*map(compact_table, made.paper_tables), *([made.study[0]] if made.study else [])]
    print(*(f"{to_terminal(table)}\n\n" for table in shown if table.rows), sep="", end="")
    what = f"{len(made.runs)} runs of {len(made.results)} arms"
    said = f"{output}: {what}; index.html shows all videos and tables, and {len(figures)} figures"
    print(*made.found.notes, said, sep="\n")
    if study:
        print(study.describe(output))
    mirror.report(output, about={"runs": str(runs), "arms": list(made.results), "threshold": made.threshold})
    if config.dashboard:
        from vmc.reporting.dashboard import save_dashboard

        place = {"project": mirror.project, "group": mirror.group}
        print(save_dashboard(entity=mirror.entity, **place, measures=made.measures))


def check_dashboard(config: DictConfig) -> None:
    """Refuse a dashboard that cannot be made, before anything is written."""
    from hydra.utils import instantiate

    from vmc.reporting.dashboard import check_extra

    check_extra()
    if getattr(instantiate(config.logger), "mode", None) != "online":
        raise VmcError("dashboard is true, but it lies on W&B's server; wandb login, and give logger=wandb")


def with_place_of(runs: list[Any], logger: DictConfig) -> DictConfig:
    """The logger with the project and the group of the runs, where it names none and they agree."""
    from vmc.runs.wandb_mirror import place_of

    place = place_of([run.config for run in runs])
    # A name of somebody's run is text: nothing in it is looked up.
    unnamed = {key: name for key, name in place.items() if logger.get(key, "") is None and "${" not in str(name)}
    return DictConfig(OmegaConf.merge(logger, unnamed))


def samplers_of(runs: list[Any], *, trust: bool = False) -> dict[str, Any]:
    """The runs' samplers of timesteps, by their settings and the arms that have them; the method's first."""
    from vmc.reporting.table_arms import arm_name, arm_order

    owners: dict[str, list[Any]] = {}
    for run in sorted(runs, key=lambda run: arm_order(run.arm)):
        if run.trains and run.config.get("timesteps"):
            owners.setdefault(str(run.config["timesteps"]), []).append(run)
    labeled = {}
    for run, *others in owners.values():
        if (sampler := built(run, run.config["timesteps"], "timesteps", trust=trust)) is not None:
            settings = dict(run.config["timesteps"])
            name = str(settings.pop("_target_")).rpartition(".")[2]
            values = ", ".join(f"{key} = {value}" for key, value in settings.items())
            used = ", ".join(dict.fromkeys(arm_name(one.arm) for one in (run, *others)))
            labeled[f"{name}{f' ({values})' if values else ''}: {used}"] = sampler
    return labeled


def descriptor_of(runs: list[Any], *, trust: bool = False) -> Any:
    """The copy descriptor that the runs were scored with, or None where its file is not here."""
    import torch

    for run in runs:
        metrics = run.config.get("metrics")
        chosen = metrics.get("copying") if isinstance(metrics, dict) else None
        if chosen and (network := built(run, chosen, "metrics.copying", trust=trust)) is not None:
            network.to("cuda" if torch.cuda.is_available() else "cpu")
            return None if network.missing() else network
    return None


def built(run: Any, node: Any, place: str, *, trust: bool) -> Any:
    """What a part of a run's config describes; None, and a line in the log, where it is not to be built."""
    try:
        if not isinstance(node, dict) or "_target_" not in node:
            raise VmcError(f"{run.path / 'config.yaml'} has {place}: {str(node)[:80]}, which describes nothing")
        return build_foreign(node, place, source=str(run.path / "config.yaml"), trust=trust)
    except VmcError as error:
        log.warning("%s; the report goes without it", error)
        return None


def main() -> None:
    """Entry point."""
    run_hydra(report, "report")


if __name__ == "__main__":
    main()
