"""Densities over time: their closed forms, the draws, and what is refused."""

import math

import pytest
import torch
from scipy import stats

from vmc.diffusion.process import FlowMatching, VariancePreserving
from vmc.diffusion.timesteps import CoarseNoise, LogitNormal, Shifted, TimeRange, Uniform
from vmc.utils.errors import VmcError

T = 1000
PROCESS = VariancePreserving(signal_T=torch.linspace(0.99, 0.01, T), prediction_type="epsilon")
SAMPLERS = [
    *(CoarseNoise(alpha=0.5), Uniform(), TimeRange(low=0.875), TimeRange(low=0.25, high=0.5)),
    *(LogitNormal(), LogitNormal(mean=0.8, std=0.6), Shifted(shift=3.0), Shifted(shift=0.5)),
]


def mean_of(sampler, process=PROCESS) -> float:
    return (sampler.probabilities(process.times) * process.times).sum().item()


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_mean_of_coarse_noise_is_the_closed_form(alpha):
    """E[t] = 1/2 + 2 alpha / pi^2, from integrating the density by parts."""
    assert mean_of(CoarseNoise(alpha=alpha)) == pytest.approx(0.5 + 2 * alpha / math.pi**2, abs=1e-3)


def former_draw(alpha: float, count: int, generator: torch.Generator) -> torch.Tensor:
    """Timesteps by f(t) = 1 - alpha cos(pi t / T) over t = 0..T-1; uniform ones are those of alpha = 0."""
    phase_T = math.pi * torch.arange(T, dtype=torch.float64) / T
    density_T = 1 - alpha * phase_T.cos()
    return torch.multinomial(density_T / density_T.sum(), count, replacement=True, generator=generator)


@pytest.mark.parametrize(("sampler", "alpha"), [(CoarseNoise(alpha=0.5), 0.5), (CoarseNoise(), 0.5), (Uniform(), 0.0)])
def test_draws_are_the_timesteps_of_the_formula_over_whole_timesteps(sampler, alpha):
    for seed in range(2000):
        drawn = sampler.sample(2, process=PROCESS, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(PROCESS.timesteps(drawn), former_draw(alpha, 2, torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("process", [PROCESS, FlowMatching()], ids=["variance_preserving", "flow"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_draws_follow_the_density_on_every_process(sampler, process):
    drawn = sampler.sample(100_000, process=process, generator=torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.float64 and torch.isin(drawn, process.times).all()
    place = (torch.searchsorted(process.times, drawn) // 50).bincount(minlength=20)
    expected = sampler.probabilities(process.times).view(20, 50).sum(1) * len(drawn)
    assert place[expected == 0].sum() == 0
    some = expected > 5
    expected = expected[some] * place[some].sum() / expected[some].sum()
    assert stats.chisquare(place[some].numpy(), expected.numpy()).pvalue > 1e-3


def test_uniform_is_flat():
    assert torch.allclose(Uniform().probabilities(PROCESS.times), torch.full((T,), 1 / T, dtype=torch.float64))


def test_a_range_holds_both_of_its_ends():
    """Wan 2.2's network for high noise owns [0.875, 1]."""
    density_T = TimeRange(low=0.875, high=0.9).density(PROCESS.times)
    assert PROCESS.times[density_T > 0].tolist() == [number / T for number in range(875, 901)]
    assert TimeRange(low=0.875).density(FlowMatching().times)[-1] == 1


def test_logit_normal_is_the_density_of_a_squashed_normal_value():
    normal = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    squashed = (0.6 * normal + 0.8).sigmoid()
    sampler = LogitNormal(mean=0.8, std=0.6)
    assert mean_of(sampler) == pytest.approx(squashed.mean().item(), abs=1e-3)
    below = sampler.probabilities(PROCESS.times)[:700].sum().item()
    assert below == pytest.approx((squashed < 0.7).double().mean().item(), abs=3e-3)
    assert sampler.density(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist() == [0, 0]


def test_shifted_is_the_density_of_shifted_uniform_values():
    uniform = torch.rand(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shifted = 3 * uniform / (1 + 2 * uniform)
    assert mean_of(Shifted(shift=3.0)) == pytest.approx(shifted.mean().item(), abs=2e-3)
    assert torch.allclose(Shifted(shift=1.0).density(PROCESS.times), torch.ones(T, dtype=torch.float64))


def test_a_shifted_logit_normal_is_one_of_another_mean():
    """logit(s t / (1 + (s - 1) t)) = logit(t) + log(s), as the docstring says."""
    time = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    assert torch.allclose((3 * time / (1 + 2 * time)).logit(), time.logit() + math.log(3))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        *((lambda a=a: CoarseNoise(alpha=a), r"timesteps\.alpha is") for a in (-0.1, 1.1, math.nan)),
        *(
            (lambda low=low, high=high: TimeRange(low=low, high=high), r"timesteps\.low is .* and timesteps\.high")
            for low, high in ((0.6, 0.5), (-0.1, 0.5), (0.5, 1.1), (math.nan, 1.0))
        ),
        *((lambda std=std: LogitNormal(std=std), r"timesteps\.std is") for std in (0.0, -1.0, math.inf, math.nan)),
        (lambda: LogitNormal(mean=math.inf), r"timesteps\.mean is inf"),
        *((lambda s=s: Shifted(shift=s), r"timesteps\.shift is") for s in (0.0, -1.0, math.nan)),
    ],
)
def test_settings_outside_their_range_are_refused_by_name(make, said):
    with pytest.raises(VmcError, match=said):
        make()


def test_a_range_without_a_time_of_the_process_is_refused():
    with pytest.raises(VmcError, match=r"TimeRange\(low=0\.0001, high=0\.0002\).*none of the process's 1000 times"):
        TimeRange(low=0.0001, high=0.0002).probabilities(PROCESS.times)
