"""How large a frame may be, and which files are opened at all; asked before anything is decoded."""

from pathlib import Path

from vmc.errors import VmcError

MAX_SIDE = 8192
"""Pixels of a frame's longer side: video of 8K has 7,680."""
MAX_PIXELS = 64 << 20
"""Of a frame, 200 MB as RGB: photographs of the largest phones have 50 million."""


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse a frame that would take gigabytes, or that has no pixels.

    Raises:
        VmcError: naming the file and the size that its header states.
    """
    if width < 1 or height < 1:
        raise VmcError(f"clip {path} has frames of {width}x{height} pixels: replace it, or remove it")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise VmcError(
            f"clip {path} has frames of {width}x{height} pixels, {MAX_SIDE} a side and {MAX_PIXELS >> 20} million in "
            "all are read: scale it down, or remove it"
        )


def check_regular(path: Path) -> None:
    """Refuse what is no file to read from: pipes and devices would wait for ever.

    Raises:
        VmcError: the file is absent, none, or may not be looked at.
    """
    try:
        if path.is_file():
            return
        found = "is no regular file: replace it, or remove it" if path.exists() else "does not exist: correct its path"
    except (OSError, ValueError) as error:  # a ValueError for a path with a null character
        reason = getattr(error, "strerror", None) or error
        raise VmcError(f"clip {path} cannot be read ({reason}): correct its permissions, or remove it") from error
    raise VmcError(f"clip {path} {found}")


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, or a link to one.

    Raises:
        VmcError: it may not be looked at.
    """
    try:
        return path.is_dir()
    except OSError as error:
        raise VmcError(f"{path} cannot be read ({error.strerror}): correct its folder's permissions") from error


def entries(folder: Path) -> list[Path]:
    """What a folder holds, in no order.

    Raises:
        VmcError: it cannot be listed.
    """
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise VmcError(f"folder {folder} cannot be read ({error.strerror}): correct its permissions") from error
