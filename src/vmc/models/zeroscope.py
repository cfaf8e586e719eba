"""ModelScope's family: a 3D UNet with temporal layers between those of Stable Diffusion 2 (ZeroScope, ModelScope
text-to-video, the miniature).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from diffusers import TextToVideoSDPipeline, UNet3DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import Tensor
from torch.nn import Conv3d, Module
from torch.nn import functional as F

from vmc.diffusion.sampling import Conditioning
from vmc.models.latent_diffusion import LatentDiffusion, save_clip_pipeline
from vmc.models.parameters import unet_groups

save_pipeline = partial(save_clip_pipeline, TextToVideoSDPipeline)
"""Write the parts of a pipeline of this family into a folder."""
TEMPORAL_MODULES = frozenset({"transformer_in", "temp_convs", "temp_attentions"})


def is_temporal(name: str) -> bool:
    """Whether the parameter belongs to a layer that mixes frames."""
    return not TEMPORAL_MODULES.isdisjoint(name.split("."))


class ClipAttention(AttnProcessor2_0):
    """PyTorch's fused attention, in which all frames of a clip attend to one text.

    `UNet3DConditionModel` repeats a clip's text for every frame, and computes and keeps the same keys and values once
    per frame. Here they are computed once per clip, with the places of all frames as queries.
    """

    def __call__(  # type: ignore[override]
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        frames: int = 1,
    ) -> Tensor:
        """Attend within hidden_states, or to the text if `encoder_hidden_states` is given.

        Args:
            attn: the layer.
            hidden_states: (clips x frames, places, channels), or any sequences of a self-attention.
            encoder_hidden_states: (clips x frames, length, channels), the same text for all frames of a clip.
            attention_mask, temb: as `AttnProcessor2_0` takes them.
            frames: of a clip.
        """
        if encoder_hidden_states is None:
            return super().__call__(attn, hidden_states, None, attention_mask, temb)
        queries = hidden_states.unflatten(0, (-1, frames)).flatten(1, 2)
        return super().__call__(attn, queries, encoder_hidden_states[::frames].contiguous()).view_as(hidden_states)


class FrameConv3d(Conv3d):
    """A convolution over frames alone, kernel (k, 1, 1), stride 1. On a CPU, PyTorch's 2D convolution over frames and
    places is twice as fast, and equal to rounding.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if input.device.type != "cpu":
            return super()._conv_forward(input, weight, bias)
        flat = F.conv2d(input.flatten(3), weight.squeeze(-1), bias, padding=(int(self.padding[0]), 0))
        return flat.unflatten(3, input.shape[3:])


class UNet3D(LatentDiffusion):
    """`UNet3DConditionModel` with CLIP's text encoder and an image autoencoder, in the layout of
    `TextToVideoSDPipeline`; its temporal layers are `transformer_in`, `temp_convs` and `temp_attentions`.
    """

    family: ClassVar[str] = "unet3d"
    pipelines: ClassVar[tuple[str, ...]] = ("TextToVideoSDPipeline", "VideoToVideoSDPipeline")
    pipeline: ClassVar[Any] = TextToVideoSDPipeline
    networks: ClassVar[Mapping[str, Any]] = {"unet": UNet3DConditionModel, **LatentDiffusion.networks}
    groups = unet_groups(is_temporal)

    def assemble(self, load: Callable[[str], Any]) -> UNet3DConditionModel:
        """The UNet."""
        return self.with_kernels(load("unet"))

    def with_kernels(self, unet: Any) -> Any:
        """The UNet with the chosen kind of attention and fast convolutions over frames."""
        unet.set_attn_processor(AttnProcessor() if self.attention == "plain" else ClipAttention())
        for module in unet.modules():
            if type(module) is Conv3d and module.kernel_size[1:] == (1, 1):
                module.__class__ = FrameConv3d  # keeps its weights and its place in the UNet
        return unet

    def predict(self, denoiser: Any, noisy_BCFHW: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        """prediction_BCFHW of the UNet."""
        given = {"cross_attention_kwargs": {"frames": noisy_BCFHW.shape[2]}} if self.attention == "fused" else {}
        return denoiser(noisy_BCFHW, timesteps, encoder_hidden_states=text.embeddings_BLD, **given).sample

    def blocks(self, denoiser: Any) -> Sequence[Module]:
        """`transformer_in` and every down, mid and up block."""
        return (denoiser.transformer_in, *super().blocks(denoiser))


@dataclass(frozen=True, kw_only=True)
class Sizes(UNet3D):
    """A model without files, given by the configs of the parts that have weights."""

    path: str | Path = ""
    configs: Mapping[str, Mapping[str, Any]]

    def config(self, part: str) -> dict[str, Any]:
        """The config of a part."""
        return dict(self.configs[part])


ZEROSCOPE = Sizes(
    configs={
        "unet": {"sample_size": 32, "cross_attention_dim": 1024},
        "vae": {
            **{"sample_size": 512, "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2},
            **{"latent_channels": 4, "down_block_types": ("DownEncoderBlock2D",) * 4},
            "up_block_types": ("UpDecoderBlock2D",) * 4,
        },
        "text_encoder": {
            **{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16},
            **{"hidden_act": "gelu", "pad_token_id": 49407},
        },
    }
)
"""`cerspense/zeroscope_v2_576w`, as its configs give them where they differ from the libraries' defaults;
`damo-vilab/text-to-video-ms-1.7b` has the same.
"""
