"""The tilted density: its closed form, the draws, and what is refused."""

import math

import pytest
import torch
from scipy import stats

from vmc.diffusion.timesteps import CoarseNoise, Uniform, coarse_noise_density

T = 1000


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_mean_is_the_closed_form(alpha):
    """E[t / T] = 1/2 + 2 alpha / pi^2, from integrating the density by parts."""
    mean = (coarse_noise_density(T, alpha=alpha) * torch.arange(T)).sum() / T
    assert mean.item() == pytest.approx(0.5 + 2 * alpha / math.pi**2, abs=1e-3)


@pytest.mark.parametrize("sampler", [CoarseNoise(alpha=0.5), Uniform()])
def test_draws_follow_the_density(sampler):
    drawn = sampler.sample(100_000, timesteps=T, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn // 50, minlength=20)
    expected = sampler.density(T).view(20, 50).sum(1) * len(drawn)
    assert stats.chisquare(counts.numpy(), expected.numpy()).pvalue > 1e-3


def test_uniform_is_flat():
    assert torch.allclose(Uniform().density(T), torch.full((T,), 1 / T, dtype=torch.float64))


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_a_skew_outside_its_range_is_refused_by_name(alpha):
    with pytest.raises(ValueError, match=r"timesteps\.alpha"):
        CoarseNoise(alpha=alpha)
