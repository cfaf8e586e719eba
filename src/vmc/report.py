"""`python -m vmc.report`: tables, figures and a gallery from run folders alone."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vmc.cli import run_hydra


def report(config: DictConfig) -> None:
    """Write the report and print its tables."""
    from vmc.runs.reporting.building import Report, write_report
    from vmc.runs.reporting.drawing import Figure3
    from vmc.runs.reporting.found import find_runs
    from vmc.runs.reporting.output import check_output
    from vmc.runs.reporting.text_table import to_terminal

    runs, output = Path(config.runs), Path(config.output)
    check_output(output)
    made = Report(found=find_runs(runs), chosen_threshold=config.stop.appearance)
    figures = write_report(
        made,
        output,
        runs=runs,
        samplers=samplers_of(made.runs),
        descriptor=descriptor_of(made.runs),
        figure3=Figure3(**config.figure3),
    )
    for table in made.short:
        print(to_terminal(table), end="\n\n")
    found = f"{len(made.runs)} runs of {len(made.results)} arms"
    print(f"{output}: {found}; index.html shows all videos and tables, and {len(figures)} figures")


def samplers_of(runs: list[Any]) -> dict[str, Any]:
    """The runs' samplers of timesteps, by their settings and the arms that have them; the method's first."""
    from hydra.utils import instantiate

    from vmc.runs.reporting.catalogue import arm_name, arm_order

    arms: dict[str, list[str]] = {}
    settings: dict[str, Any] = {}
    for run in sorted(runs, key=lambda run: arm_order(run.arm)):
        chosen = run.config.get("timesteps")
        if chosen:
            settings[str(chosen)] = chosen
            arms.setdefault(str(chosen), []).append(run.arm)
    labelled = {}
    for key, chosen in settings.items():
        name = str(chosen["_target_"]).rpartition(".")[2]
        values = ", ".join(f"{key} = {value}" for key, value in chosen.items() if key != "_target_")
        used = ", ".join(arm_name(arm) for arm in dict.fromkeys(arms[key]))
        labelled[f"{name}{f' ({values})' if values else ''}: {used}"] = instantiate(chosen)
    return labelled


def descriptor_of(runs: list[Any]) -> Any:
    """The copy descriptor that the runs were scored with, or None where its file is not here."""
    import torch
    from hydra.utils import instantiate

    for run in runs:
        chosen = (run.config.get("metrics") or {}).get("copying")
        if chosen:
            network = instantiate(chosen)
            network.to("cuda" if torch.cuda.is_available() else "cpu")
            return None if network.missing() else network
    return None


def main() -> None:
    """Entry point."""
    run_hydra(report, "report")


if __name__ == "__main__":
    main()
