"""Views of clips that went through the autoencoder, as soft as the pipeline's own videos.

Axes: N views, F frames, C colours or latent channels, H and W.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from vmc.metrics.networks.trn import SEGMENTS
from vmc.mini.makers.classifier.clips import SIZE, VIEWS, WHOLE, WINDOW
from vmc.models.zeroscope import UNet3D
from vmc.tools.learning.shards import Shards
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator

EVERY = 2
"""Of training clips every second one is decoded, which is what takes the time; of validation clips all are."""
WHOLE_EVERY = 4
"""Of the decoded views every fourth is a whole clip; the rest are windows, as generated videos are."""
LATENT_ERROR = 0.2
"""Largest deviation of the noise added to training latents, which have unit deviation: no UNet hits them exactly."""


class Decoder:
    """The autoencoder of a pipeline in the diffusers layout.

    Raises:
        VmcError: there is no autoencoder in the folder.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        if not (folder / "vae" / "config.json").is_file():
            raise VmcError(
                f"--pipeline is {folder}, which has no vae; give the folder `pipeline` that"
                " `python -m vmc.mini pipeline` has written into its output"
            )
        model = UNet3D(path=folder, size=SIZE)
        self.fingerprint = model.fingerprint("vae")
        # This layout is a quarter faster on a CPU.
        self.vae: AutoencoderKL = model.autoencoder().module.to(device=device, memory_format=torch.channels_last)
        self.device = device

    @torch.no_grad()
    def __call__(self, frames_FHWC: NDArray[np.uint8], *, error: float = 0.0, place: int = 0) -> NDArray[np.uint8]:
        """The frames again, decoded from posterior samples with noise of deviation `error`; draws are of `place`."""
        pixels_FHWC = torch.tensor(frames_FHWC, device=self.device).float() / 127.5 - 1
        pixels_FCHW = pixels_FHWC.permute(0, 3, 1, 2)  # is channels last already
        posterior = self.vae.encode(pixels_FCHW).latent_dist
        random = generator("classifier decoded", place)
        noise = partial(torch.randn, posterior.mean.shape, generator=random)
        latents_FCHW = posterior.mean + posterior.std * noise().to(self.device)
        latents_FCHW = latents_FCHW + noise().to(self.device) * error / self.vae.config.scaling_factor
        decoded_FCHW: Tensor = self.vae.decode(latents_FCHW).sample
        scaled = ((decoded_FCHW + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return np.asarray(scaled.permute(0, 2, 3, 1).cpu().numpy())


def clip_and_view(index: int) -> tuple[int, int]:
    """Which training clip, and which of its views, decoded view `index` is."""
    return EVERY * index, WHOLE if index % WHOLE_EVERY == WHOLE_EVERY - 1 else WINDOW


def decoded_for_training(clips: Shards, count: int, decoder: Decoder) -> Shards:
    """`count` decoded views of training clips, in the order of `clip_and_view`.

    Raises:
        VmcError: there are too few clips.
    """
    if (count - 1) * EVERY >= len(clips):
        raise VmcError(f"--decoded is {count}; of {len(clips)} clips at most {(len(clips) - 1) // EVERY + 1} are")

    def make(numbers: Sequence[int]) -> NDArray[np.uint8]:
        views = []
        for number in numbers:
            clip, view = clip_and_view(number)
            error = float(torch.rand((), generator=generator("classifier latent error", number))) * LATENT_ERROR
            views.append(decoder(clips.items([clip])[0, view], error=error, place=number))
        return np.stack(views)

    settings = (clips.settings, decoder.fingerprint, EVERY, WHOLE_EVERY, LATENT_ERROR)
    return Shards(name="decoded views", make=make, shape=(SEGMENTS, SIZE, SIZE, 3), settings=settings, count=count)


def decoded_for_validation(clips: Shards, decoder: Decoder) -> Shards:
    """The window of every clip, decoded without further noise."""

    def make(numbers: Sequence[int]) -> NDArray[np.uint8]:
        frames = (clips.items([number - clips.first])[0, WINDOW] for number in numbers)
        return np.stack(
            [decoder(frames_FHWC, place=number) for frames_FHWC, number in zip(frames, numbers, strict=True)]
        )

    settings = (clips.settings, decoder.fingerprint, VIEWS)
    return Shards(
        name="decoded windows",
        make=make,
        shape=(SEGMENTS, SIZE, SIZE, 3),
        settings=settings,
        count=len(clips),
        first=clips.first,
    )
