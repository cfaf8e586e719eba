"""A complete pipeline as a folder in the diffusers layout, for use without this project."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffusers import AutoencoderKL, SchedulerMixin, TextToVideoSDPipeline, UNet3DConditionModel
from diffusers.utils import logging as diffusers_logging
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

from vmc.diffusion.components import BaseModel, without_progress_bar
from vmc.diffusion.lora import merged
from vmc.diffusion.text import PromptEncoder
from vmc.diffusion.token import merge_row
from vmc.errors import VmcError
from vmc.files import folder_written_whole, written_whole

TEXT_PREFIX = "text_model."


def export_pipeline(
    base: BaseModel, unet: UNet3DConditionModel, encoder: PromptEncoder, folder: Path, *, card: str
) -> None:
    """Write the pipeline; `TextToVideoSDPipeline.from_pretrained(folder)` then needs no code of ours.

    The scheduler written is the DPM-Solver++ that `generate` uses. The encoder's token row is merged into its table,
    and adapters into the weights that are written. `card` is the text of its `README.md`.

    Raises:
        VmcError: the folder exists already.
    """
    if folder.exists():
        raise VmcError(f"export is {folder}, which exists already; choose a new folder or remove it")
    if encoder.token_embedding is not None:
        merge_row(encoder.token_embedding, encoder.tokenizer, encoder.text_encoder)
    with merged(unet), folder_written_whole(folder) as temporary:
        save_pipeline(
            temporary,
            vae=base.vae(),
            text_encoder=encoder.text_encoder,
            tokenizer=encoder.tokenizer,
            unet=unet.float(),
            scheduler=base.solver(),
        )
        (temporary / "README.md").write_text(card, encoding="utf-8")


def save_pipeline(
    folder: Path,
    *,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unet: UNet3DConditionModel,
    scheduler: SchedulerMixin,
) -> None:
    """Write the parts as published pipelines are: safetensors, `vocab.json` and `merges.txt` of the tokenizer.

    transformers 5 on its own writes `tokenizer.json` alone, and newer ones leave out the prefix of the text encoder's
    names, which older ones need to read the file.
    """
    with _quiet(), without_progress_bar():
        pipeline = TextToVideoSDPipeline(
            vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler
        )
        pipeline.save_pretrained(folder, safe_serialization=True)
    tokenizer.backend_tokenizer.model.save(str(folder / "tokenizer"))
    file = folder / "text_encoder" / "model.safetensors"
    with safe_open(file, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    prefixed = {TEXT_PREFIX + name.removeprefix(TEXT_PREFIX): tensor for name, tensor in tensors.items()}
    with written_whole(file) as temporary:
        save_file(prefixed, temporary, metadata={"format": "pt"})


@contextmanager
def _quiet() -> Iterator[None]:
    """diffusers warns that the pipeline class gets no further features; its folder layout is what is wanted."""
    level = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(level)
