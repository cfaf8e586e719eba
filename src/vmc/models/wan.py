"""Wan's family (Wan Team, 2025): a transformer over all tokens of a video, trained by flow matching, with UMT5's text
encoder and an autoencoder that compresses time.

Axes: B videos, C latent or color channels, F frames, H and W, L text positions, M = 2 posterior moments.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from einops import rearrange
from torch import Tensor
from torch.nn import Module
from transformers import AutoTokenizer, UMT5EncoderModel

from vmc.diffusion.process import FlowMatching
from vmc.diffusion.sampling import Conditioning
from vmc.models.base import DECODE_FRAMES, Autoencoder, VideoModel, check_size
from vmc.models.latent_diffusion import to_uint8
from vmc.models.parameters import Groups
from vmc.models.pretrained_weights import quiet_loading, save_parts
from vmc.models.text import TextEncoder
from vmc.utils.errors import VmcError

POSITIONS = 512
"""Positions of the text: the default of `WanPipeline`, with which the model was trained."""
SOLVERS: dict[str, Any] = {one.__name__: one for one in (UniPCMultistepScheduler, FlowMatchEulerDiscreteScheduler)}
"""Solvers of published folders, by the name in their `scheduler_config.json`."""
ATTENTION = {"fused": "native", "plain": "_native_math"}
"""diffusers' names of the attention backends."""


def _matches(pattern: str) -> Callable[[str], bool]:
    """A predicate for names that match the whole pattern."""
    return lambda name: re.fullmatch(pattern, name) is not None


def _in_float32(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`forward` without autocast: Wan embeds the time in float32, because in less precision times become equal."""

    def computed(timestep: Tensor) -> Tensor:
        kind = "cpu" if timestep.is_meta else timestep.device.type  # there is no autocast on the meta device
        with torch.autocast(kind, enabled=False):
            return forward(timestep)

    return computed


class UMT5Text(TextEncoder):
    """UMT5's encoder, which masks padding, and sets it to zero for the denoiser as `WanPipeline` does."""

    def token_ids(self, texts: list[str]) -> Tensor:
        """ids_BL of the texts, cleaned as `WanPipeline` cleans a prompt."""
        return super().token_ids([prompt_clean(text) for text in texts])

    def encode_ids(self, ids_BL: Tensor) -> Conditioning:
        """The embeddings of ids_BL, zero behind the text."""
        ids_BL = ids_BL.to(self.network.device)
        is_text_BL = ids_BL != self.tokenizer.pad_token_id
        embeddings_BLD = self.network(ids_BL, attention_mask=is_text_BL.long()).last_hidden_state
        return Conditioning(embeddings_BLD.masked_fill(~is_text_BL.unsqueeze(-1), 0))


class WanAutoencoder(Autoencoder):
    """An `AutoencoderKLWan`: causal in time, each latent channel with its own mean and deviation."""

    def _statistics(self, like: Tensor) -> list[Tensor]:
        """Mean and deviation by which latent channels are normalized for the denoiser, shaped 1C111."""
        values = self.module.config.latents_mean, self.module.config.latents_std
        return [torch.tensor(one, device=like.device, dtype=like.dtype).view(1, -1, 1, 1, 1) for one in values]

    @torch.no_grad()
    def encode(self, frames_FCHW: Tensor) -> Tensor:
        """moments_MCFHW of 4n + 1 frames; a still is one."""
        vae = self.module
        pixels_BCFHW = rearrange(frames_FCHW, "f c h w -> 1 c f h w").to(vae.device, torch.float32) / 127.5 - 1
        posterior = vae.encode(pixels_BCFHW.to(vae.dtype)).latent_dist
        mean, deviation = self._statistics(posterior.mean.float())
        moments = (posterior.mean.float() - mean) / deviation, posterior.std.float() / deviation
        return torch.cat(moments).cpu()

    @torch.no_grad()
    def decode(self, latents_BCFHW: Tensor, *, frames_at_once: int = DECODE_FRAMES, tile: int | None = None) -> Tensor:
        """frames_BFCHW, a video at a time; it decodes frame by frame itself, so `frames_at_once` changes nothing."""
        vae = self.module
        latents_BCFHW = latents_BCFHW.to(vae.device, vae.dtype)
        mean, deviation = self._statistics(latents_BCFHW)
        # Divided by the inverse as in `WanPipeline`, so that the last bits are equal.
        latents_BCFHW = latents_BCFHW / (1.0 / deviation) + mean
        with self.tiled(tile):
            videos = [to_uint8(vae.decode(latents_1CFHW).sample).cpu() for latents_1CFHW in latents_BCFHW.split(1)]
        return rearrange(torch.cat(videos), "b c f h w -> b f c h w")

    def enable_tiles(self, tile: int) -> None:
        """Use tiles that overlap by a quarter, in whole latents."""
        ratio = self.module.spatial_compression_ratio
        stride = tile * 3 // 4 // ratio * ratio
        self.module.enable_tiling(tile, tile, stride, stride)


class Wan(VideoModel):
    """`WanTransformer3DModel` in the layout of `WanPipeline`, text to video with one denoiser (Wan 2.1).

    No layer of it is temporal alone: its self-attention mixes all tokens of all frames. Its groups:

        self_attention   attn1 of every block, which mixes frames, and places within them
        self_qk          its queries and keys, which decide what attends to what
        text_kv          keys and values of the cross-attention: what the text says
        spatial          everything but the self-attention: layers that treat each token of a video separately
        all              everything
    """

    family: ClassVar[str] = "wan"
    pipelines: ClassVar[tuple[str, ...]] = ("WanPipeline",)
    networks: ClassVar[Mapping[str, Any]] = {
        "transformer": WanTransformer3DModel,
        "vae": AutoencoderKLWan,
        "text_encoder": UMT5EncoderModel,
    }
    autoencoder_class, text_class = WanAutoencoder, UMT5Text
    prefix: ClassVar[str] = "transformer"
    half: ClassVar[str] = "bfloat16"  # UMT5's numbers grow beyond float16
    groups: ClassVar[Groups] = {
        "self_attention": _matches(r"blocks\.\d+\.attn1\..+"),
        "self_qk": _matches(r"blocks\.\d+\.attn1\.to_[qk]\.(weight|bias)"),
        "text_kv": _matches(r"blocks\.\d+\.attn2\.to_[kv]\.(weight|bias)"),
        "spatial": lambda name: ".attn1." not in name,
        "all": lambda name: True,
    }

    def check_folder(self, folder: Path) -> None:
        """Raise a VmcError for a Wan 2.2 pipeline with two denoisers, one for each half of the times."""
        if self.index(folder).get("transformer_2", [None])[0] is not None:
            told = "has two denoisers (transformer and transformer_2); give a pipeline with one, such as"
            raise VmcError(f"model.path is {self.path}, which {told} Wan-AI/Wan2.1-T2V-1.3B-Diffusers")

    def index(self, folder: Path) -> dict[str, Any]:
        """The content of `model_index.json`; empty without that file."""
        file = folder / "model_index.json"
        return self.read_config(file) if file.is_file() else {}

    @cached_property
    def process(self) -> FlowMatching:
        """Flow matching, with the solver that the folder names and its shift."""
        settings = self.config("scheduler")
        _, name = self.index(self.folder).get("scheduler") or (None, settings.get("_class_name"))
        flows = bool(settings.get("use_flow_sigmas")) and settings.get("prediction_type") == "flow_prediction"
        known = {"FlowMatchEulerDiscreteScheduler": True, "UniPCMultistepScheduler": flows}
        if not known.get(str(name)) or settings.get("use_dynamic_shifting"):
            wanted = f"a {' or '.join(SOLVERS)} of flow matching with a fixed shift"
            told = f"is a {name} that the family wan cannot sample with"
            raise VmcError(f"{self.folder / 'scheduler'} {told}; it must be {wanted}")
        return FlowMatching(
            make_solver=partial(SOLVERS[str(name)].from_config, settings),
            shift=float(settings.get("flow_shift", settings.get("shift", 1.0))),
            scale=float(settings.get("num_train_timesteps", 1000)),
        )

    def assemble(self, load: Callable[[str], Any]) -> WanTransformer3DModel:
        """The transformer; the `plain` attention is PyTorch's own without a fused kernel."""
        transformer = load("transformer")
        for block in transformer.blocks:
            for attention in (block.attn1, block.attn2):
                attention.set_attention_backend(ATTENTION[self.attention])
        embedder = transformer.condition_embedder.time_embedder
        embedder.forward = _in_float32(embedder.forward)
        return transformer

    def predict(self, denoiser: Any, noisy_BCFHW: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        """prediction_BCFHW, the velocity. All text positions are attended to; those behind a text are zero."""
        return denoiser(noisy_BCFHW, timesteps.expand(len(noisy_BCFHW)), text.embeddings_BLD).sample

    def tokenizer(self) -> Any:
        """UMT5's tokenizer (SentencePiece)."""
        return AutoTokenizer.from_pretrained(self.folder / "tokenizer")

    def text_length(self) -> int:
        """The length that `WanPipeline` reads; UMT5 itself has relative positions and no limit."""
        return POSITIONS

    def latent_shape(self, *, frames: int, size: int) -> tuple[int, int, int, int]:
        """(C, F, h, w): the first frame has a latent of its own, then every four frames have one."""
        vae = self.config("vae")
        time, space = int(vae.get("scale_factor_temporal", 4)), int(vae.get("scale_factor_spatial", 8))
        if frames < 1 or (frames - 1) % time:
            below = max((frames - 1) // time, 0) * time + 1
            told = (
                f"which the autoencoder cannot hold: it takes {time}n + 1 frames, so choose {below} or {below + time}"
            )
            raise VmcError(f"data.frames is {frames}, {told}")
        check_size(size, space * max(self.config("transformer")["patch_size"][1:]))
        return int(vae["z_dim"]), (frames - 1) // time + 1, size // space, size // space

    def blocks(self, denoiser: Any) -> Sequence[Module]:
        """The transformer's blocks."""
        return tuple(denoiser.blocks)

    def save(self, folder: Path, *, denoiser: Any, text: TextEncoder) -> None:
        """Write a folder that `WanPipeline` opens, with the solver that `generate` uses."""
        parts = {"vae": self.autoencoder().module, "text_encoder": text.network, "transformer": denoiser.float()}
        expand = bool(self.index(self.folder).get("expand_timesteps"))
        scheduler = self.process.solver()
        save_pipeline(folder, tokenizer=text.tokenizer, scheduler=scheduler, expand_timesteps=expand, **parts)


def save_pipeline(folder: Path, *, tokenizer: Any, expand_timesteps: bool = False, **parts: Any) -> None:
    """Write the parts as published: safetensors, and a tokenizer that transformers 4 can open, too."""
    with quiet_loading():
        pipeline = WanPipeline(tokenizer=tokenizer, expand_timesteps=expand_timesteps, **parts)
    save_parts(pipeline, folder)
    file = folder / "model_index.json"
    # Before transformers 5, `T5Tokenizer` is another class, which needs a file that is not written.
    file.write_text(file.read_text(encoding="utf-8").replace('"T5Tokenizer"', '"T5TokenizerFast"'), encoding="utf-8")
