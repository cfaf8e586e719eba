"""`python -m vmc.bench startup`: how long a command takes to answer, and a run to make its first step."""

import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vmc.config.build import build_part
from vmc.config.command import compose
from vmc.tools.bench.measure import Figures, make_report, take_turns
from vmc.utils.errors import VmcError

TRAIN = (sys.executable, "-m", "vmc.train")
FIRST_STEP = ("steps=1", "evaluate_every=0", "checkpoint_every=0", "logger=csv")
NOTES = (
    "Seconds from the start of a process of its own; importing is included.",
    "The first run of each is given by itself: its files may not have been in the system's memory, and it fills the"
    " caches (clips, posteriors, texts) where they are empty. The others find both warm.",
)


def startup(arguments: Namespace) -> dict[str, Any]:
    """Seconds until `--help` and until the first step, each once cold and then as often as wanted.

    Raises:
        VmcError: the overrides do not compose, or a run fails.
    """
    overrides = arguments.overrides
    hardware = build_part(compose("train", overrides), "trainer")
    first_step = partial(first_step_seconds, overrides)
    tasks: dict[str, Callable[[], float]] = {"train --help": help_seconds, "first training step": first_step}
    timed = take_turns(tasks, repeats=1 + arguments.repeats, label="startup")
    figures: Figures = {name: ("s", values[1:]) for name, values in timed.items()}
    figures |= {f"{name}, first run": ("s", values[:1]) for name, values in timed.items()}
    settings = {"overrides": sum("=" in override for override in overrides)}
    return make_report("startup", settings, figures, NOTES, hardware)


def help_seconds() -> float:
    """Until `--help` has been printed."""
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        done = subprocess.run([*TRAIN, "--help"], cwd=folder, capture_output=True, text=True)
    _check(done.returncode, done.stderr)
    return time.perf_counter() - start


def first_step_seconds(overrides: Sequence[str]) -> float:
    """Until the first row stands in `train.csv`."""
    with TemporaryDirectory() as folder:
        table, log = Path(folder, "run", "train.csv"), Path(folder, "log.txt")
        line = [*TRAIN, *FIRST_STEP, *overrides, f"output={table.parent}"]
        start, found = time.perf_counter(), None
        with log.open("w") as stream, subprocess.Popen(line, stdout=stream, stderr=stream) as process:
            try:
                while process.poll() is None and found is None:
                    time.sleep(0.01)
                    if table.is_file() and table.read_bytes().count(b"\n") > 1:  # a row below the header
                        found = time.perf_counter() - start
                process.wait()
            finally:
                process.kill()
        _check(process.returncode, log.read_text(errors="replace"))
    if found is None:
        raise VmcError("vmc.train made no step; leave steps and logger out")
    return found


def _check(status: int, output: str) -> None:
    if status:
        lines = output.strip().splitlines() or ["nothing was said"]
        # Ours begin with "error:" and come last; Hydra says what is wrong first, then how to see its traceback.
        reason = next((line for line in reversed(lines) if line.startswith("error:")), lines[0])
        raise VmcError(f"vmc.train ended with status {status} ({reason}); give the overrides that it needs")
