"""Sheets to look at while a pretraining goes on.

Axes: B videos, C colours, F frames, H and W pixels.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler
from einops import rearrange

from vmc.diffusion.sampling import Conditioning, Sampler
from vmc.mini.makers import blank
from vmc.mini.makers.pretraining.clips import FRAMES, SIZE, WINDOWS, Clips, caption_of
from vmc.mini.makers.pretraining.denoiser import Denoiser
from vmc.mini.world.captions import gesture_caption
from vmc.models.latent_diffusion import ImageAutoencoder
from vmc.models.text import POSITIONS, TextEncoder
from vmc.runs.contact_sheet import contact_sheet
from vmc.utils.randomness import initial_noise

SUBJECTS = {
    "a person": "Swiping Left",
    "a woman with long blond hair in a red dress": "Thumb Up",
    "an old man with a beard in a white shirt": "Pushing Hand Away",
    "a clown": "Turning Hand Clockwise",
    "a nurse": "Zooming In With Full Hand",
    "a boy with a yellow cap": "Swiping Up",
    "a robot": "Stop Sign",
    "a man in a blue hoodie": "Pulling Two Fingers In",
}
PROMPTS = tuple(gesture_caption(gesture, subject) for subject, gesture in SUBJECTS.items())
SAMPLER = Sampler(steps=12, guidance=4.0)


def sheet_of_prompts(path: Path, denoiser: Denoiser, vae: AutoencoderKL) -> None:
    """Videos of `PROMPTS`, always from the same noise."""
    encoder = TextEncoder(tokenizer=denoiser.tokenizer, network=denoiser.text_encoder, length=POSITIONS)
    device = denoiser.unet.device
    scheduler = blank.scheduler()
    solver = DPMSolverMultistepScheduler.from_config(scheduler.config, algorithm_type="dpmsolver++", solver_order=2)
    shape = (denoiser.unet.config.in_channels, FRAMES, SIZE // 8, SIZE // 8)
    latents_BCFHW = SAMPLER(
        denoiser.predict,
        solver,
        noise_BCFHW=initial_noise(range(len(PROMPTS)), shape).to(device),
        text=Conditioning.cat([encoder(prompt) for prompt in PROMPTS]).to(device),
        empty=encoder("").to(device),
    )
    contact_sheet(path, list(ImageAutoencoder(vae).decode(latents_BCFHW)), PROMPTS)


@torch.no_grad()
def sheet_of_reconstructions(path: Path, vae: AutoencoderKL, clips: Clips, count: int = 4) -> None:
    """Windows never trained on, each above what the autoencoder makes of it."""
    rows, captions = [], []
    for clip in range(min(count, clips.count)):
        frames_FCHW = rearrange(torch.from_numpy(clips.frames([clip * WINDOWS])[0]), "f h w c -> f c h w")
        pixels_FCHW = frames_FCHW.to(vae.device).float() / 127.5 - 1
        means_FCHW = vae.encode(pixels_FCHW).latent_dist.mean * vae.config.scaling_factor
        rows += [frames_FCHW, ImageAutoencoder(vae).decode(rearrange(means_FCHW, "f c h w -> 1 c f h w"))[0]]
        captions += [caption_of(clips.number(clip * WINDOWS), 0), "after the autoencoder"]
    contact_sheet(path, rows, captions)
