"""The forward process and both prediction types, against diffusers and by algebra."""

import pytest
import torch
from diffusers import DDIMScheduler

from vmc.diffusion.objective import NoiseSchedule, denoising_loss, weighted_loss
from vmc.errors import VmcError

SHAPE = (3, 4, 2, 5, 5)


def scheduler(prediction_type: str) -> DDIMScheduler:
    return DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type=prediction_type
    )


@pytest.fixture
def drawn():
    source = torch.Generator().manual_seed(0)
    return torch.randn(SHAPE, generator=source), torch.randn(SHAPE, generator=source), torch.tensor([0, 500, 999])


def test_noising_agrees_with_diffusers(drawn):
    latents, noise, timesteps = drawn
    published = scheduler("epsilon")
    ours = NoiseSchedule.of(published).add_noise(latents, noise, timesteps)
    assert torch.allclose(ours, published.add_noise(latents, noise, timesteps), atol=1e-6)


def test_targets_agree_with_diffusers(drawn):
    latents, noise, timesteps = drawn
    published = scheduler("v_prediction")
    assert torch.equal(NoiseSchedule.of(scheduler("epsilon")).target(latents, noise, timesteps), noise)
    assert torch.allclose(
        NoiseSchedule.of(published).target(latents, noise, timesteps),
        published.get_velocity(latents, noise, timesteps),
        atol=1e-6,
    )


def test_a_perfect_v_gives_back_the_latents(drawn):
    latents, noise, timesteps = drawn
    schedule = NoiseSchedule.of(scheduler("v_prediction"))
    signal = schedule.signal_T[timesteps].view(-1, 1, 1, 1, 1)
    noisy, v = schedule.add_noise(latents, noise, timesteps), schedule.target(latents, noise, timesteps)
    assert torch.allclose(signal.sqrt() * noisy - (1 - signal).sqrt() * v, latents, atol=1e-5)


def test_the_pair_weighs_the_regularization_clip():
    losses = denoising_loss(
        torch.zeros(4, 1, 1, 1, 2), torch.tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1, 1, 1).expand(4, 1, 1, 1, 2)
    )
    assert losses.tolist() == [1, 4, 9, 16]
    paired = weighted_loss(losses, torch.tensor([1.0, 0.5, 1.0, 0.5]), draws=2)
    assert paired.item() == pytest.approx((1 + 9) / 2 + 0.5 * (4 + 16) / 2)


def test_an_unknown_prediction_type_is_refused():
    with pytest.raises(VmcError, match="'sample'"):
        NoiseSchedule.of(scheduler("sample"))
