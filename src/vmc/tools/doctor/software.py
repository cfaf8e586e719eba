"""Versions of what vmc needs, and whether videos can be written and read back."""

import platform
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from vmc.tools.doctor.rows import Row
from vmc.utils.errors import first_line

SHOWN = ("torch", "diffusers", "transformers", "pytorch-lightning", "open_clip_torch", "av", "wandb")
"""Named with their versions where all is well."""


def software() -> list[Row]:
    """Packages, the pair of torch and torchvision, and the codec."""
    return [_packages(), _torchvision(), _codec()]


def _packages() -> Row:
    name = f"Python {platform.python_version()}"
    try:
        wrong = list(unmet(requires("vmc") or ()))
    except PackageNotFoundError:
        return Row(part="packages", state="note", found=f"{name}, vmc is not installed", remedy="pip install -e .")
    if wrong:
        remedy = " ".join(f"'{need}'" for need, _ in wrong)
        found = "; ".join(f"{need} is needed, {have or 'none'} is there" for need, have in wrong)
        return Row(part="packages", state="fails", found=found, remedy=f"pip install {remedy}")
    return Row(part="packages", state="ok", found=", ".join([name, *(f"{part} {version(part)}" for part in SHOWN)]))


def unmet(requirements: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Each requirement, extras left out, that is not met, with the version that is there."""
    for text in requirements:
        need = Requirement(text)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            have = version(need.name)
        except PackageNotFoundError:
            yield f"{need.name}{need.specifier}", None
        else:
            if not need.specifier.contains(have, prereleases=True):
                yield f"{need.name}{need.specifier}", have


def _torchvision() -> Row:
    """A torchvision of another build than torch's cannot be imported, and takes transformers and open_clip with it."""
    try:
        import torch
        import torchvision.ops
    except Exception as error:  # it raises RuntimeError, or ImportError from deep within
        remedy = "pip install --force-reinstall torch torchvision, both from one index"
        return Row(part="torchvision", state="fails", found=f"does not fit torch ({first_line(error)})", remedy=remedy)
    return Row(part="torchvision", state="ok", found=f"{torchvision.__version__} fits torch {torch.__version__}")


def _codec() -> Row:
    try:
        import torch

        from vmc.data.video import read_frames, write_video

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "grey.mp4"
            write_video(file, torch.full((2, 3, 32, 32), 128, dtype=torch.uint8), fps=12)
            frames = read_frames(file).shape[0]
    except Exception as error:
        found = f"no H.264 video can be written ({first_line(error)})"
        remedy = "pip install --force-reinstall --only-binary av av: its wheels bring libx264"
        return Row(part="video codec", state="fails", found=found, remedy=remedy)
    return Row(
        part="video codec", state="ok", found=f"libx264 of PyAV {version('av')} writes, {frames} frames read back"
    )
