"""Of which family a pipeline's folder is, and a complete one written in the diffusers layout."""

import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

import vmc.models
from vmc.models.base import VideoModel
from vmc.models.loading import pipeline_class
from vmc.models.lora import merged
from vmc.models.text import TextEncoder
from vmc.models.token import merge_row
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_folder


def families() -> dict[str, type[VideoModel]]:
    """By name, in the order of their files."""
    for module in pkgutil.iter_modules(vmc.models.__path__):
        import_module(f"{vmc.models.__name__}.{module.name}")
    return {family.family: family for family in _subclasses(VideoModel)}  # type: ignore[type-abstract]


def _subclasses(kind: type[VideoModel]) -> list[type[VideoModel]]:
    direct = kind.__subclasses__()
    return [one for one in direct if "family" in vars(one)] + [far for one in direct for far in _subclasses(one)]


def known_families() -> str:
    """The families with the classes of the pipelines that they open, as errors list them."""
    return ", ".join(f"{name} ({', '.join(family.pipelines)})" for name, family in families().items())


def family_of(folder: Path) -> type[VideoModel]:
    """The family of a pipeline's folder, by the class that its `model_index.json` names; a VmcError where none is."""
    name = pipeline_class(folder)
    if name is None:
        raise VmcError(f"{folder} has no model_index.json that names a pipeline; get the complete folder again")
    for family in families().values():
        if name in family.pipelines and not family.of_another_family:
            return family
    raise VmcError(f"{folder} is a {name}, which is of no family that is known here; known are {known_families()}")


def export_pipeline(model: VideoModel, denoiser: Any, text: TextEncoder, folder: Path, *, card: str) -> None:
    """Write the pipeline, which then needs no code of ours, with `card`, the text of its `README.md`.

    The scheduler written is the solver that `generate` uses. The token's row is merged into the text encoder's table,
    and adapters into the weights that are written. A VmcError where the folder exists already.
    """
    if folder.exists():
        raise VmcError(f"export is {folder}, which exists already; choose a new folder or remove it")
    if text.token_embedding is not None:
        merge_row(text.token_embedding, text.tokenizer, text.network)
    with merged(denoiser), atomic_folder(folder) as temporary:
        model.save(temporary, denoiser=denoiser, text=text)
        (temporary / "README.md").write_text(card, encoding="utf-8")
