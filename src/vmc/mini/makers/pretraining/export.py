"""The averaged networks as a folder in the diffusers layout, in half precision."""

import copy
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet3DConditionModel
from torch import nn
from transformers import CLIPTextModel

from vmc.mini.makers import blank
from vmc.utils.files import atomic_folder

_REDUNDANT = "tokenizer.json"
"""3.6 MB that `vocab.json` and `merges.txt` say again."""


def write_pipeline(
    folder: Path, *, unet: UNet3DConditionModel, vae: AutoencoderKL, text_encoder: CLIPTextModel
) -> None:
    """Write the pipeline, replacing an older one as a whole."""
    fresh, former = folder.with_name(f".{folder.name}-new"), folder.with_name(f".{folder.name}-old")
    for left in (fresh, former):
        shutil.rmtree(left, ignore_errors=True)
    # torch's own `to`, because diffusers' warns of a list of exceptions that is empty here.
    halves: list[Any] = [nn.Module.to(copy.deepcopy(part), "cpu", torch.float16) for part in (unet, vae, text_encoder)]
    with atomic_folder(fresh) as temporary:
        blank.write_pipeline(temporary, unet=halves[0], vae=halves[1], text_encoder=halves[2])
        (temporary / "tokenizer" / _REDUNDANT).unlink(missing_ok=True)
    if folder.exists():
        folder.rename(former)
    fresh.rename(folder)
    shutil.rmtree(former, ignore_errors=True)
