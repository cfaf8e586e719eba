"""`python -m vmc.bench startup`: how long a command takes to answer, and a run to make its first step."""

import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from vmc.config.build import build_part
from vmc.config.command import compose
from vmc.tools.bench.measure import Figure, Report, machine
from vmc.utils.errors import VmcError

TRAIN = (sys.executable, "-m", "vmc.train")
LINE = ("steps=1", "evaluate_every=0", "checkpoint_every=0", "logger=csv")
NOTES = (
    "Seconds from the start of a process of its own; importing is included.",
    "The first run of each is given by itself: its files may not have been in the system's memory, and it fills the"
    " caches (clips, posteriors, texts) where they are empty. The others find both warm.",
)


def run(arguments: Namespace) -> Report:
    """Measure as the command line says."""
    return measure(arguments.overrides, repeats=arguments.repeats)


def measure(overrides: Sequence[str], *, repeats: int = 3) -> Report:
    """Seconds until `--help` and until the first step, each once cold and then as often as wanted.

    Args:
        overrides: of `vmc.train`.
        repeats: measurements after the first.

    Raises:
        VmcError: the overrides do not compose, or a run fails.
    """
    hardware = build_part(compose("train", overrides), "trainer")
    with TemporaryDirectory() as passing:
        ways = {
            "train --help": partial(help_seconds, Path(passing)),
            "first training step": partial(first_step_seconds, Path(passing), overrides),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        with tqdm(total=(1 + repeats) * len(ways), desc="startup", unit="run", disable=None, leave=False) as bar:
            for number in range(1 + repeats):
                for name, way in ways.items():
                    seconds[name].append(way(number))
                    bar.update()
    warm = [Figure(name, "s", tuple(values[1:])) for name, values in seconds.items()]
    first = [Figure(f"{name}, first run", "s", (values[0],)) for name, values in seconds.items()]
    return Report(
        benchmark="startup",
        settings={"overrides": sum("=" in override for override in overrides)},
        figures=[*warm, *first],
        notes=NOTES,
        machine=machine(hardware),
    )


def help_seconds(folder: Path, number: int) -> float:
    """Until `--help` has been printed."""
    start = time.perf_counter()
    done = subprocess.run([*TRAIN, "--help"], cwd=folder, capture_output=True, text=True)
    _check(done.returncode, done.stderr)
    return time.perf_counter() - start


def first_step_seconds(folder: Path, overrides: Sequence[str], number: int) -> float:
    """Until the first row stands in `train.csv`."""
    output, log = folder / f"run{number}", folder / f"run{number}.txt"
    start, found = time.perf_counter(), None
    with log.open("w") as stream:
        process = subprocess.Popen([*TRAIN, *LINE, *overrides, f"output={output}"], stdout=stream, stderr=stream)
        try:
            while process.poll() is None and found is None:
                time.sleep(0.01)
                found = time.perf_counter() - start if _has_step(output / "train.csv") else None
            process.wait()
        finally:
            process.kill()
            process.wait()
    _check(process.returncode, log.read_text(errors="replace"))
    if found is None:
        raise VmcError("vmc.train made no step; leave steps and logger out")
    return found


def _has_step(file: Path) -> bool:
    """A header and a row."""
    return file.is_file() and file.read_bytes().count(b"\n") > 1


def _check(status: int, said: str) -> None:
    if status:
        lines = said.strip().splitlines() or ["nothing was said"]
        # Ours begin with "error:" and come last; Hydra says what is wrong first, then how to see its traceback.
        told = next((line for line in reversed(lines) if line.startswith("error:")), lines[0])
        raise VmcError(f"vmc.train ended with status {status} ({told}); give the overrides that it needs")
