"""Training the UNet to predict the noise in clips, given their captions.

Axes: B clips, C latent channels, F frames, H and W of the latent, L text positions, D text width.
"""

from dataclasses import dataclass, replace

import torch
from diffusers import UNet3DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from vmc.diffusion.process import VariancePreserving
from vmc.diffusion.sampling import Conditioning
from vmc.diffusion.timesteps import CoarseNoise
from vmc.mini.makers.pretraining.clips import FRAMES, WINDOWS, caption_of
from vmc.mini.makers.pretraining.latents import Latents
from vmc.mini.world.captions import RARE_WORDS
from vmc.models.text import TextEncoder
from vmc.utils.randomness import derive_seed, generator

RATE = 0.02
"""Of Muon."""
MOST_WEIGHT = 15.0
"""Of a clip's loss, see `timestep_weights`."""
IMAGES_EVERY = 8
MOTION = 4.0
"""How much more what moves in a clip counts than what stands still, see `motion_weights`."""
COARSE = 0.9
"""How far towards the noisy end the timesteps of such steps are drawn: where the hand still shows, nothing is read."""
SHARES = (0.125, 0.25, 0.625)
"""Of a batch of clips: those of all framings, which single frames are of too, those of a camera that stands still, and
those in which gestures are done as they are written.

At step 10,600, after a thousand steps in which the error on what moves with another gesture's caption rose from 1.063
to 1.068 times that with the right one, a hundred steps on gestures as they are written, done by few persons, brought it
to 1.085, and on such clips of other persons from 1.080 to 1.160.
"""
FINE = 500
"""Below this timestep what moves always counts more: what a hand looks like is decided there."""
EMPTY_SHARE = 0.1
"""How often a clip's caption is left out, for guidance."""
RARE_SHARE = 0.15
"""How often there is an unknown word in a caption, which says nothing of the clip."""
OTHER_SHARE = 0.5
"""How often that is any other than one of the few rare ones."""


@dataclass(frozen=True)
class NoisyBatch:
    """Noisy latents, what is to be predicted, and the captions."""

    noisy_BCFHW: Tensor
    target_BCFHW: Tensor
    timesteps_B: Tensor
    weights_BCFHW: Tensor  # of the squared errors; C is 1
    texts: list[str]


def timestep_weights(schedule: VariancePreserving) -> Tensor:
    """weights_T of the loss: the ratio of noise to signal, with mean 1.

    The error in the noise falls about as the square root of the signal-to-noise ratio, from 0.4 where hardly any noise
    is added to 0.007 at the last timestep. Unweighted, training would be about the texture that no network can foresee;
    so weighted, every level of noise counts alike, those at which layout, person and motion are decided among them.
    """
    signal_T = schedule.signal_T
    weights_T = ((1 - signal_T) / signal_T).sqrt().clamp(max=MOST_WEIGHT)
    return weights_T / weights_T.mean()


def motion_weights(latents_BCFHW: Tensor) -> Tensor:
    """weights_BCFHW, C being 1, of the loss: more where a clip differs from its own mean over time, with mean 1.

    A hand covers two of a frame's 64 places. Without weights its error drowns in that of places and clothes, and the
    UNet does not begin to read gestures in the text: after 2,600 steps with 16 clips each, the error with another
    gesture's caption was 1.0003 times that with the right one; after 300 steps with these weights, 1.009 times.
    """
    moving_BCFHW = (latents_BCFHW - latents_BCFHW.mean(2, keepdim=True)).square().mean(1, keepdim=True)
    mean_B = moving_BCFHW.flatten(1).mean(1).clamp(min=1e-6)
    return (1 + MOTION * moving_BCFHW / mean_B.view(-1, 1, 1, 1, 1)) / (1 + MOTION)


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
        others: of clips whose camera stands still, and of such with gestures as they are written.
        motion: up to this step clips count by what moves in them (`motion_weights`), and their timesteps are drawn
            towards the noisy end, where motion is decided. Where little is known, such weights favour the hypothesis
            that something moves, and hands are too many; so the last steps have them only below `FINE`.
        unknown: words that may stand in captions in the place of rare ones.
        shares: how much of a batch of clips is of `latents` and of each of `others`.
        chosen: windows of `latents` that are drawn, each as often as it stands here; all once if empty.
    """

    latents: Latents
    deviation_C: tuple[float, ...]
    schedule: VariancePreserving
    seed: int
    size: int
    others: tuple[Latents, ...] = ()
    images: int = 0
    motion: int = 0
    unknown: tuple[str, ...] = ()
    shares: tuple[float, ...] = SHARES
    chosen: tuple[int, ...] = ()

    def windows(self, step: int, size: int | None = None, *, pool: int = 0) -> list[int]:
        """All windows once in an order of its own, then again in another; `size` of them, by default a batch."""
        size = size or self.size
        drawn = range(len(self._pools[pool].clips)) if pool or not self.chosen else self.chosen
        total, places = len(drawn), range(step * size, (step + 1) * size)
        orders = {epoch: self._order(epoch, total, pool) for epoch in {place // total for place in places}}
        return [drawn[int(orders[place // total][place % total])] for place in places]

    def _order(self, epoch: int, total: int, pool: int) -> Tensor:
        purpose = ("order", "order of webcam clips", "order of plain clips", "order of a fourth kind")[pool]
        return torch.randperm(total, generator=generator(self.seed, epoch, purpose))

    @property
    def _pools(self) -> tuple[Latents, ...]:
        return self.latents, *self.others

    def captions(self, step: int, numbers: list[int]) -> list[str]:
        """A fresh caption for every use of a clip, and seldom none."""
        empty_B = torch.rand(len(numbers), generator=generator(self.seed, step, "no caption")) < EMPTY_SHARE
        return [
            "" if empty else self._caption(number, derive_seed(self.seed, step, place, "text"))
            for place, (number, empty) in enumerate(zip(numbers, empty_B.tolist(), strict=True))
        ]

    def _caption(self, number: int, seed: int) -> str:
        text, draw = caption_of(number, seed, rare_share=RARE_SHARE), generator(seed, "unknown word")
        rare = next((word for word in RARE_WORDS if f" {word}" in text), None)
        if rare is None or not self.unknown or float(torch.rand((), generator=draw)) >= OTHER_SHARE:
            return text
        return text.replace(f" {rare}", f" {self.unknown[int(torch.randint(len(self.unknown), (), generator=draw))]}")

    def clips(self, step: int) -> tuple[Tensor, list[int]]:
        """means_BCFHW of the posteriors of a step's clips, and the clips' numbers."""
        sizes = [round(self.size * share) for share in self.shares[1 : len(self._pools)]]
        means, numbers = list[Tensor](), list[int]()
        for pool, size in enumerate([self.size - sum(sizes), *sizes]):
            if size:
                windows = self.windows(step, size, pool=pool)
                means.append(self._pools[pool].means(windows))
                numbers += map(self._pools[pool].clips.number, windows)
        return torch.cat(means), numbers

    def frames(self, step: int) -> tuple[Tensor, list[int]]:
        """means_BCFHW of single frames, F being 1, as many as a batch of clips has, and the numbers of their clips."""
        windows = self.windows(step, self.size * FRAMES)
        chosen_B = torch.randint(FRAMES, (len(windows),), generator=generator(self.seed, step, "frame"))
        means_BCFHW = self.latents.means(windows)[torch.arange(len(windows)), :, chosen_B][:, :, None]
        return means_BCFHW, list(map(self.latents.clips.number, windows))

    def __call__(self, step: int) -> NoisyBatch:
        """The batch of a step."""
        single = step < self.images or (self.images and step % IMAGES_EVERY == 0)
        means_BCFHW, numbers = self.frames(step) if single else self.clips(step)
        own_BCFHW = torch.randn(means_BCFHW.shape, generator=generator(self.seed, step, "posterior"))
        noise_BCFHW = torch.randn(means_BCFHW.shape, generator=generator(self.seed, step, "noise"))
        drawn, total = generator(self.seed, step, "timestep"), len(self.schedule.signal_T)
        latents_BCFHW = means_BCFHW + own_BCFHW * torch.tensor(self.deviation_C).view(1, -1, 1, 1, 1)
        coarse = step < self.motion and not single
        if coarse:
            timesteps_B = self.schedule.timesteps(
                CoarseNoise(alpha=COARSE).sample(len(numbers), process=self.schedule, generator=drawn)
            )
        else:
            timesteps_B = torch.randint(total, (len(numbers),), generator=drawn)
        batch = self._batch(latents_BCFHW, noise_BCFHW, timesteps_B, self.captions(step, numbers))
        if single or not self.motion:
            return batch
        weighed_B = torch.full_like(timesteps_B, coarse, dtype=torch.bool) | (timesteps_B < FINE)
        moving_BCFHW = motion_weights(latents_BCFHW).where(weighed_B.view(-1, 1, 1, 1, 1), 1.0)
        return replace(batch, weights_BCFHW=batch.weights_BCFHW * moving_BCFHW)

    def fixed(self) -> list[NoisyBatch]:
        """One window of every clip with fixed captions and noise, timesteps evenly spread: for measuring."""
        windows = list(range(0, len(self.latents.clips), WINDOWS))
        texts = [caption_of(number, number) for number in map(self.latents.clips.number, windows)]
        means_BCFHW = self.latents.means(windows)
        noise_BCFHW = torch.randn(means_BCFHW.shape, generator=generator("validation", "noise"))
        # Neighbouring timesteps go to different batches only by chance; the order of clips is random already.
        timesteps_B = torch.linspace(0, len(self.schedule.signal_T) - 1, len(windows)).round().long()
        whole = self._batch(means_BCFHW, noise_BCFHW, timesteps_B, texts)
        return [
            NoisyBatch(*(getattr(whole, name)[start : start + self.size] for name in NoisyBatch.__dataclass_fields__))
            for start in range(0, len(windows), self.size)
        ]

    def _batch(self, latents_BCFHW: Tensor, noise_BCFHW: Tensor, timesteps_B: Tensor, texts: list[str]) -> NoisyBatch:
        times_B = self.schedule.times[timesteps_B]
        noisy_BCFHW = self.schedule.add_noise(latents_BCFHW, noise_BCFHW, times_B)
        target_BCFHW = self.schedule.target(latents_BCFHW, noise_BCFHW, times_B)
        weights_B = timestep_weights(self.schedule)[timesteps_B]
        return NoisyBatch(noisy_BCFHW, target_BCFHW, timesteps_B, weights_B.view(-1, 1, 1, 1, 1), texts)


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

    def predict(self, noisy_BCFHW: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        """prediction_BCFHW of the UNet."""
        return self.unet(noisy_BCFHW, timesteps, encoder_hidden_states=text.embeddings_BLD).sample

    def loss(self, batch: NoisyBatch) -> Tensor:
        """The weighted mean squared error of a batch; half precision on a GPU."""
        device = self.unet.device
        encoder = TextEncoder(
            tokenizer=self.tokenizer,
            network=self.text_encoder,
            length=self.text_encoder.config.max_position_embeddings,
        )
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            text = encoder.encode_ids(encoder.token_ids(batch.texts))
            prediction = self.predict(batch.noisy_BCFHW.to(device), batch.timesteps_B.to(device), text)
        errors_BCFHW = (prediction.float() - batch.target_BCFHW.to(device)).square()
        return (errors_BCFHW * batch.weights_BCFHW.to(device)).mean()

    @torch.no_grad()
    def measure(self, batches: list[NoisyBatch]) -> float:
        """The mean loss over batches."""
        losses = [(float(self.loss(batch)), len(batch.texts)) for batch in batches]
        return sum(loss * count for loss, count in losses) / sum(count for _, count in losses)
