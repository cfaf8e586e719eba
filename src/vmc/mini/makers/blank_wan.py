"""A small Wan pipeline with random weights, in the layout of the published ones.

`python -m vmc.mini blank --family wan --output DIR` writes it. Transformer of 1.8 M parameters, 64 px frames, 9 frames,
latents 3x8x8x16, a tokenizer as UMT5's with a small vocabulary, text width 64.
"""

import string
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from torch import Tensor
from transformers import T5TokenizerFast, UMT5Config, UMT5EncoderModel

from vmc.mini.world.captions import RARE_WORDS
from vmc.models.wan import POSITIONS, save_pipeline

SIZE = 64
FRAMES = 9
TEXT_WIDTH = 64
LATENT_CHANNELS = 16
WORDS = ("a", "the", "in", "with", "person", "man", "woman", "robot", "square", "doing", "performing", "sign", "hand")
"""That are one token beside the rare ones; any other is spelled."""
NARROW = 0.1
"""The posterior's deviation as a share of its means' spread: a trained autoencoder is sure of what it sees."""


def transformer() -> WanTransformer3DModel:
    """Six blocks of width 128, four heads; 9 frames of 64 px are 48 tokens."""
    return WanTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=32,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_dim=TEXT_WIDTH,
        ffn_dim=512,
        num_layers=6,
    )


@torch.no_grad()
def vae() -> AutoencoderKLWan:
    """The smallest autoencoder of Wan's kind, its latents' mean and deviation measured, as the published one's are."""
    network = AutoencoderKLWan(base_dim=3, z_dim=LATENT_CHANNELS, num_res_blocks=1).eval()
    # One color to each eighth of a frame: what random weights make of videos is then not all the same.
    coarse = torch.rand(8, 3, FRAMES, 8, 8) * 2 - 1
    means = network.encode(coarse.repeat_interleave(8, dim=-1).repeat_interleave(8, dim=-2)).latent_dist.mean
    center, spread = _by_channel(means)
    network.register_to_config(latents_mean=center.tolist(), latents_std=spread.tolist())
    network.quant_conv.weight[LATENT_CHANNELS:] = 0
    network.quant_conv.bias[LATENT_CHANNELS:] = 2 * (NARROW * spread).log()
    return network


def _by_channel(latents_BCFHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel."""
    deviation, mean = torch.std_mean(latents_BCFHW, dim=(0, 2, 3, 4))
    return mean, deviation


def tokenizer() -> T5TokenizerFast:
    """A Unigram tokenizer with UMT5's special tokens; `sks` and a few words are one token, others are spelled."""
    words = [f"▁{word}" for word in (*WORDS, *RARE_WORDS)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0)]
    pieces += [(word, -2.0) for word in words] + [(letter, -4.0) for letter in string.printable.strip()]
    return T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=POSITIONS)


def text_encoder(tokenizer: T5TokenizerFast) -> UMT5EncoderModel:
    """A two-layer UMT5 encoder. Its table has more rows than the vocabulary has entries, as the published one's."""
    config = UMT5Config(
        vocab_size=len(tokenizer) + 8,
        d_model=TEXT_WIDTH,
        d_kv=TEXT_WIDTH // 4,
        d_ff=2 * TEXT_WIDTH,
        num_layers=2,
        num_heads=4,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return UMT5EncoderModel(config)


def scheduler() -> UniPCMultistepScheduler:
    """That of Wan 2.1 at 480 lines."""
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)


def write(folder: Path) -> None:
    """Write the pipeline, its weights drawn from the global generator."""
    words = tokenizer()
    save_pipeline(
        folder,
        tokenizer=words,
        transformer=transformer(),
        vae=vae(),
        text_encoder=text_encoder(words),
        scheduler=scheduler(),
    )


def summary() -> str:
    """What it is, for the command."""
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in transformer().parameters())
    return f"a blank Wan pipeline, transformer of {count:,} parameters"
