"""The paper's model at its full size with random weights: written, trained, and drawn from by the usual commands.

`python -m vmc.tools.full_size FILE MODULE [WORD ...]` runs an entry point and writes its seconds and memory into FILE.
"""

import json
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor

from vmc.config.build import build_part
from vmc.config.checks import resolved
from vmc.config.command import compose
from vmc.data.video import read_frames, write_video
from vmc.models.latent_diffusion import scheduler
from vmc.models.pretrained_weights import cast
from vmc.models.text import clip_tokenizer
from vmc.models.zeroscope import ZEROSCOPE, Sizes, save_pipeline
from vmc.runs.folder import newest_weights
from vmc.tools.bench.common import Figures, make_report, noise_clips, run_captured
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_folder, explain_unwritable, write_json
from vmc.utils.processes import resident_peak

PICKLES = {"diffusion_pytorch_model": "diffusion_pytorch_model.bin", "model": "pytorch_model.bin"}
"""A file's name as safetensors, without its ending -> its name as a pickle."""
Command: TypeAlias = Callable[[Path, str, Sequence[str]], tuple[int, str]]
"""Runs a module of ours with words, its figures written to a file; exit code, and why it ended."""
SAMPLER_STEPS = 2
SMALL = {"frames": 2, "size": 64}
"""Of a video on a CPU, where nobody says otherwise; on a GPU they are the config's."""
NOTES = (
    "Weights are random, in half precision. A step is forward, backward and optimizer, the making of the batch"
    " included; the first also makes the optimizer's state.",
    "All is by the ordinary commands, loading included in the seconds in all and in the peaks.",
)


def count(tensors: Mapping[str, Tensor]) -> int:
    """Count the parameters in all tensors."""
    return sum(tensor.numel() for tensor in tensors.values())


def random_folder(folder: Path, sizes: Sizes, *, format: str = "bin") -> None:
    """Write a pipeline with random weights in `bin` or `safetensors`; both formats hold the same."""
    with atomic_folder(folder) as temporary:
        networks = {part: random_network(sizes, part) for part in sizes.networks}
        save_pipeline(temporary, tokenizer=clip_tokenizer(), scheduler=scheduler(), **networks)
        networks.clear()
        for file in list(temporary.rglob("*.safetensors") if format == "bin" else ()):
            torch.save(load_file(file), file.with_name(PICKLES[file.stem]))
            file.unlink()


def random_network(sizes: Sizes, part: str) -> Any:
    """Make a part's network in half precision, as published, with the random weights of each layer's class, equal every
    time.
    """
    network = sizes.empty(part)
    cast(network, torch.float16)
    network.to_empty(device="cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for layer in network.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    return network


def prove(options: Namespace, *, sizes: Sizes = ZEROSCOPE, command: Command | None = None) -> dict[str, Any]:
    """Write the model, train it with activations kept and recomputed, and draw from it; a report as benchmarks make it,
    with the commands that did not fit into memory under `failed`.

    Args:
        options: the options of the command line.
        sizes: the configs of the model.
        command: runs an entry point; None for a process of its own.

    Raises:
        VmcError: no GPU, a command that fails for another reason than memory, or counts that differ.
    """
    device = options.device or ("gpu" if torch.cuda.is_available() else "cpu")
    if device == "gpu" and not torch.cuda.is_available():
        raise VmcError("--device is gpu, but PyTorch finds no GPU here; use --device cpu")
    output, model = options.output, options.output / f"model-{options.format}"
    overrides = [f"trainer={device}", *options.override]
    config = resolved(compose("train", ["stack=paper", "data.path=clips", *overrides]))
    default = config["model"] if device == "gpu" else SMALL
    video = {name: getattr(options, name) or default[name] for name in SMALL}
    trained = build_part(config, "parameters").select_trainable(sizes.empty_denoiser(), sizes.groups)
    with explain_unwritable(output):
        output.mkdir(parents=True, exist_ok=True)
    there = model.is_dir()
    if not there:
        random_folder(model, sizes, format=options.format)
    print(f"{model}: {'there already' if there else 'written'}", flush=True)
    with TemporaryDirectory(dir=output) as folder:
        words = [f"model.path={model}", *(f"model.{key}={value}" for key, value in video.items()), *overrides]
        proof = Proof(Path(folder), words, command or in_a_process)
        for recomputed in (False, True):
            proof.train(trained, recomputed=recomputed)
        proof.generate(output / "video.mp4")
    settings = {
        **{"video": [*video.values()], "precision": config["trainer"]["precision"], "format": options.format},
        **{"trained_tensors": len(trained), "trained_parameters": count(trained)},
        **{part: count(sizes.empty(part).state_dict()) for part in sizes.networks},
    }
    notes = [*NOTES, *(f"{name} failed: {reason}" for name, reason in proof.failed.items())]
    report = make_report("proof", settings, proof.figures, notes, build_part(config, "trainer"))
    report |= {"failed": proof.failed}
    write_json(output / "proof.json", report)
    return report


class Proof:
    """The trainings and the generation: the figures of those that fitted into memory, and why the others did not.

    Args:
        folder: an empty folder for clips, run, cache and videos.
        overrides: the overrides of the model.
        command: runs an entry point.
    """

    def __init__(self, folder: Path, overrides: Sequence[str], command: Command) -> None:
        self.folder, self.run, self.overrides, self.command = folder, folder / "run", overrides, command
        self.figures: Figures = {}
        self.failed: dict[str, str] = {}
        for name, frames_FCHW in noise_clips("proof", 3, frames=40, size=64):
            place = folder / ("related" if name == "proof2" else "exemplars") / f"{name}.mp4"
            write_video(place, frames_FCHW, fps=12)
        (folder / "related" / "proof2.txt").write_text("a person doing other things")

    def train(self, expected: Mapping[str, Tensor], *, recomputed: bool) -> None:
        """Train a step on clips of noise; an earlier run makes room first.

        Raises:
            VmcError: it fails, or trains other tensors than expected.
        """
        name = f"training, activations {'recomputed' if recomputed else 'kept'}"
        shutil.rmtree(self.run, ignore_errors=True)
        words = [
            *("stack=paper", f"sampler.steps={SAMPLER_STEPS}", f"cache={self.folder / 'cache'}"),
            *("data=videos", f"data.path={self.folder / 'exemplars'}", "data.variants=1", "logger=csv"),
            *(f"regularization.path={self.folder / 'related'}", "regularization.variants=1", f"output={self.run}"),
            *("steps=1", "evaluate_every=0", "checkpoint_every=0", "stop.appearance=null"),
            *(f"trainer.checkpoint_activations={str(recomputed).lower()}", *self.overrides),
        ]
        if not self._measure("vmc.train", words, name):
            return
        rows, weights = pd.read_csv(self.run / "train.csv"), newest_weights(self.run)
        have = {key.removeprefix("unet."): tensor for key, tensor in load_file(weights).items()}
        if {(key, have[key].shape) for key in have} != {(key, expected[key].shape) for key in expected}:
            raise VmcError(
                f"{name} wrote {len(have)} tensors of {count(have):,} parameters; {len(expected)} of"
                f" {count(expected):,} are to be trained, so that this is a defect"
            )
        self.figures[f"{name}, a step"] = "s", rows["seconds"].diff().fillna(rows["seconds"]).round(3).to_numpy()
        self.figures[f"{name}, loss"] = "", rows["loss"].to_numpy()
        for part, file in (("weights", weights), ("checkpoint", max((self.run / "checkpoints").glob("*.ckpt")))):
            self.figures[f"{name}, {part}"] = "GB", np.array([file.stat().st_size / 1e9])

    def generate(self, file: Path) -> None:
        """Make a video by the trained weights.

        Raises:
            VmcError: nothing was trained, it fails, or its frames are black.
        """
        name, videos = f"generation, {SAMPLER_STEPS} steps of the sampler", self.folder / "videos"
        if not (self.run / "weights").is_dir():
            raise VmcError("no training fits into memory here; give a smaller --size, or fewer --frames")
        prompt = "prompt=A female firefighter doing the {token} sign."
        words = [f"run={self.run}", prompt, "seeds=[0]", "batch_size=1", f"output={videos}"]
        if self._measure("vmc.generate", words, name):
            (video,) = videos.glob("*.mp4")
            if not read_frames(video.replace(file)).any():  # what is not a number is written as black
                raise VmcError(f"{name} gave black frames: the model's output is not finite, so that this is a defect")

    def _measure(self, module: str, words: Sequence[str], name: str) -> bool:
        """Run an entry point; False where memory was too small.

        Raises:
            VmcError: it fails otherwise.
        """
        print(f"{name} ...", flush=True)
        file = self.folder / "figures.json"
        status, reason = self.command(file, module, words)
        if status == 0:
            for part, (unit, values) in json.loads(file.read_text()).items():
                self.figures[f"{name}, {part}"] = unit, np.array(values)
            return True
        if status < 0:
            reason = f"it was ended by signal {-status}, as by a system that is out of memory"
        if "out of memory" not in reason.lower() and "does not fit into memory" not in reason:
            raise VmcError(f"{name}: {module} ended with status {status} ({reason})")
        self.failed[name] = reason
        return False


# --- an entry point, measured ---


def in_a_process(file: Path, module: str, words: Sequence[str]) -> tuple[int, str]:
    """Run an entry point in a fresh process."""
    return run_captured("vmc.tools.full_size", str(file), module, *words)


def measure_command(file: str, module: str, *words: str) -> None:
    """Run a module's `main` with words; write its seconds and its peak of memory, on a GPU that of PyTorch too."""
    began = time.perf_counter()
    sys.argv = [module, *words]
    try:
        import_module(module).main()
    finally:
        found = {"all": ("s", [time.perf_counter() - began]), "peak memory": ("GiB", [resident_peak() / 2**30])}
        if torch.cuda.is_initialized():
            found["peak GPU memory"] = "GiB", [torch.cuda.max_memory_allocated() / 2**30]
        Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    measure_command(*sys.argv[1:])
