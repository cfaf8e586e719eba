"""Training the UNet to predict the noise in clips, given their captions.

Axes: B clips, C latent channels, F frames, H and W of the latent, L text positions, D text width.
"""

from dataclasses import dataclass

import torch
from diffusers import UNet3DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from vmc.diffusion.objective import NoiseSchedule, denoising_loss
from vmc.diffusion.text import PromptEncoder
from vmc.mini.captions import caption
from vmc.mini.pretraining.clips import FRAMES, WINDOWS, spec_of
from vmc.mini.pretraining.latents import Latents
from vmc.randomness import derive_seed, generator

RATE = 0.02
"""Of Muon."""
MOST_WEIGHT = 15.0
"""Of a clip's loss, see `timestep_weights`."""
IMAGES_EVERY = 4
EMPTY_SHARE = 0.1
"""How often a clip's caption is left out, for guidance."""


@dataclass(frozen=True)
class Batch:
    """Noisy latents, what is to be predicted, and the captions."""

    noisy_BCFHW: Tensor
    target_BCFHW: Tensor
    timesteps_B: Tensor
    weights_B: Tensor
    texts: list[str]


def timestep_weights(schedule: NoiseSchedule) -> Tensor:
    """weights_T of the loss: the ratio of noise to signal, with mean 1.

    The error in the noise falls about as the square root of the signal-to-noise ratio, from 0.4 where hardly any noise
    is added to 0.007 at the last timestep. Unweighted, training would be about the texture that no network can foresee;
    so weighted, every level of noise counts alike, those at which layout, person and motion are decided among them.
    """
    signal_T = schedule.signal_T
    weights_T = ((1 - signal_T) / signal_T).sqrt().clamp(max=MOST_WEIGHT)
    return weights_T / weights_T.mean()


@dataclass(frozen=True)
class Drawing:
    """Draws batches; every one is a function of the seed and of the step.

    Args:
        latents: of the clips.
        deviation_C: how far a sample of the posterior is from its mean.
        schedule: the forward process.
        seed: of the pretraining.
        size: clips of a batch.
        images: the first so many steps draw single frames, as many as a batch of clips has, and later one step in
            `IMAGES_EVERY`: what words look like is learned from many pictures with a caption each, and eight frames of
            one clip are hardly more than one.
    """

    latents: Latents
    deviation_C: tuple[float, ...]
    schedule: NoiseSchedule
    seed: int
    size: int
    images: int = 0

    def windows(self, step: int, size: int | None = None) -> list[int]:
        """All windows once in an order of its own, then again in another; `size` of them, by default a batch."""
        size = size or self.size
        total, places = len(self.latents.clips), range(step * size, (step + 1) * size)
        orders = {epoch: self._order(epoch, total) for epoch in {place // total for place in places}}
        return [int(orders[place // total][place % total]) for place in places]

    def _order(self, epoch: int, total: int) -> Tensor:
        return torch.randperm(total, generator=generator(self.seed, epoch, "order"))

    def captions(self, step: int, windows: list[int]) -> list[str]:
        """A fresh caption for every use of a clip, and seldom none."""
        empty_B = torch.rand(len(windows), generator=generator(self.seed, step, "no caption")) < EMPTY_SHARE
        return [
            "" if empty else caption_of(self.latents.clips.number(window), derive_seed(self.seed, step, place, "text"))
            for place, (window, empty) in enumerate(zip(windows, empty_B.tolist(), strict=True))
        ]

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        if step < self.images or (self.images and step % IMAGES_EVERY == 0):
            windows = self.windows(step, self.size * FRAMES)
            chosen_B = torch.randint(FRAMES, (len(windows),), generator=generator(self.seed, step, "frame"))
            means_BCFHW = self.latents.means(windows)[torch.arange(len(windows)), :, chosen_B][:, :, None]
        else:
            windows = self.windows(step)
            means_BCFHW = self.latents.means(windows)
        own_BCFHW = torch.randn(means_BCFHW.shape, generator=generator(self.seed, step, "posterior"))
        noise_BCFHW = torch.randn(means_BCFHW.shape, generator=generator(self.seed, step, "noise"))
        drawn = generator(self.seed, step, "timestep")
        timesteps_B = torch.randint(self.schedule.timesteps, (len(windows),), generator=drawn)
        latents_BCFHW = means_BCFHW + own_BCFHW * torch.tensor(self.deviation_C).view(1, -1, 1, 1, 1)
        return self._batch(latents_BCFHW, noise_BCFHW, timesteps_B, self.captions(step, windows))

    def fixed(self) -> list[Batch]:
        """One window of every clip with fixed captions and noise, timesteps evenly spread: for measuring."""
        windows = list(range(0, len(self.latents.clips), WINDOWS))
        texts = [caption_of(number, number) for number in map(self.latents.clips.number, windows)]
        means_BCFHW = self.latents.means(windows)
        noise_BCFHW = torch.randn(means_BCFHW.shape, generator=generator("validation", "noise"))
        # Neighbouring timesteps go to different batches only by chance; the order of clips is random already.
        timesteps_B = torch.linspace(0, self.schedule.timesteps - 1, len(windows)).round().long()
        whole = self._batch(means_BCFHW, noise_BCFHW, timesteps_B, texts)
        return [
            Batch(*(getattr(whole, name)[start : start + self.size] for name in Batch.__dataclass_fields__))
            for start in range(0, len(windows), self.size)
        ]

    def _batch(self, latents_BCFHW: Tensor, noise_BCFHW: Tensor, timesteps_B: Tensor, texts: list[str]) -> Batch:
        noisy_BCFHW = self.schedule.add_noise(latents_BCFHW, noise_BCFHW, timesteps_B)
        target_BCFHW = self.schedule.target(latents_BCFHW, noise_BCFHW, timesteps_B)
        return Batch(noisy_BCFHW, target_BCFHW, timesteps_B, timestep_weights(self.schedule)[timesteps_B], texts)


def caption_of(number: int, seed: int) -> str:
    """A caption of clip `number`."""
    return caption(spec_of(number), seed)


@dataclass(frozen=True)
class Denoiser:
    """Text encoder and UNet as one function.

    Args:
        tokenizer: CLIP's.
        text_encoder, unet: the networks, on one device.
    """

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet3DConditionModel

    def loss(self, batch: Batch) -> Tensor:
        """The weighted mean squared error of a batch; half precision on a GPU."""
        device = self.unet.device
        encoder = PromptEncoder(tokenizer=self.tokenizer, text_encoder=self.text_encoder)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            text_BLD = encoder.encode_ids(encoder.token_ids(batch.texts))
            timesteps_B, noisy_BCFHW = batch.timesteps_B.to(device), batch.noisy_BCFHW.to(device)
            prediction = self.unet(noisy_BCFHW, timesteps_B, encoder_hidden_states=text_BLD).sample
        losses_B = denoising_loss(prediction, batch.target_BCFHW.to(device))
        return (losses_B * batch.weights_B.to(device)).mean()

    @torch.no_grad()
    def measure(self, batches: list[Batch]) -> float:
        """The mean loss over batches."""
        losses = [(float(self.loss(batch)), len(batch.texts)) for batch in batches]
        return sum(loss * count for loss, count in losses) / sum(count for _, count in losses)
