"""The run's networks: there, whole and what they should be, or the command that gets them."""

from pathlib import Path
from typing import Any

import vmc
from vmc.metrics.base import Metric
from vmc.metrics.networks.files import NetworkFile
from vmc.tools.doctor.chosen import PUBLISHED, Chosen
from vmc.tools.doctor.rows import Row
from vmc.tools.downloads.download import cached_folder, expected_sha256, file_sha256, part_files
from vmc.tools.downloads.sources import SOURCES, FileSource
from vmc.utils.errors import VmcError

PACKAGE = Path(vmc.__file__).parent
FILES = {source.name: name for name, source in SOURCES.items() if isinstance(source, FileSource)}
"""Published files: the file's name -> its name in `vmc.weights`."""


def networks(chosen: Chosen) -> list[Row]:
    """A row for the base model, and where the run is scored one for each network of its metrics, or for the metric."""
    rows = [_model(chosen)]
    metrics = chosen.value("metrics").metrics if chosen.evaluates else {}
    for name, metric in sorted(metrics.items(), key=lambda item: not item[1].networks):
        rows += [_network(name, network) for network in metric.networks.values()] or [_metric(name, metric)]
    return rows


def _model(chosen: Chosen) -> Row:
    name, part = chosen.model, PUBLISHED.get(chosen.model, "model")
    if Path(name).expanduser().is_dir():
        try:
            chosen.value("model").folder  # noqa: B018
        except VmcError as error:
            return Row(part=part, state="fails", found=str(error), remedy="get the whole folder again")
        shipped = PACKAGE in Path(name).parents
        return Row(part=part, state="ok", found="ships with the package" if shipped else f"the folder {name}")
    if cached_folder(name, chosen.value("model").family):
        return Row(part=part, state="ok", found=f"{name}, in the hub's cache")
    get = chosen.value("model.get") or "python -m vmc.weights get zeroscope"
    found = f"{name} is no folder here and not in the hub's cache"
    return Row(part=part, state="fails", found=found, remedy=f"{get}, or set model.path to a local folder")


def _metric(part: str, metric: Metric) -> Row:
    """Of a metric without a network."""
    if missing := metric.missing():
        return Row(part=part, state="fails", found=f"it needs {'; '.join(missing)}", remedy=f"or metrics.{part}=null")
    return Row(part=part, state="ok", found="needs no file")


def _network(part: str, network: NetworkFile[Any]) -> Row:
    path, get = network.path, network.get
    if not path.name:
        return Row(part=part, state="note", found="no file is named: its library downloads it when it is needed")
    name = FILES.get(path.name, part)
    if (path.is_dir() and any(path.iterdir())) or path.is_file():
        if PACKAGE in path.parents:
            return Row(part=name, state="ok", found="ships with the package")
        return _unknown(name, path) if path.is_dir() else file_row(name, path, get)
    begun = part_files(path)
    found = f"{begun[0]} is not complete" if begun else f"{path} is missing"
    return Row(part=name, state="fails", found=found, remedy=get or f"set metrics.{part}.path to a file that is there")


def file_row(name: str, path: Path, get: str) -> Row:
    """Whether a file has the SHA-256 that is published or was recorded; where there is neither, about its size."""
    source = SOURCES.get(name)
    published = source if isinstance(source, FileSource) else None
    again = f"move it away and get it again{f': {get}' if get else ''}"
    expected, known = expected_sha256(path, published.sha256 if published else None)
    if expected is not None:
        if file_sha256(path) == expected:
            return Row(part=name, state="ok", found=f"{path}, with the SHA-256 that is {known}")
        found = f"{path} has another SHA-256 than is {known}"
        return Row(part=name, state="fails", found=found, remedy=again)
    size = path.stat().st_size / 1e9
    if published and not 0.5 * published.size < size < 2 * published.size:
        found = f"{path} has {size * 1000:.3g} MB, the published file about {published.size * 1000:.3g}"
        return Row(part=name, state="fails", found=found, remedy=again)
    return _unknown(name, path)


def _unknown(name: str, path: Path) -> Row:
    found = f"{path} is there; no SHA-256 is published or recorded to compare it with"
    return Row(part=name, state="note", found=found, remedy=f"python -m vmc.weights check {path}")
