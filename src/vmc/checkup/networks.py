"""The stack's weights and data: there, or the command that gets them."""

from vmc.checkup.rows import Row, Stack
from vmc.download.hub import is_cached
from vmc.download.sources import SOURCES, FileSource, HubSource, weights_folder
from vmc.mini.shipped import shipped

PAPER = ("zeroscope", "trn", "clip", "sscd")
"""What stack=paper takes, by the names of `vmc.weights`."""
MINI = {"classifier": "classifier.pth.tar", "appearance": "appearance", "copying": "copying.torchscript.pt"}
"""What ships: command of `vmc.mini` that makes it -> its name."""


def networks(stack: Stack) -> list[Row]:
    """A row for each network, and one for the data."""
    if stack == "mini":
        return [_pipeline(), *(_shipped(command, name) for command, name in MINI.items())]
    found = "its folder is given by data.path"
    jester = Row(part="Jester", state="note", found=found, remedy="python -m vmc.prepare jester PATH verifies a copy")
    return [*(_published(name) for name in PAPER), jester]


def _pipeline() -> Row:
    if shipped("pipeline").is_dir():
        return Row(part="pipeline", state="ok", found="ships with the package")
    return Row(part="pipeline", state="ok", found="random weights, made in the cache when it is first needed")


def _shipped(command: str, name: str) -> Row:
    if shipped(name).exists():
        return Row(part=command, state="ok", found="ships with the package")
    return Row(part=command, state="fails", found=f"{shipped(name)} is missing", remedy=f"python -m vmc.mini {command}")


def _published(name: str) -> Row:
    source = SOURCES[name]
    get = f"python -m vmc.weights get {name}"
    if isinstance(source, HubSource):
        if is_cached(source.repository):
            return Row(part=name, state="ok", found=f"{source.repository}, in the hub's cache")
        found, remedy = f"{source.repository} is not in the hub's cache", f"{get}, or set model.path to a local folder"
        return Row(part=name, state="fails", found=found, remedy=remedy)
    return _file(name, source, get)


def _file(name: str, source: FileSource, get: str) -> Row:
    path = weights_folder() / source.name
    if path.is_file():
        return Row(part=name, state="ok", found=str(path))
    begun = path.with_name(f"{path.name}.part")
    found = f"{begun} is not complete" if begun.is_file() else f"{path} is missing"
    return Row(part=name, state="fails", found=found, remedy=get)
