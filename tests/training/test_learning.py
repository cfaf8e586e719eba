"""Three hundred steps on ten rendered clips: the model learns them."""

import pytest
import torch

from vmc.data.jester import Jester
from vmc.data.motion import MotionData
from vmc.diffusion.objective import denoising_loss
from vmc.mini.world.jester_folder import write
from vmc.models.token import MotionToken
from vmc.runs.folder import newest_weights
from vmc.training.tuned_weights import Delta

TIMES = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)


@torch.no_grad()
def fixed_loss(base, denoiser, text, clips) -> float:
    """The loss at fixed noise and times, on windows of the clips themselves."""
    autoencoder, process = base.autoencoder(), base.process
    data = MotionData(source=Jester(None), frames=8, fps=3.0, size=64, start="centre")
    transform = data.transform(augmented=False, mirror=False)
    losses = []
    for number, clip in enumerate(clips):
        latents = autoencoder.encode(transform(clip.path, variant=0))[:1].expand(len(TIMES), -1, -1, -1, -1)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(number))
        noisy = process.add_noise(latents, noise, TIMES)
        prediction = base.predict(denoiser, noisy, process.timesteps(TIMES), text.repeated(len(TIMES)))
        losses.append(denoising_loss(prediction, process.target(latents, noise, TIMES)))
    return torch.cat(losses).mean().item()


@pytest.mark.slow
def test_the_loss_of_the_exemplars_falls(train, base, tmp_path):
    folder = tmp_path / "jester"
    write(folder, per_class=10, classes=["Swiping Down"], train_per_class=0, test_clips=0, workers=1)
    caption = "motion.caption=a person doing the {token} sign"
    run = train(
        "data=mini", f"data.path={folder}", "data.fps=3", "data.variants=8", "motion=swiping_down", caption, "steps=80"
    )
    clips = Jester(folder, exemplars=10).exemplars(label="Swiping Down", caption="{token}", seed=0)
    text = base.text_encoder(MotionToken())("a person doing the sks sign")
    blank, tuned = base.denoiser(), base.denoiser()
    Delta.load(newest_weights(run.path)).apply(base, tuned)
    before, after = fixed_loss(base, blank, text, clips), fixed_loss(base, tuned, text, clips)
    print(f"fixed loss: {before:.4f} before, {after:.4f} after")
    assert after < 0.5 * before
