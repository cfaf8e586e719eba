"""A small text-to-video pipeline with random weights, in the layout of the published ones.

`python -m vmc.mini blank --output DIR` writes it. UNet of 2 M parameters, 64 px frames, 8 frames, latents 8x8x4, CLIP's
own tokenizer, text width 64. `--family` chooses another family of models, which has a module of its own.
"""

import argparse
from importlib import import_module
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet3DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from vmc.models.latent_diffusion import scheduler
from vmc.models.text import POSITIONS, clip_tokenizer
from vmc.models.zeroscope import save_pipeline
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_folder, cache_root

FRAMES = 8
SIZE = 64
TEXT_WIDTH = 64
LAYOUT = 2  # raised when what `write_blank` makes changes, so that a cached one is made anew
_OTHERS = sorted(file.stem for file in Path(__file__).parent.glob("blank_*.py"))
FAMILIES = {"unet3d": "vmc.mini.makers.blank"} | {
    stem.removeprefix("blank_"): f"vmc.mini.makers.{stem}" for stem in _OTHERS
}
"""The module of each family, which has `write(folder)` and `summary()`."""


def unet() -> UNet3DConditionModel:
    """The miniature UNet: two levels, one layer each, 16 channels a head."""
    return UNet3DConditionModel(
        sample_size=SIZE // 8,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=16,
        norm_num_groups=16,
    )


def vae() -> AutoencoderKL:
    """The miniature autoencoder: 8 px of a frame to one latent of four channels."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 48, 48),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=SIZE,
        mid_block_add_attention=False,
    )


def text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A two-layer CLIP text transformer over CLIP's full vocabulary."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=POSITIONS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def write_blank(folder: Path, *, seed: int = 0, family: str = "unet3d") -> None:
    """Write the pipeline of a family with random weights of that seed.

    Raises:
        VmcError: the folder exists already.
    """
    if folder.exists():
        raise VmcError(f"--output is {folder}, which exists already; choose a new folder or remove it")
    with atomic_folder(folder) as temporary, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        import_module(FAMILIES[family]).write(temporary)


def write(folder: Path) -> None:
    """Write the pipeline, its weights drawn from the global generator."""
    networks = {"vae": vae(), "text_encoder": text_encoder(clip_tokenizer()), "unet": unet()}
    write_pipeline(folder, **networks)


def summary() -> str:
    """What it is, for the command."""
    count = sum(parameter.numel() for parameter in unet().parameters())
    return f"a blank text-to-video pipeline, UNet of {count:,} parameters"


def write_pipeline(
    folder: Path, *, unet: UNet3DConditionModel, vae: AutoencoderKL, text_encoder: CLIPTextModel
) -> None:
    """Write these networks, CLIP's tokenizer and the scheduler into a folder, in the diffusers layout."""
    save_pipeline(
        folder, vae=vae, text_encoder=text_encoder, tokenizer=clip_tokenizer(), unet=unet, scheduler=scheduler()
    )


def blank_folder(family: str = "unet3d") -> Path:
    """The blank pipeline of seed 0 in the cache, made when it is not there."""
    folder = cache_root() / "mini" / f"blank-{family}-{LAYOUT}"
    if not folder.is_dir():
        write_blank(folder, family=family)
    return folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m vmc.mini blank`."""
    parser.add_argument("--output", type=Path, required=True, help="a new folder for the pipeline")
    parser.add_argument("--seed", type=int, default=0, help="of the random weights (default 0)")
    parser.add_argument("--family", choices=FAMILIES, default="unet3d", help="of models (default unet3d)")


def run(arguments: argparse.Namespace) -> None:
    """Write the pipeline and say what it holds."""
    write_blank(arguments.output, seed=arguments.seed, family=arguments.family)
    print(f"{arguments.output}: {import_module(FAMILIES[arguments.family]).summary()}")
