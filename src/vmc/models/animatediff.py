"""AnimateDiff's family (Guo et al., 2023): motion modules between the layers of a Stable Diffusion UNet, which were
trained on videos while the image model stayed as it was.

Axes: B videos, C latent channels, F frames, H and W, N = B x F images, L text positions, D text width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import AnimateDiffPipeline, AutoencoderKL, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from torch import Tensor
from transformers import CLIPTextModel

from vmc.diffusion.sampling import Conditioning
from vmc.models.latent_diffusion import LatentDiffusion, unet_groups
from vmc.models.loading import download, quiet_loading, weight_files
from vmc.utils.errors import VmcError, first_line

ADAPTER = "motion_adapter"
PUBLISHED = "guoyww/animatediff-motion-adapter-v1-5-2"
SCHEDULE = {"beta_schedule": "linear", "clip_sample": False, "steps_offset": 1, "timestep_spacing": "linspace"}
"""What the motion modules were trained with, in place of Stable Diffusion's `scaled_linear` (the adapter's card on the
hub; github.com/guoyww/AnimateDiff, `configs/`)."""
POSITIONS = 32
"""Frames that a motion module's positions are for, where its config does not say (diffusers' default)."""


def is_temporal(name: str) -> bool:
    """Whether the parameter belongs to a motion module."""
    return "motion_modules" in name.split(".")


@dataclass(frozen=True, kw_only=True)
class AnimateDiff(LatentDiffusion):
    """`UNetMotionModel` with CLIP's text encoder and an image autoencoder; its temporal layers are `motion_modules`.

    Args:
        motion_adapter: folder or hub name of the motion modules, where `path` is a Stable Diffusion pipeline; None
            where its UNet has them already, as in what `save` writes.
    """

    motion_adapter: str | Path | None = None

    family: ClassVar[str] = "animatediff"
    pipelines: ClassVar[tuple[str, ...]] = ("AnimateDiffPipeline", "StableDiffusionPipeline")
    pipeline: ClassVar[Any] = staticmethod(partial(AnimateDiffPipeline, motion_adapter=None))  # they are in the UNet
    networks: ClassVar[Mapping[str, Any]] = {
        "unet": UNet2DConditionModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
    }
    roles: ClassVar[Mapping[str, tuple[str, ...]]] = {**LatentDiffusion.roles, "denoiser": ("unet", ADAPTER)}
    groups = unet_groups(is_temporal)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames < 2:
            raise VmcError(
                f"model.frames is {self.frames}, but motion modules mix the frames of a clip; give at least 2, 16 as"
                " they were trained with"
            )

    # --- where the motion modules are --------------------------------------------------------------------------------

    def check_folder(self, folder: Path) -> None:
        """Refuse a pipeline and an adapter that do not go together, and more frames than they have positions for."""
        config = self.read_config(folder / "unet" / "config.json")
        match config.get("_class_name"):
            case "UNetMotionModel":
                if self.motion_adapter is not None:
                    raise VmcError(
                        f"model.motion_adapter is {self.motion_adapter}, but the UNet of model.path={self.path} has its"
                        " motion modules already; set model.motion_adapter=null, or model.path to a Stable Diffusion"
                        " pipeline"
                    )
            case "UNet2DConditionModel":
                config = self._checked_adapter(config)
            case other:
                raise VmcError(
                    f"model.path is {self.path}, whose UNet is of the class {other}; it must be a UNet2DConditionModel"
                    " (Stable Diffusion) or a UNetMotionModel (AnimateDiff)"
                )
        self._check_frames(self.frames, int(config.get("motion_max_seq_length", POSITIONS)))

    def _checked_adapter(self, unet: dict[str, Any]) -> dict[str, Any]:
        """The adapter's config, where the adapter is one and made for this UNet's config."""
        if self.motion_adapter is None:
            raise VmcError(
                f"model.path is {self.path}, a Stable Diffusion pipeline, which has no motion modules; set"
                f" model.motion_adapter to an adapter's folder or hub name, such as {PUBLISHED}"
            )
        config = self.read_config(self.adapter / "config.json")
        given = f"model.motion_adapter is {self.motion_adapter}"
        if (name := config.get("_class_name")) != "MotionAdapter":
            raise VmcError(f"{given}, which is of the class {name}; it must be a MotionAdapter, such as {PUBLISHED}")
        if config.get("conv_in_channels"):
            raise VmcError(
                f"{given}, which takes a picture beside the noise (PIA); give one of text alone: {PUBLISHED}"
            )
        channels = [list(one.get("block_out_channels", (320, 640, 1280, 1280))) for one in (config, unet)]
        layers = [
            [count] * len(channels[0]) if isinstance(count, int) else list(count)
            for count in (config.get("motion_layers_per_block", 2), unet.get("layers_per_block", 2))
        ]
        for name, (found, needed) in {"channels": channels, "layers": layers}.items():
            if found != needed:
                raise VmcError(
                    f"{given}, whose blocks have {found} {name}, but those of model.path={self.path} have {needed};"
                    " give an adapter for this version of Stable Diffusion"
                )
        return config

    @cached_property
    def adapter(self) -> Path:
        """The local folder of the motion adapter, downloaded first when it is a hub repository's name."""
        folder = Path(self.motion_adapter or "").expanduser()
        if not folder.is_dir():
            folder = download(str(self.motion_adapter), [""], [""], get=self.get, key="model.motion_adapter")
        if not (folder / "config.json").is_file() or not weight_files(folder):
            lacks = "weights" if (folder / "config.json").is_file() else "config.json"
            raise VmcError(
                f"model.motion_adapter is {self.motion_adapter}, which has no {lacks}; it must be the folder of a"
                f" MotionAdapter in the diffusers layout, such as {PUBLISHED}"
            )
        return folder

    @cached_property
    def has_motion(self) -> bool:
        """Whether the folder's UNet has its motion modules already."""
        return self.config("unet").get("_class_name") == "UNetMotionModel"

    def place(self, part: str) -> Path:
        """The adapter may lie in another folder than the pipeline."""
        return self.adapter if part == ADAPTER else super().place(part)

    def network(self, part: str) -> Any:
        """The class of a part, by what the folder is."""
        if part == "unet" and self.has_motion:
            return UNetMotionModel
        return MotionAdapter if part == ADAPTER else super().network(part)

    def parts_of(self, role: str) -> tuple[str, ...]:
        """The adapter is a part where the UNet does not have it in itself."""
        return tuple(part for part in super().parts_of(role) if part != ADAPTER or not self.has_motion)

    @property
    def described(self) -> str:
        """Both, where the adapter is not within the pipeline."""
        return str(self.path) if self.motion_adapter is None else f"{self.path} with {self.motion_adapter}"

    # --- what a family gives -----------------------------------------------------------------------------------------

    def schedule(self) -> dict[str, Any]:
        """Of a Stable Diffusion folder the motion modules' own, else the folder's."""
        return self.config("scheduler") | ({} if self.has_motion else SCHEDULE)

    def denoiser(self, *, dtype: torch.dtype = torch.float32) -> UNetMotionModel:
        """The UNet with the motion modules in it."""
        unet = self.open("unet", dtype)
        return self.with_attention(unet if self.has_motion else self._insert(unet, self.open(ADAPTER, dtype)))

    def empty_denoiser(self) -> UNetMotionModel:
        """The same on the meta device."""
        unet = self.empty("unet")
        return unet if self.has_motion else self._insert(unet, self.empty(ADAPTER))

    def _insert(self, unet: UNet2DConditionModel, adapter: MotionAdapter) -> UNetMotionModel:
        """Both in one. Their tensors have the same names there, so none is copied and none drawn at random."""
        try:
            with torch.device("meta"), quiet_loading():
                combined = UNetMotionModel.from_unet2d(unet, adapter, load_weights=False)
            combined.load_state_dict({**unet.state_dict(), **adapter.state_dict()}, assign=True)
        except (RuntimeError, ValueError) as error:
            raise VmcError(
                f"model.motion_adapter is {self.motion_adapter}, which does not fit the UNet of model.path={self.path}"
                f" ({first_line(error)}); give an adapter for this version of Stable Diffusion"
            ) from error
        return combined.requires_grad_(False).eval()

    def predict(self, denoiser: Any, noisy_BCFHW: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        """prediction_BCFHW of the UNet, whose spatial layers see a text for each frame."""
        text_NLD = text.embeddings_BLD.repeat_interleave(noisy_BCFHW.shape[2], dim=0)
        return denoiser(noisy_BCFHW, timesteps, encoder_hidden_states=text_NLD).sample

    def latent_shape(self, *, frames: int, size: int) -> tuple[int, int, int, int]:
        """(C, F, h, w): every frame is kept, as many as the motion modules have positions for."""
        shape = super().latent_shape(frames=frames, size=size)
        config = self.config("unet" if self.has_motion else ADAPTER)
        self._check_frames(frames, int(config.get("motion_max_seq_length", POSITIONS)))
        return shape

    def _check_frames(self, frames: int, positions: int) -> None:
        if frames > positions:
            where = self.path if self.motion_adapter is None else self.motion_adapter
            raise VmcError(
                f"model.frames is {frames}, but the motion modules of {where} have positions for {positions} frames;"
                f" give at most {positions}"
            )
