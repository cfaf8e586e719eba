"""Writing a tuned pipeline as a folder in the layout of diffusers."""

from pathlib import Path
from typing import Any

from vmc.models.base import VideoModel
from vmc.models.lora import merged
from vmc.models.text import TextEncoder
from vmc.models.token import merge_row
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_folder


def export_pipeline(model: VideoModel, folder: Path, *, denoiser: Any, text: TextEncoder, card: str) -> None:
    """Write a tuned pipeline, which then needs no code of ours, with `card` as its `README.md`.

    Its scheduler is the solver that `generate` uses. The token's row is merged into the text encoder's table, and
    adapters into the written weights. A VmcError if the folder exists already.
    """
    if folder.exists():
        raise VmcError(f"export is {folder}, which exists already; choose a new folder or remove it")
    if text.token_embedding is not None:
        merge_row(text.token_embedding, text.tokenizer, text.network)
    with merged(denoiser), atomic_folder(folder) as temporary:
        model.save(temporary, denoiser=denoiser, text=text)
        (temporary / "README.md").write_text(card, encoding="utf-8")
