"""From the folders of the trainings to the weights in the package."""

import json
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from vmc.mini.card.reading import CARD, PAGE, TRAININGS
from vmc.mini.world.hashing import renderer_hash
from vmc.models.zeroscope import UNet3D
from vmc.tools.learning.training import STATE
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_folder

MOST_BYTES = 40_000_000
"""Of all weights together."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A training and what it has written.

    Args:
        folder: of the training, within that of all.
        files: (where it was written, where it ships), files or folders.
        command: that trains it.
    """

    folder: str
    files: tuple[tuple[str, str], ...]
    command: str


SOURCES: dict[str, Source] = {
    "pipeline": Source(folder="pretraining", files=(("pipeline", "pipeline"),), command="pipeline"),
    "variety": Source(folder="variety", files=(("pipeline", "pipeline"),), command="variety"),
    "variety_2": Source(folder="variety-2", files=(("pipeline", "pipeline"),), command="variety"),
    "variety_3": Source(folder="variety-3", files=(("pipeline", "pipeline"),), command="variety"),
    "classifier": Source(
        folder="classifier", files=(("classifier.pth.tar", "classifier.pth.tar"),), command="classifier"
    ),
    "appearance": Source(
        folder="appearance",
        files=tuple((name, f"appearance/{name}") for name in ("open_clip_config.json", "open_clip_model.safetensors")),
        command="appearance",
    ),
    "copying": Source(
        folder="copying", files=(("copying.torchscript.pt", "copying.torchscript.pt"),), command="copying"
    ),
}
"""By network; the pipeline is trained on three times, and each of its trainings replaces what the former wrote."""


def ship(trained: Path, output: Path, *, only: Collection[str] = tuple(SOURCES), unfinished: bool = False) -> int:
    """Copy exported networks into the folder of weights, whole or not at all; the bytes of all that are then there.

    A card that is there stays; it says itself when it is older than the weights.

    Args:
        trained: the folder of all trainings.
        output: of the weights.
        only: which trainings are copied; of the others, what is there stays.
        unfinished: take trainings that have not reached the end of their schedule too.

    Raises:
        VmcError: a training or one of its files is missing, unfinished or of another renderer, or all are too large.
    """
    if unknown := sorted(set(only) - set(SOURCES)):
        raise VmcError(f"--only names {unknown[0]}; choose from {', '.join(SOURCES)}")
    chosen = {name: source for name, source in SOURCES.items() if name in only}
    trainings = {name: about for name, about in _shipped_trainings(output).items() if not _replaced(name, only)}
    trainings |= {name: _training(trained / source.folder, source, unfinished) for name, source in chosen.items()}
    trainings = {name: trainings[name] for name in SOURCES if name in trainings}
    kept = [copy for name, source in SOURCES.items() if name not in only for copy in _kept(output, source)]
    copied = [copy for source in chosen.values() for copy in _copies(trained / source.folder, source)]
    files = {place: file for file, place in [*kept, *copied]}
    size = sum(file.stat().st_size for file in files.values())
    if size > MOST_BYTES:
        raise VmcError(
            f"the weights take {size / 1e6:.1f} MB together, more than {MOST_BYTES / 1e6:.0f};"
            " train smaller networks, or export them in half precision"
        )
    fresh, former = (output.with_name(f".{output.name}-{age}") for age in ("new", "old"))
    for left in (fresh, former):
        shutil.rmtree(left, ignore_errors=True)
    with atomic_folder(fresh) as temporary:
        for place, file in {**files, **_card(output)}.items():
            (temporary / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, temporary / place)  # without its mode: safetensors are written for one user alone
        (temporary / TRAININGS).write_text(json.dumps(trainings, indent=2) + "\n", encoding="utf-8")
    if output.exists():
        output.rename(former)
    fresh.rename(output)
    shutil.rmtree(former, ignore_errors=True)
    return size


def _training(folder: Path, source: Source, unfinished: bool) -> dict[str, Any]:
    """What the state says of a training."""
    state, command = folder / STATE, f"`python -m vmc.mini {source.command} --minutes 0`"
    if not state.is_file():
        raise VmcError(f"{state} does not exist; {command} trains it")
    try:
        with safe_open(state, framework="pt") as file:
            said = json.loads((file.metadata() or {})["vmc"])
        identity, done = said["identity"], f"{said['step']} of {said['steps']}"
        finished = said["step"] >= said["steps"] and said.get("vae_step", 0) >= said.get("vae_steps", 0)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise VmcError(f"{state} is damaged or no state of a training; copy it again from where it is whole") from error
    if not renderer_hash().startswith(identity.get("renderer", "")):
        raise VmcError(f"{folder} was trained with another renderer; train it anew in a new folder")
    if not (finished or unfinished):
        raise VmcError(f"{folder} has done {done} steps; {command} goes on, or give --unfinished")
    numbers = {name: said[name] for name in ("vae_step", "vae_steps", "step", "steps") if name in said}
    return {
        "seed": identity.get("seed"),
        **numbers,
        "seconds": round(said["seconds"]),
        "finished": finished,
        "identity": identity,
    }


def _copies(folder: Path, source: Source) -> Iterator[tuple[Path, str]]:
    """(file, place in the folder of weights) of all that a training gives."""
    for written, place in source.files:
        found = folder / written
        needed = [found / part / file for part, file in UNet3D.parts.items()] if found.is_dir() else [found]
        for file in needed:
            if not file.is_file():
                raise VmcError(f"{file} does not exist; `python -m vmc.mini {source.command}` writes it")
        for file in sorted(found.rglob("*")) if found.is_dir() else [found]:
            if file.is_file() and file.name[0] != ".":
                yield file, place if file == found else f"{place}/{file.relative_to(found).as_posix()}"


def _kept(output: Path, source: Source) -> Iterator[tuple[Path, str]]:
    """(file, place) of what is shipped already."""
    for _, place in source.files:
        found = output / place
        for file in sorted(found.rglob("*")) if found.is_dir() else [found]:
            if file.is_file():
                yield file, file.relative_to(output).as_posix()


def _shipped_trainings(output: Path) -> dict[str, Any]:
    file = output / TRAININGS
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _replaced(name: str, only: Collection[str]) -> bool:
    """Whether what the training `name` wrote is written anew by one that comes before it."""
    before = list(SOURCES)[: list(SOURCES).index(name)]
    return any(other in only and SOURCES[other].files == SOURCES[name].files for other in before)


def _card(output: Path) -> dict[str, Path]:
    return {name: output / name for name in (CARD, PAGE) if (output / name).is_file()}
