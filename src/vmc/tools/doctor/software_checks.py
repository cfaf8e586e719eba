"""Whether packages and the video codec are here; nothing is imported that might be missing."""

import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement

from vmc.utils.errors import VmcError, first_line

SHOWN = ("torch", "diffusers", "transformers", "pytorch-lightning", "open_clip_torch", "av", "wandb")
"""Named with their versions where all is well."""


class Row(NamedTuple):
    """A finding; its state is ok, note (works with less than could be) or fails (keeps the stack from running)."""

    part: str
    state: Literal["ok", "note", "fails"]
    found: str
    remedy: str = ""

    @classmethod
    def noted(cls, part: str, found: str, remedy: str) -> "Row":
        """Make a note where there is a remedy; else all is in order."""
        return cls(part, "note" if remedy else "ok", found, remedy)

    @classmethod
    def refused(
        cls, part: str, check: Callable[[], object], *, state: Literal["note", "fails"] = "fails", remedy: str = ""
    ) -> "Row | None":
        """Make a row of the `VmcError` that a check raises, None where it raises none. The remedy is what stands behind
        the error's semicolon, where no other is given.
        """
        try:
            check()
        except VmcError as error:
            found, _, said = str(error).partition("; ")
            return cls(part, state, found, remedy or said)
        return None


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """Format the table: a line a finding, and its remedy below it."""
    width = max(len(row.part) for row in rows)
    for row in rows:
        yield f"{row.state:<5}  {row.part:<{width}}  {row.found}"
        if row.remedy:
            yield f"{'':<{width + 9}}-> {row.remedy}"


def software() -> list[Row]:
    """Check the packages, the pair of torch and torchvision, and the codec."""
    return [_packages(), _torchvision(), _codec()]


def _packages() -> Row:
    name = f"Python {platform.python_version()}"
    try:
        wrong = list(unmet(requires("vmc") or ()))
    except PackageNotFoundError:
        return Row("packages", "note", f"{name}, vmc is not installed", "pip install -e .")
    if wrong:
        found = "; ".join(f"{need} is needed, {have or 'none'} is there" for need, have in wrong)
        needed = " ".join(f"'{need}'" for need, _ in wrong)
        return Row("packages", "fails", found, f"pip install {needed}")
    return Row("packages", "ok", ", ".join([name, *(f"{part} {version(part)}" for part in SHOWN)]))


def unmet(requirements: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each requirement that is not met, extras left out, with the version that is there."""
    for need in map(Requirement, requirements):
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            have: str | None = version(need.name)
        except PackageNotFoundError:
            have = None
        if have is None or not need.specifier.contains(have, prereleases=True):
            yield f"{need.name}{need.specifier}", have


def _torchvision() -> Row:
    """A torchvision of another build than torch's cannot be imported, and takes transformers and open_clip with it."""
    try:
        import torch
        import torchvision.ops
    except Exception as error:  # it raises RuntimeError, or ImportError from deep within
        remedy = "pip install --force-reinstall torch torchvision, both from one index"
        return Row("torchvision", "fails", f"does not fit torch ({first_line(error)})", remedy)
    return Row("torchvision", "ok", f"{torchvision.__version__} fits torch {torch.__version__}")


def _codec() -> Row:
    try:
        import torch

        from vmc.data.video import write_video

        with tempfile.TemporaryDirectory() as folder:
            write_video(Path(folder, "gray.mp4"), torch.full((2, 3, 32, 32), 128, dtype=torch.uint8), fps=12)
    except Exception as error:
        remedy = "pip install --force-reinstall --only-binary av av: its wheels bring libx264"
        return Row("video codec", "fails", f"no H.264 video can be written ({first_line(error)})", remedy)
    return Row("video codec", "ok", f"libx264 of PyAV {version('av')} writes")
