"""A complete pipeline as a folder in the diffusers layout, for use without this project."""

from pathlib import Path
from typing import Any

from vmc.errors import VmcError
from vmc.files import folder_written_whole
from vmc.models.base import VideoModel
from vmc.models.lora import merged
from vmc.models.text import TextEncoder
from vmc.models.token import merge_row


def export_pipeline(model: VideoModel, denoiser: Any, text: TextEncoder, folder: Path, *, card: str) -> None:
    """Write the pipeline, which then needs no code of ours, with `card`, the text of its `README.md`.

    The scheduler written is the solver that `generate` uses. The token's row is merged into the text encoder's table,
    and adapters into the weights that are written.

    Raises:
        VmcError: the folder exists already.
    """
    if folder.exists():
        raise VmcError(f"export is {folder}, which exists already; choose a new folder or remove it")
    if text.token_embedding is not None:
        merge_row(text.token_embedding, text.tokenizer, text.network)
    with merged(denoiser), folder_written_whole(folder) as temporary:
        model.save(temporary, denoiser=denoiser, text=text)
        (temporary / "README.md").write_text(card, encoding="utf-8")
