"""AnimateDiff's family (Guo et al., 2023): motion modules between the layers of a Stable Diffusion UNet, trained on
videos while the image model was frozen.

Axes: B videos, C latent channels, F frames, H and W, N = B x F images, L text positions, D text width.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import AnimateDiffPipeline, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from torch import Tensor

from vmc.diffusion.sampling import Conditioning
from vmc.models.latent_diffusion import LatentDiffusion
from vmc.models.parameters import unet_groups
from vmc.models.pretrained_weights import download, quiet_loading, weight_files
from vmc.utils.errors import VmcError, first_line

ADAPTER = "motion_adapter"
PUBLISHED = "guoyww/animatediff-motion-adapter-v1-5-2"
SCHEDULE = {"beta_schedule": "linear", "clip_sample": False, "steps_offset": 1, "timestep_spacing": "linspace"}
"""The schedule of the motion modules' training, in place of Stable Diffusion's `scaled_linear` (the adapter's card on
the hub; github.com/guoyww/AnimateDiff, `configs/`)."""
POSITIONS, CHANNELS = 32, (320, 640, 1280, 1280)
"""Frames that motion modules have positions for, and channels of blocks, if no config says (diffusers' defaults)."""


def is_temporal(name: str) -> bool:
    """Whether the parameter belongs to a motion module."""
    return "motion_modules" in name.split(".")


@dataclass(frozen=True, kw_only=True)
class AnimateDiff(LatentDiffusion):
    """`UNetMotionModel` with CLIP's text encoder and an image autoencoder; its temporal layers are `motion_modules`.

    Args:
        motion_adapter: folder or hub name of the motion modules, if `path` is a Stable Diffusion pipeline; None if its
            UNet has them already, as in an export.
    """

    motion_adapter: str | Path | None = None

    family: ClassVar[str] = "animatediff"
    pipelines: ClassVar[tuple[str, ...]] = ("AnimateDiffPipeline", "StableDiffusionPipeline")
    pipeline: ClassVar[Any] = staticmethod(partial(AnimateDiffPipeline, motion_adapter=None))  # they are in the UNet
    networks: ClassVar[Mapping[str, Any]] = {"unet": UNet2DConditionModel, **LatentDiffusion.networks}
    groups = unet_groups(is_temporal)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames < 2:
            raise VmcError(f"model.frames is {self.frames}, but motion modules mix frames; give at least 2, best 16")

    def check_folder(self, folder: Path) -> None:
        """Raise a VmcError if pipeline and adapter do not fit together, or have no positions for so many frames."""
        config = self.read_config(folder / "unet" / "config.json")
        given, path = f"model.motion_adapter is {self.motion_adapter}", f"model.path={self.path}"
        match config.get("_class_name"):
            case "UNetMotionModel":
                if self.motion_adapter is not None:
                    told = f"the UNet of {path} has its motion modules already; set model.motion_adapter=null"
                    raise VmcError(f"{given}, but {told}")
            case "UNet2DConditionModel":
                if self.motion_adapter is None:
                    told = "a Stable Diffusion pipeline, which has no motion modules; set model.motion_adapter to"
                    raise VmcError(f"model.path is {self.path}, {told} a folder or hub name, such as {PUBLISHED}")
                unet, config = config, self.read_config(self.adapter / "config.json")
                if (name := config.get("_class_name")) != "MotionAdapter":
                    raise VmcError(f"{given}, which is of the class {name}; give a MotionAdapter such as {PUBLISHED}")
                if config.get("conv_in_channels"):
                    raise VmcError(f"{given}, which takes a picture beside the noise (PIA); give {PUBLISHED}")
                found, needed = (list(one.get("block_out_channels", CHANNELS)) for one in (config, unet))
                if found != needed:
                    told = f"whose blocks have {found} channels, but those of {path} have {needed}"
                    raise VmcError(f"{given}, {told}; give an adapter for this version of Stable Diffusion")
            case other:
                wanted = "a UNet2DConditionModel (Stable Diffusion) or a UNetMotionModel (AnimateDiff)"
                raise VmcError(f"model.path is {self.path}, whose UNet is of the class {other}; it must be {wanted}")
        self._check_frames(self.frames, config)

    @cached_property
    def adapter(self) -> Path:
        """The local folder of the motion adapter, downloaded first if it is a hub repository's name."""
        folder = Path(self.motion_adapter or "").expanduser()
        if not folder.is_dir():
            folder = download(str(self.motion_adapter), [""], [""], get=self.get, key="model.motion_adapter")
        if not (folder / "config.json").is_file() or not weight_files(folder):
            lacks = "weights" if (folder / "config.json").is_file() else "config.json"
            told = f"which has no {lacks}; it must be the folder of a MotionAdapter, such as {PUBLISHED}"
            raise VmcError(f"model.motion_adapter is {self.motion_adapter}, {told}")
        return folder

    @cached_property
    def has_motion(self) -> bool:
        """Whether the folder's UNet has its motion modules already."""
        return self.config("unet").get("_class_name") == "UNetMotionModel"

    def place(self, part: str) -> Path:
        """The folder of a part; the adapter may be outside of the pipeline's."""
        return self.adapter if part == ADAPTER else super().place(part)

    def network(self, part: str) -> Any:
        """The class of a part, depending on the folder's UNet."""
        if part == "unet" and self.has_motion:
            return UNetMotionModel
        return MotionAdapter if part == ADAPTER else super().network(part)

    def parts_of(self, role: str) -> tuple[str, ...]:
        """The parts of a role; the adapter is one unless the UNet contains it."""
        return (*super().parts_of(role), *([ADAPTER] if role == "denoiser" and not self.has_motion else []))

    @property
    def described(self) -> str:
        """The pipeline, and the adapter if it is not within it."""
        return str(self.path) if self.motion_adapter is None else f"{self.path} with {self.motion_adapter}"

    def schedule(self) -> dict[str, Any]:
        """The schedule of the motion modules with a Stable Diffusion folder, else the folder's own."""
        return self.config("scheduler") | ({} if self.has_motion else SCHEDULE)

    def assemble(self, load: Callable[[str], Any]) -> UNetMotionModel:
        """The UNet with the motion modules in it."""
        unet = load("unet")
        return self.with_kernels(unet if self.has_motion else self._insert(unet, load(ADAPTER)))

    def _insert(self, unet: UNet2DConditionModel, adapter: MotionAdapter) -> UNetMotionModel:
        """Combine both without copying a tensor or drawing one at random: the combined UNet uses the same names."""
        try:
            with torch.device("meta"), quiet_loading():
                combined = UNetMotionModel.from_unet2d(unet, adapter, load_weights=False)
            combined.load_state_dict({**unet.state_dict(), **adapter.state_dict()}, assign=True)
        except (RuntimeError, ValueError) as error:
            told = f"which does not fit the UNet of model.path={self.path} ({first_line(error)}); give an adapter"
            raise VmcError(f"model.motion_adapter is {self.motion_adapter}, {told} for it") from error
        return combined

    def predict(self, denoiser: Any, noisy_BCFHW: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        """prediction_BCFHW of the UNet, whose spatial layers take a text for each frame."""
        text_NLD = text.embeddings_BLD.repeat_interleave(noisy_BCFHW.shape[2], dim=0)
        return denoiser(noisy_BCFHW, timesteps, encoder_hidden_states=text_NLD).sample

    def latent_shape(self, *, frames: int, size: int) -> tuple[int, int, int, int]:
        """(C, F, h, w); the motion modules must have positions for this many frames."""
        self._check_frames(frames, self.config("unet" if self.has_motion else ADAPTER))
        return super().latent_shape(frames=frames, size=size)

    def _check_frames(self, frames: int, config: Mapping[str, Any]) -> None:
        if frames > (positions := int(config.get("motion_max_seq_length", POSITIONS))):
            told = f"the motion modules of {self.motion_adapter or self.path} have positions for {positions} frames"
            raise VmcError(f"data.frames is {frames}, but {told}; give at most {positions}")
