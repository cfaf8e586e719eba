"""The run's networks and clips: there, whole and what they should be, or the command that gets them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import vmc
from vmc.config.build import build_part, build_regularization
from vmc.metrics.networks.files import NetworkFile
from vmc.tools.doctor.run import PUBLISHED, PlannedRun
from vmc.tools.doctor.software import Row
from vmc.tools.downloads.download import cached_folder, expected_sha256, file_sha256, part_files
from vmc.tools.downloads.sources import SOURCES, FileSource
from vmc.utils.errors import VmcError

PACKAGE = Path(vmc.__file__).parent
FILES = {source.name: name for name, source in SOURCES.items() if isinstance(source, FileSource)}
"""Published files: the file's name -> its name in `vmc.weights`."""


def networks(run: PlannedRun) -> list[Row]:
    """A row for the base model, and where the run is scored one for each network of its metrics, or for the metric."""
    rows = [_model(run)]
    metrics = run.parts["metrics"].metrics if run.evaluates else {}
    for name, metric in sorted(metrics.items(), key=lambda item: not item[1].networks):
        rows += [_network(name, network) for network in metric.networks.values()]
        if not metric.networks and (missing := metric.missing()):
            rows.append(Row(name, "fails", f"it needs {'; '.join(missing)}", f"or metrics.{name}=null"))
        elif not metric.networks:
            rows.append(Row(name, "ok", "needs no file"))
    return rows


def _model(run: PlannedRun) -> Row:
    name, part = run.model, PUBLISHED.get(run.model, "model")
    if Path(name).expanduser().is_dir():
        try:
            run.parts["model"].folder  # noqa: B018
        except VmcError as error:
            return Row(part, "fails", str(error), "get the whole folder again")
        shipped = PACKAGE in Path(name).parents
        return Row(part, "ok", "ships with the package" if shipped else f"the folder {name}")
    if cached_folder(name, run.parts["model"].family):
        return Row(part, "ok", f"{name}, in the hub's cache")
    get = run.parts["model"].get or "python -m vmc.weights get zeroscope"
    found = f"{name} is no folder here and not in the hub's cache"
    return Row(part, "fails", found, f"{get}, or set model.path to a local folder")


def _network(part: str, network: NetworkFile[Any]) -> Row:
    path, get, name = network.path, network.get, FILES.get(network.path.name, part)
    if not path.name:
        return Row(part, "note", "no file is named: its library downloads it when it is needed")
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        return Row(name, "ok", "ships with the package") if PACKAGE in path.parents else _compare(name, path, get)
    begun = part_files(path)
    found = f"{begun[0]} is not complete" if begun else f"{path} is missing"
    return Row(name, "fails", found, get or f"set metrics.{part}.path to a file that is there")


def _compare(name: str, path: Path, get: str) -> Row:
    """Whether a file has the SHA-256 that is published or was recorded; where there is neither, about its size."""
    source = SOURCES.get(name)
    published = source if isinstance(source, FileSource) else None
    again = f"move it away and get it again{f': {get}' if get else ''}"
    expected, known = expected_sha256(path, published.sha256 if published else None)
    if expected and path.is_file():
        if file_sha256(path) == expected:
            return Row(name, "ok", f"{path}, with the SHA-256 that is {known}")
        return Row(name, "fails", f"{path} has another SHA-256 than is {known}", again)
    size = path.stat().st_size / 1e9
    if published and path.is_file() and not 0.5 * published.size < size < 2 * published.size:
        found = f"{path} has {size * 1000:.3g} MB, the published file about {published.size * 1000:.3g}"
        return Row(name, "fails", found, again)
    found = f"{path} is there; no SHA-256 is published or recorded to compare it with"
    return Row(name, "note", found, f"python -m vmc.weights check {path}")


def clips(run: PlannedRun) -> list[Row]:
    """A row for the run's clips, found and counted, none of them opened; none where they are rendered when needed."""
    data, motion, seed = run.config["data"], build_part(run.config, "motion"), run.config["seed"]
    path, jester = data["path"], data["source"]["_target_"].endswith(".Jester")
    part = "Jester" if jester else "clips"
    if "data.path" in run.missing:
        remedy = "python -m vmc.prepare jester PATH verifies a copy" if jester else "give data.path=DIR"
        return [Row(part, "note", "its folder is given by data.path", remedy)]
    if isinstance(path, Mapping):
        return []
    try:
        source, related = build_part(run.config, "data.source"), "no"
        exemplars = len(source.exemplars(label=motion.label, caption=motion.caption, seed=seed))
        if not run.config["regularization"]["_target_"].endswith(".SyntheticRegularization"):  # which are not made yet
            regularization = build_regularization(run.config, source=source, seed=seed, base_videos=None)
            related = str(len(regularization.clips()))
    except VmcError as error:
        return [Row(part, "fails", str(error), "set data.path to a folder of such clips")]
    found = f"{exemplars} exemplars and {related} regularization clips in {path}, none opened"
    return [Row(part, "ok", found, f"python -m vmc.prepare jester {path} looks for every frame" if jester else "")]
