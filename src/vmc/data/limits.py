"""How large a frame may be, and which files are opened at all; asked before anything is decoded."""

from collections.abc import Callable
from pathlib import Path

from vmc.utils.errors import VmcError

MAX_SIDE = 8192
MAX_PIXELS = 32 << 20
"""Of a frame, in all: video of 8K has 7,680 x 4,320. Decoding one of these and bringing it to RGB takes 400 MB."""


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse a frame that would take gigabytes, or that has no pixels.

    Raises:
        VmcError: naming the file and the size that its header states.
    """
    if width < 1 or height < 1:
        raise VmcError(f"clip {path} has frames of {width}x{height} pixels: replace it, or remove it")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise too_large(path, f"frames of {width}x{height}")


def too_large(path: Path, size: str) -> VmcError:
    """What is told of a frame that is not decoded."""
    told = f"clip {path} has {size} pixels, {MAX_SIDE} a side and {MAX_PIXELS // 1_000_000} million in all are read"
    return VmcError(f"{told}: scale it down, or remove it")


def check_regular(path: Path) -> None:
    """Refuse what is no file to read from: pipes and devices would wait for ever.

    Raises:
        VmcError: the file is absent, none, or may not be looked at.
    """
    if not exists(path):
        raise VmcError(f"clip {path} does not exist: correct its path")
    if not path.is_file():
        raise VmcError(f"clip {path} is no regular file: replace it, or remove it")


def checked_path(path: object, *, key: str, missing: bool = False) -> Path:
    """The path of a folder or file of clips.

    Args:
        path: as it was set.
        key: the setting that it came from.
        missing: whether it need not be there yet.

    Raises:
        VmcError: naming the key, where the path is none, a list, or leads nowhere.
    """
    if path is None or not str(path):
        raise VmcError(f"{key} is not set: give a folder of clips or a video file")
    if not isinstance(path, str | Path) or (str(path).startswith("[") and not Path(path).exists()):
        raise VmcError(f"{key} is {path}, which names several: put the clips into one folder and give that")
    path = Path(path).expanduser()
    if missing or exists(path):
        return path
    raise VmcError(f"{key} is {path}, which does not exist: give a folder of clips or a video file")


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, or a link to one.

    Raises:
        VmcError: it may not be looked at.
    """
    return _looked_at(path, path.is_dir)


def exists(path: Path) -> bool:
    """Whether there is something at a path.

    Raises:
        VmcError: it may not be looked at.
    """
    return _looked_at(path, path.exists)


def _looked_at(path: Path, question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError as error:
        raise VmcError(f"{path} cannot be read ({error.strerror}): correct its permissions") from error


def entries(folder: Path) -> list[Path]:
    """What a folder holds, in no order.

    Raises:
        VmcError: it cannot be listed.
    """
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise VmcError(f"folder {folder} cannot be read ({error.strerror}): correct its permissions") from error
