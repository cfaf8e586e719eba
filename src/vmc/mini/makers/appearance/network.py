"""The appearance model before it has learned anything, its loss, and its files.

Axes: B frames of a batch, T texts, L tokens, C channels, D features.
"""

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from open_clip import CLIP, SimpleTokenizer
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from vmc.mini.makers.appearance.frames import SIZE
from vmc.utils.files import atomic_write
from vmc.utils.randomness import derive_seed

CONTEXT = 48
"""Tokens of a caption: the longest of the miniature has some 40."""
MODEL: dict[str, Any] = {
    "embed_dim": 96,
    "quick_gelu": True,
    "vision_cfg": {"image_size": SIZE, "layers": [1, 1, 1, 1], "width": 16},
    "text_cfg": {"context_length": CONTEXT, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 3},
}
PREPROCESS: dict[str, Any] = {
    "size": SIZE,
    "mode": "RGB",
    "mean": list(OPENAI_DATASET_MEAN),
    "std": list(OPENAI_DATASET_STD),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
EDGES = ("visual.conv1.", "embedding", "attnpool.", "text_projection", "heads.")
"""First and last layers of both towers, and matrices so large that Muon would take most of a step."""
MOST_SCALE = math.log(100.0)
"""CLIP's own limit of the logits' scale."""
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"


def make_model(seed: int) -> CLIP:
    """The model with random weights of that seed, in training mode.

    The token table begins at zero: words that no caption says stay there and tell nothing.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "appearance"))
        model = CLIP(**MODEL)
    torch.nn.init.zeros_(model.token_embedding.weight)
    return model.train()


@cache
def tokenizer() -> SimpleTokenizer:
    """CLIP's own."""
    return SimpleTokenizer(context_length=CONTEXT)


def normalized(pixels_NCHW: Tensor) -> Tensor:
    """From 0..1 to what the model takes, with the colours of a pixel side by side: that is faster on a CPU."""
    mean, deviation = (
        pixels_NCHW.new_tensor(part).view(1, 3, 1, 1) for part in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
    )
    return ((pixels_NCHW - mean) / deviation).contiguous(memory_format=torch.channels_last)


def encode_texts(model: CLIP, tokens_TL: Tensor) -> Tensor:
    """features_TD as `model.encode_text` gives them, but of no more tokens than the longest text has.

    The text tower looks backwards alone, so what stands after a text's end does not matter.
    """
    longest = int(tokens_TL.argmax(1).max()) + 1
    tokens_TL = tokens_TL[:, :longest]
    x_TLC = model.token_embedding(tokens_TL) + model.positional_embedding[:longest]
    x_TLC = model.ln_final(model.transformer(x_TLC, attn_mask=model.attn_mask[:longest, :longest]))
    ends_TC = x_TLC[torch.arange(len(x_TLC)), tokens_TL.argmax(1)]
    return F.normalize(ends_TC @ model.text_projection, dim=-1)


def contrastive_loss(model: CLIP, images_BD: Tensor, groups: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """CLIP's loss (Radford et al., 2021), where a text that is true of an image is no negative of it.

    Args:
        model: both towers.
        images_BD: what it encodes frames to.
        groups: each with a loss of its own, the mean of which is given: tokens_TL, of which text b is image b's and
            those after the first B are negatives of all images, and true_BT, which texts are true of which images.
    """
    images_BD = model.logit_scale.clamp(max=MOST_SCALE).exp() * F.normalize(images_BD, dim=-1)
    texts_TD = encode_texts(model, torch.cat([tokens_TL for tokens_TL, _ in groups]))
    parts = texts_TD.split([len(tokens_TL) for tokens_TL, _ in groups])
    losses = [_loss(images_BD @ part_TD.T, true_BT) for part_TD, (_, true_BT) in zip(parts, groups, strict=True)]
    return torch.stack(losses).mean()


def _loss(logits_BT: Tensor, true_BT: Tensor) -> Tensor:
    """Both directions of one group."""
    own = torch.arange(len(logits_BT), device=logits_BT.device)
    also_BT = true_BT.clone()
    also_BT[own, own] = False
    logits_BT = logits_BT.masked_fill(also_BT, -math.inf)
    return (F.cross_entropy(logits_BT, own) + F.cross_entropy(logits_BT[:, : len(own)].T, own)) / 2


def write_model(model: CLIP, folder: Path) -> None:
    """The model as a folder that open_clip opens as `local-dir:FOLDER`, in half precision."""
    with atomic_write(folder / CONFIG) as temporary:
        text = json.dumps({"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}, indent=2)
        temporary.write_text(f"{text}\n", encoding="utf-8")
    tensors = {
        name: tensor.detach().cpu().to(torch.float16 if tensor.is_floating_point() else tensor.dtype).contiguous()
        for name, tensor in model.state_dict().items()
    }
    with atomic_write(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(tensors, metadata={"format": "pt"}))
