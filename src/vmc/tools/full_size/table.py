"""A proof as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from vmc.utils.tables import aligned

GIB = 2**30


def lines(result: Mapping[str, Any]) -> list[str]:
    """Counts, then a row a command; what was not measured is left empty."""
    counts = [("", "tensors", "parameters")]
    model, trained = result["model"], result["trained"]
    counts += [(part, f"{model['tensors'][part]:,}", f"{number:,}") for part, number in model["parameters"].items()]
    groups = " and ".join(trained["groups"])
    counts.append((f"trained ({groups})", f"{trained['tensors']:,}", f"{trained['parameters']:,}"))
    runs: list[tuple[str, ...]] = [("", "s a step", "s a pass", "s in all", "peak GiB", "peak GPU GiB", "loss")]
    runs += [_row(run) for run in result["runs"]]
    machine, (frames, size) = result["machine"], result["video"]
    hardware = [str(machine["processor"])]
    hardware += [f"{name} {part}" for name, part in machine.items() if name not in ("processor", "versions")]
    return [
        *aligned(counts),
        "",
        *aligned(runs),
        "",
        *(f"{run['name']} failed: {run['failed']}" for run in result["runs"] if "failed" in run),
        f"{frames} frames of {size} px, {result['precision']}, random weights in {model['dtype']} ({model['format']}).",
        "A step is forward, backward and optimiser, the making of the batch included; the first also makes the",
        "optimiser's state. A pass is the UNet alone, forward. All is by the ordinary commands, loading included in",
        "the seconds in all and in the peaks.",
        f"on {', '.join(hardware)}; {', '.join(f'{name} {number}' for name, number in machine['versions'].items())}",
    ]


def _row(run: Mapping[str, Any]) -> tuple[str, ...]:
    if "failed" in run:
        return (run["name"], *[""] * 6)
    gpu = run["peak_gpu_memory_bytes"]
    return (
        run["name"],
        _seconds(run.get("seconds_of_steps", [])),
        _seconds(run["seconds_of_passes"]),
        f"{run['seconds']:.0f}",
        f"{run['peak_memory_bytes'] / GIB:.2f}",
        "" if gpu is None else f"{gpu / GIB:.2f}",
        " ".join(f"{loss:.6g}" for loss in run.get("loss", [])),
    )


def _seconds(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
