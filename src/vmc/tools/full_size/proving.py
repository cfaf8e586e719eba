"""Load, train a step and draw a video with random weights, each by the ordinary command, and measure it."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

from omegaconf import DictConfig
from safetensors import safe_open

from vmc.config.build import build_part
from vmc.config.command import compose
from vmc.data.video import read_frames
from vmc.mini.world.jester_folder import write as write_clips
from vmc.models.base import Groups
from vmc.models.parameters import select_names
from vmc.runs.folder import newest_weights
from vmc.runs.lock import LOCK, run_lock
from vmc.tools.bench.measure import machine
from vmc.tools.full_size.folder import Format, part_shapes, random_folder
from vmc.tools.full_size.sizes import DTYPE, ZEROSCOPE, Shapes, Sizes, count
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write

Command: TypeAlias = Callable[[Path, str, Sequence[str], Path], tuple[int, str]]
"""Runs a module of ours with words, its figures written to a file and its caches elsewhere; exit code, what it said."""
CLASSES = ("Swiping Down", "Doing other things", "No gesture")
EXEMPLARS = 2
PROMPT = "A female firefighter doing the {token} sign."
SAMPLER_STEPS = 2
SMALL = {"frames": 2, "size": 64}
"""Of a video on a CPU, where nobody says otherwise; on a GPU they are the config's."""
RESULT = "proof.json"
PARTS = ("model", "clips", "runs", "videos", RESULT)
"""What a folder of ours may hold."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What is proved, and on what.

    Args:
        output: folder of the model, the videos and `proof.json`.
        sizes: of the networks.
        format: of the weight files.
        device: cpu or gpu.
        frames, size: of a clip and a video, px; None for `SMALL` on a CPU and the config's own on a GPU.
        steps: of training; a first one also makes the optimiser's state.
        seed: of the weights.
        overrides: of `vmc.train`, after all others.
        command: runs an entry point.
    """

    output: Path
    sizes: Sizes = ZEROSCOPE
    format: Format = "bin"
    device: str = "cpu"
    frames: int | None = None
    size: int | None = None
    steps: int = 1
    seed: int = 0
    overrides: Sequence[str] = ()
    command: Command | None = None

    def prove(self) -> dict[str, Any]:
        """Do it; the content of `proof.json`.

        Raises:
            VmcError: a folder of something else, too little room, a command that fails, or counts that do not agree.
        """
        self._check_folder()
        with run_lock(self.output):
            runs = self.output / "runs"
            shutil.rmtree(runs, ignore_errors=True)  # of a proof that was killed
            shapes = part_shapes(self.sizes)
            expected = trained_shapes(shapes["unet"], self.sizes.groups)
            self._check_room(shapes, expected)
            written = random_folder(self.output / "model", self.sizes, format=self.format, seed=self.seed)
            print(f"{self.output / 'model'}: {'written' if written else 'there already'}", flush=True)
            clips = self.output / "clips"
            if not clips.is_dir():
                counts = {"per_class": EXEMPLARS, "train_per_class": 1, "test_clips": 1, "workers": 1}
                write_clips(clips, classes=CLASSES, **counts)
            try:
                found = [self._train(runs, expected, recomputed=recomputed) for recomputed in (False, True)]
                found.append(self._generate(runs))
            finally:
                shutil.rmtree(runs, ignore_errors=True)
            result = self._result(shapes, expected, found)
            with atomic_write(self.output / RESULT) as temporary:
                temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        return result

    def _result(self, shapes: Mapping[str, Shapes], expected: Shapes, found: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "model": {
                "format": self.format,
                "dtype": str(DTYPE).removeprefix("torch."),
                "tensors": {part: len(tensors) for part, tensors in shapes.items()},
                "parameters": {part: count(tensors) for part, tensors in shapes.items()},
            },
            "trained": {
                "groups": list(self.config.parameters.groups),
                "tensors": len(expected),
                "parameters": count(expected),
            },
            "video": [*self._video().values()],
            "precision": self.config.trainer.precision,
            "runs": found,
            "machine": machine(build_part(self.config, "trainer")),
        }

    def _check_folder(self) -> None:
        if self.output.exists() and not self.output.is_dir():
            raise VmcError(f"--output is {self.output}, which is a file; choose another folder")
        foreign = [path.name for path in self.output.glob("[!.]*") if path.name not in (*PARTS, LOCK)]
        if foreign:
            raise VmcError(f"--output is {self.output}, which holds {min(foreign)}; choose a folder of its own")

    def _check_room(self, shapes: Mapping[str, Shapes], trained: Shapes) -> None:
        """Before anything is written: the model, and what one run leaves (weights; weights and two moments)."""
        model = 0 if (self.output / "model").is_dir() else sum(count(part) for part in shapes.values()) * DTYPE.itemsize
        need, free = model + count(trained) * 4 * 4, shutil.disk_usage(self.output).free
        if free < need:
            raise VmcError(
                f"--output is {self.output}, where {free / 1e9:.1f} GB are free; {need / 1e9:.1f} are needed,"
                " choose a folder on another disk"
            )

    # --- the two commands --------------------------------------------------------------------------------------------

    def _train(self, runs: Path, expected: Shapes, *, recomputed: bool) -> dict[str, Any]:
        """A run of the method, and what it wrote. An earlier run's weights make room first."""
        shutil.rmtree(runs / "run", ignore_errors=True)
        words = [
            *("stack=paper", f"trainer={self.device}", f"model.path={self.output / 'model'}"),
            *(f"data.path={self.output / 'clips'}", f"data.source.exemplars={EXEMPLARS}"),
            *("data.source.regularization_count=1", "data.variants=1", "regularization.variants=1"),
            *(f"model.{name}={value}" for name, value in self._video().items()),
            *(f"steps={self.steps}", "evaluate_every=0", "checkpoint_every=0", "stop.appearance=null", "logger=csv"),
            *(f"sampler.steps={SAMPLER_STEPS}", f"trainer.checkpoint_activations={str(recomputed).lower()}"),
            *(f"output={runs / 'run'}", *self.overrides),
        ]
        name = f"training, activations {'recomputed' if recomputed else 'kept'}"
        figures = self._measure(runs, "vmc.train", words, name)
        if "failed" in figures:
            return figures
        with (runs / "run" / "train.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        until = [0.0, *(float(row["seconds"]) for row in rows)]
        weights = newest_weights(runs / "run")
        if (have := saved_shapes(weights)) != expected:
            raise VmcError(
                f"{name} wrote {len(have)} tensors of {count(have):,} parameters; {len(expected)} of"
                f" {count(expected):,} are the method's, so that this is a defect"
            )
        return figures | {
            "loss": [float(row["loss"]) for row in rows],
            "seconds_of_steps": [round(after - before, 3) for before, after in pairwise(until)],
            "weights_bytes": weights.stat().st_size,
            "checkpoint_bytes": max((runs / "run" / "checkpoints").glob("*.ckpt")).stat().st_size,
        }

    def _generate(self, runs: Path) -> dict[str, Any]:
        """A video by the trained weights."""
        name = f"generation, {SAMPLER_STEPS} steps of the sampler"
        if not (runs / "run" / "weights").is_dir():
            raise VmcError("no training fits into memory here; give a smaller --size, or fewer --frames")
        videos = self.output / "videos"
        shutil.rmtree(videos, ignore_errors=True)  # of an earlier proof
        words = [f"run={runs / 'run'}", f"prompt={PROMPT}", "seeds=[0]", "batch_size=1", f"output={videos}"]
        figures = self._measure(runs, "vmc.generate", words, name)
        if "failed" in figures:
            return figures
        (file,) = videos.glob("*.mp4")
        frames_FCHW = read_frames(file)
        if not frames_FCHW.any():  # what is not a number is written as black
            raise VmcError(f"{name} gave black frames: the model's output is not finite, so that this is a defect")
        return figures | {"frames": [*frames_FCHW.shape]}

    def _measure(self, runs: Path, module: str, words: Sequence[str], name: str) -> dict[str, Any]:
        """Run an entry point; where memory was too small the reason stands in place of figures.

        Raises:
            VmcError: it fails otherwise.
        """
        print(f"{name} ...", flush=True)
        runs.mkdir(exist_ok=True)
        file = runs / "figures.json"
        file.unlink(missing_ok=True)
        status, said = (self.command or in_a_process)(file, module, words, runs / "cache")
        if status == 0:
            return {"name": name, **json.loads(file.read_text())}
        told = next((line for line in reversed(said.splitlines()) if line.startswith("error:")), said[-300:].strip())
        if status < 0:
            told = f"it was ended by signal {-status}, as by a system that is out of memory"
        if "out of memory" not in told.lower() and "does not fit into memory" not in told:
            raise VmcError(f"{name}: {module} ended with status {status} ({told})")
        return {"name": name, "failed": told}

    # --- what it runs on ---------------------------------------------------------------------------------------------

    @cached_property
    def config(self) -> DictConfig:
        """Of the training, as far as the command line decides it."""
        return compose("train", ["stack=paper", f"trainer={self.device}", *self.overrides])

    def _video(self) -> dict[str, int]:
        given = {"frames": self.frames, "size": self.size}
        default = self.config.model if self.device == "gpu" else SMALL
        return {name: value or default[name] for name, value in given.items()}


def in_a_process(file: Path, module: str, words: Sequence[str], cache: Path) -> tuple[int, str]:
    """Run an entry point in a fresh process."""
    line = [sys.executable, "-m", "vmc.tools.full_size.measured", str(file), module, *words]
    done = subprocess.run(
        line, env={**os.environ, "VMC_CACHE": str(cache)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def trained_shapes(unet: Shapes, groups: Groups) -> Shapes:
    """Those of the UNet's tensors that the method trains."""
    chosen = compose("train").parameters.groups
    return {name: unet[name] for name in select_names(unet, chosen, groups)}


def saved_shapes(weights: Path) -> Shapes:
    """Of a run's weights, by the UNet's names."""
    with safe_open(weights, framework="pt") as file:
        return {name.removeprefix("unet."): tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
