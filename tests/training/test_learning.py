"""Three hundred steps on ten rendered clips: the model learns them."""

import pytest
import torch

from vmc.data.jester import Jester
from vmc.data.motion import MotionData
from vmc.diffusion.objective import NoiseSchedule, denoising_loss
from vmc.diffusion.sampling import posterior_moments
from vmc.models.text import TextEncoder
from vmc.models.token import MotionToken
from vmc.mini.jester_folder import write
from vmc.runs.folder import newest_weights
from vmc.training.delta import Delta

TIMESTEPS = torch.tensor([100, 300, 500, 700, 900])


@torch.no_grad()
def fixed_loss(base, unet, text_LD, clips) -> float:
    """The loss at fixed noise and timesteps, on windows of the clips themselves."""
    vae, schedule = base.vae(), NoiseSchedule.of(base.scheduler())
    data = MotionData(source=Jester(None), frames=8, fps=3.0, size=64, start="centre")
    transform = data.transform(augmented=False, mirror=False)
    losses = []
    for number, clip in enumerate(clips):
        latents = posterior_moments(vae, transform(clip.path, variant=0))[:1].expand(len(TIMESTEPS), -1, -1, -1, -1)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(number))
        noisy = schedule.add_noise(latents, noise, TIMESTEPS)
        prediction = unet(noisy, TIMESTEPS, encoder_hidden_states=text_LD.expand(len(TIMESTEPS), -1, -1)).sample
        losses.append(denoising_loss(prediction, schedule.target(latents, noise, TIMESTEPS)))
    return torch.cat(losses).mean().item()


@pytest.mark.slow
def test_the_loss_of_the_exemplars_falls(train, base, tmp_path):
    folder = tmp_path / "jester"
    write(folder, per_class=10, classes=["Swiping Down"], train_per_class=0, test_clips=0, workers=1)
    caption = "motion.caption=a person doing the {token} sign"
    run = train(
        "data=mini", f"data.path={folder}", "data.fps=3", "data.variants=8", "motion=swiping_down", caption, "steps=300"
    )
    clips = Jester(folder, exemplars=10).exemplars(label="Swiping Down", caption="{token}", seed=0)
    text_LD = base.text_encoder(MotionToken())("a person doing the sks sign")
    blank, tuned = base.denoiser(), base.denoiser()
    Delta.load(newest_weights(run.path)).apply(tuned)
    before, after = fixed_loss(base, blank, text_LD, clips), fixed_loss(base, tuned, text_LD, clips)
    print(f"fixed loss: {before:.4f} before, {after:.4f} after")
    assert after < 0.25 * before
