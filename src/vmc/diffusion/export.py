"""A complete diffusers folder from a customized model, for use without this project."""

from pathlib import Path

from diffusers import DiffusionPipeline, TextToVideoSDPipeline, UNet3DConditionModel

from vmc.diffusion.components import BaseModel
from vmc.diffusion.text import PromptEncoder
from vmc.diffusion.token import merge_row
from vmc.errors import VmcError
from vmc.files import folder_written_whole


def export_pipeline(base: BaseModel, unet: UNet3DConditionModel, encoder: PromptEncoder, folder: Path) -> None:
    """Write the pipeline; `TextToVideoSDPipeline.from_pretrained(folder)` then needs no code of ours.

    The scheduler written is the DPM-Solver++ that `generate` uses. The encoder's token row is merged into its table.

    Raises:
        VmcError: the folder exists already.
    """
    if folder.exists():
        raise VmcError(f"export is {folder}, which exists already; choose a new folder or remove it")
    if encoder.token_embedding is not None:
        merge_row(encoder.token_embedding, encoder.tokenizer, encoder.text_encoder)
    pipeline: DiffusionPipeline = TextToVideoSDPipeline(
        vae=base.vae(),
        text_encoder=encoder.text_encoder,
        tokenizer=encoder.tokenizer,
        unet=unet.float(),
        scheduler=base.solver(),
    )
    with folder_written_whole(folder) as temporary:
        pipeline.save_pretrained(temporary, safe_serialization=True)
