"""The paper's model at its full size with random weights: written, trained, drawn from by the usual commands."""

import json
import shutil
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from vmc.config.build import build_part
from vmc.config.checks import resolved
from vmc.config.command import compose
from vmc.data.video import read_frames, write_video
from vmc.models.latent_diffusion import scheduler
from vmc.models.loading import cast
from vmc.models.parameters import select_names
from vmc.models.text import TEXT_PREFIX, clip_tokenizer
from vmc.models.unet3d import ZEROSCOPE, Sizes, save_pipeline
from vmc.runs.folder import LOCK, newest_weights, run_lock
from vmc.tools.bench.measure import machine, machine_line, reason_of, run_captured
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_folder, write_json
from vmc.utils.randomness import generator
from vmc.utils.tables import aligned

Shapes: TypeAlias = dict[str, tuple[int, ...]]
"""Name of a tensor -> its shape."""
DTYPE = torch.float16
"""Of the weights in the published folders."""
PICKLES = {"diffusion_pytorch_model": "diffusion_pytorch_model.bin", "model": "pytorch_model.bin"}
"""A file's name as safetensors, without its ending -> its name as a pickle."""
Command: TypeAlias = Callable[[Path, str, Sequence[str], Path], tuple[int, str]]
"""Runs a module of ours with words, its figures written to a file and its caches elsewhere; exit code, what it said."""
PROMPT = "A female firefighter doing the {token} sign."
SAMPLER_STEPS = 2
SMALL = {"frames": 2, "size": 64}
"""Of a video on a CPU, where nobody says otherwise; on a GPU they are the config's."""
RESULT = "proof.json"
PARTS = ("model-bin", "model-safetensors", "clips", "runs", "videos", RESULT, LOCK)
"""What a folder of ours may hold."""


def count(shapes: Shapes) -> int:
    """Parameters in all."""
    return sum(prod(shape) for shape in shapes.values())


def part_shapes(sizes: Sizes) -> dict[str, Shapes]:
    """The tensors of each part's network."""
    return {
        part: {name: tuple(tensor.shape) for name, tensor in sizes.empty(part).state_dict().items()}
        for part in sizes.networks
    }


def random_folder(folder: Path, sizes: Sizes, *, format: str = "bin") -> None:
    """Write the pipeline with weights in `bin` or `safetensors`; both formats hold the same."""
    with atomic_folder(folder) as temporary:
        networks = {part: random_network(sizes, part) for part in sizes.networks}
        save_pipeline(temporary, tokenizer=clip_tokenizer(), scheduler=scheduler(), **networks)
        networks.clear()
        for file in list(temporary.rglob("*.safetensors") if format == "bin" else ()):
            torch.save(load_file(file), file.with_name(PICKLES[file.stem]))
            file.unlink()


def random_network(sizes: Sizes, part: str) -> Any:
    """A part's network in half precision, each tensor drawn by its name in the published file."""
    network = sizes.empty(part)
    cast(network, DTYPE)
    network.to_empty(device="cpu")
    prefix = TEXT_PREFIX if part == "text_encoder" else ""
    tensors = network.state_dict().items()
    for name, tensor in tqdm(tensors, desc=f"random {part}", unit="tensor", disable=None, leave=False):
        tensor.copy_(draw_tensor(name, tuple(tensor.shape), generator(0, part, prefix + name)))
    return network


def draw_tensor(name: str, shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    """A tensor in float32 as PyTorch begins with it, on the scale that keeps a deep network's activations finite.

    Norms are 1, biases 0, embeddings normal with a deviation of 0.02, all else uniform within 1 / sqrt(inputs).
    """
    if len(shape) < 2:
        return torch.zeros(shape) if name.endswith("bias") else torch.ones(shape)
    if "embeddings." in name:
        return torch.empty(shape).normal_(0.0, 0.02, generator=source)
    bound = prod(shape[1:]) ** -0.5
    return torch.empty(shape).uniform_(-bound, bound, generator=source)


def in_a_process(file: Path, module: str, words: Sequence[str], cache: Path) -> tuple[int, str]:
    """Run an entry point in a fresh process."""
    return run_captured("vmc.tools.bench.measure", str(file), module, *words, VMC_CACHE=str(cache))


def prove(options: Namespace, *, sizes: Sizes = ZEROSCOPE, command: Command = in_a_process) -> dict[str, Any]:
    """Write the model, train it with activations kept and recomputed, and draw from it; the content of `proof.json`.

    Raises:
        VmcError: no GPU, a folder of something else, too little room, a command that fails, or counts that differ.
    """
    device = options.device or ("gpu" if torch.cuda.is_available() else "cpu")
    if device == "gpu" and not torch.cuda.is_available():
        raise VmcError("--device is gpu, but PyTorch finds no GPU here; use --device cpu")
    output, model, shapes = options.output, options.output / f"model-{options.format}", part_shapes(sizes)
    overrides = [f"trainer={device}", *options.override]
    config = resolved(compose("train", ["stack=paper", "data.path=clips", *overrides]))
    default = config["model"] if device == "gpu" else SMALL
    video = {name: getattr(options, name) or default[name] for name in SMALL}
    method = compose("train").parameters.groups
    trained = {name: shapes["unet"][name] for name in select_names(shapes["unet"], method, sizes.groups)}
    there = model.is_dir()
    # The model, and what one run leaves: weights; weights and optimizer state.
    need = (not there) * sum(map(count, shapes.values())) * DTYPE.itemsize + count(trained) * 4 * 4
    _check_output(output)
    with run_lock(output):
        proof = Proof(
            output, [f"model.path={model}", *(f"model.{key}={value}" for key, value in video.items())], command
        )
        try:
            shutil.rmtree(output / "runs", ignore_errors=True)  # of a proof that was killed
            _check_room(output, need=need)
            if not there:
                random_folder(model, sizes, format=options.format)
            print(f"{model}: {'there already' if there else 'written'}", flush=True)
            _write_clips(output / "clips")
            runs = [proof.train(overrides, trained, recomputed=recomputed) for recomputed in (False, True)]
            runs.append(proof.generate())
        finally:
            shutil.rmtree(output / "runs", ignore_errors=True)
        result = {
            "model": {
                "format": options.format,
                "dtype": str(DTYPE).removeprefix("torch."),
                "tensors": {part: len(tensors) for part, tensors in shapes.items()},
                "parameters": {part: count(tensors) for part, tensors in shapes.items()},
            },
            "trained": {"groups": list(method), "tensors": len(trained), "parameters": count(trained)},
            "video": [*video.values()],
            "precision": config["trainer"]["precision"],
            "runs": runs,
            "machine": machine(build_part(config, "trainer")),
        }
        write_json(output / RESULT, result)
    return result


def _check_output(output: Path) -> None:
    """Refuse a file, and a folder that holds something else."""
    if output.exists() and not output.is_dir():
        raise VmcError(f"--output is {output}, which is a file; choose another folder")
    if foreign := [path.name for path in output.glob("[!.]*") if path.name not in PARTS]:
        raise VmcError(f"--output is {output}, which holds {min(foreign)}; choose a folder of its own")


def _check_room(output: Path, *, need: int) -> None:
    if (free := shutil.disk_usage(output).free) < need:
        room = f"{free / 1e9:.1f} GB are free; {need / 1e9:.1f} are needed"
        raise VmcError(f"--output is {output}, where {room}, choose a folder on another disk")


def _write_clips(folder: Path) -> None:
    """Clips of noise: two exemplars and, in a folder of its own, a regularization clip."""
    for name in ("exemplars/0", "exemplars/1", "related/0"):
        draw = generator(0, "clip", name)
        frames_FCHW = torch.randint(256, (40, 3, 64, 64), generator=draw, dtype=torch.uint8)
        write_video(folder / f"{name}.mp4", frames_FCHW, fps=12)
    (folder / "related" / "0.txt").write_text("a person doing other things")


class Proof:
    """The two commands: in a folder, with the overrides of its model, by what runs an entry point."""

    def __init__(self, output: Path, model: Sequence[str], command: Command) -> None:
        self.output, self.model, self.command = output, model, command
        self.run = output / "runs" / "run"

    def train(self, overrides: Sequence[str], expected: Shapes, *, recomputed: bool) -> dict[str, Any]:
        """A run of the method, and what it wrote. An earlier run's weights make room first."""
        shutil.rmtree(self.run, ignore_errors=True)
        clips, name = self.output / "clips", f"training, activations {'recomputed' if recomputed else 'kept'}"
        words = [
            *("stack=paper", *self.model, f"sampler.steps={SAMPLER_STEPS}"),
            *("data=videos", f"data.path={clips / 'exemplars'}", f"regularization.path={clips / 'related'}"),
            *("data.variants=1", "regularization.variants=1", f"output={self.run}", "logger=csv"),
            *("steps=1", "evaluate_every=0", "checkpoint_every=0", "stop.appearance=null"),
        ]
        recompute = f"trainer.checkpoint_activations={str(recomputed).lower()}"
        figures = self._measure("vmc.train", [*words, recompute, *overrides], name)
        if "failed" in figures:
            return figures
        rows, weights = pd.read_csv(self.run / "train.csv"), newest_weights(self.run)
        with safe_open(weights, framework="pt") as file:
            have = {key.removeprefix("unet."): tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        if have != expected:
            raise VmcError(
                f"{name} wrote {len(have)} tensors of {count(have):,} parameters; {len(expected)} of"
                f" {count(expected):,} are the method's, so that this is a defect"
            )
        return figures | {
            "loss": rows["loss"].tolist(),
            "seconds_of_steps": rows["seconds"].diff().fillna(rows["seconds"]).round(3).tolist(),
            "weights_bytes": weights.stat().st_size,
            "checkpoint_bytes": max((self.run / "checkpoints").glob("*.ckpt")).stat().st_size,
        }

    def generate(self) -> dict[str, Any]:
        """A video by the trained weights."""
        name, videos = f"generation, {SAMPLER_STEPS} steps of the sampler", self.output / "videos"
        if not (self.run / "weights").is_dir():
            raise VmcError("no training fits into memory here; give a smaller --size, or fewer --frames")
        shutil.rmtree(videos, ignore_errors=True)  # of an earlier proof
        words = [f"run={self.run}", f"prompt={PROMPT}", "seeds=[0]", "batch_size=1", f"output={videos}"]
        figures = self._measure("vmc.generate", words, name)
        if "failed" in figures:
            return figures
        (file,) = videos.glob("*.mp4")
        frames_FCHW = read_frames(file)
        if not frames_FCHW.any():  # what is not a number is written as black
            raise VmcError(f"{name} gave black frames: the model's output is not finite, so that this is a defect")
        return figures | {"frames": [*frames_FCHW.shape]}

    def _measure(self, module: str, words: Sequence[str], name: str) -> dict[str, Any]:
        """Run an entry point; where memory was too small the reason stands in place of figures.

        Raises:
            VmcError: it fails otherwise.
        """
        print(f"{name} ...", flush=True)
        runs = self.run.parent
        runs.mkdir(exist_ok=True)
        status, said = self.command(runs / "figures.json", module, words, runs / "cache")
        if status == 0:
            return {"name": name, **json.loads((runs / "figures.json").read_text())}
        reason = reason_of(said)
        if status < 0:
            reason = f"it was ended by signal {-status}, as by a system that is out of memory"
        if "out of memory" not in reason.lower() and "does not fit into memory" not in reason:
            raise VmcError(f"{name}: {module} ended with status {status} ({reason})")
        return {"name": name, "failed": reason}


def table(result: Mapping[str, Any]) -> list[str]:
    """A proof as lines: counts, then a row a command; what was not measured is left empty."""
    model, trained, (frames, size) = result["model"], result["trained"], result["video"]
    counts = [(part, model["tensors"][part], number) for part, number in model["parameters"].items()]
    counts.append((f"trained ({' and '.join(trained['groups'])})", trained["tensors"], trained["parameters"]))
    header = ("", "s a step", "s a pass", "s in all", "peak GiB", "peak GPU GiB", "loss")
    return [
        *aligned([("", "tensors", "parameters"), *((name, f"{one:,}", f"{two:,}") for name, one, two in counts)]),
        "",
        *aligned([header, *map(_row, result["runs"])]),
        "",
        *(f"{run['name']} failed: {run['failed']}" for run in result["runs"] if "failed" in run),
        f"{frames} frames of {size} px, {result['precision']}, random weights in {model['dtype']} ({model['format']}).",
        "A step is forward, backward and optimizer, the making of the batch included; the first also makes the",
        "optimizer's state. A pass is the UNet alone, forward. All is by the ordinary commands, loading included in",
        "the seconds in all and in the peaks.",
        machine_line(result["machine"]),
    ]


def _row(run: Mapping[str, Any]) -> tuple[str, ...]:
    steps, passes = (
        ", ".join(f"{value:.3g}" for value in run.get(key, [])) for key in ("seconds_of_steps", "seconds_of_passes")
    )
    peaks = (run.get(key) for key in ("peak_memory_bytes", "peak_gpu_memory_bytes"))
    gib = (f"{peak / 2**30:.2f}" if peak else "" for peak in peaks)
    seconds, losses = f"{run['seconds']:.0f}" if "seconds" in run else "", run.get("loss", [])
    return (run["name"], steps, passes, seconds, *gib, " ".join(f"{loss:.6g}" for loss in losses))
