"""CLIP's text encoder and tokenizer on disk, as published pipelines have them."""

from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from vmc.files import written_whole

TEXT_PREFIX = "text_model."


def save_clip_text(folder: Path, tokenizer: Any) -> None:
    """Bring a pipeline that was just saved to the published layout: `vocab.json` and `merges.txt`, prefixed tensors.

    transformers 5 on its own writes `tokenizer.json` alone, and newer ones leave out the prefix of the text encoder's
    names, which older ones need to read the file.
    """
    tokenizer.backend_tokenizer.model.save(str(folder / "tokenizer"))
    file = folder / "text_encoder" / "model.safetensors"
    with safe_open(file, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    prefixed = {TEXT_PREFIX + name.removeprefix(TEXT_PREFIX): tensor for name, tensor in tensors.items()}
    with written_whole(file) as temporary:
        save_file(prefixed, temporary, metadata={"format": "pt"})
