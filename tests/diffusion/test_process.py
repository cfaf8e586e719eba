"""Noise processes: against diffusers' schedulers, by algebra, and to the bit."""

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from vmc.diffusion.process import FlowMatching, NoiseProcess, VariancePreserving
from vmc.utils.errors import VmcError

SHAPE = (3, 4, 2, 5, 5)
TIMES = torch.tensor([0, 500, 999])  # of 1000


def scheduler(prediction_type: str) -> DDIMScheduler:
    return DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type=prediction_type
    )


def variance_preserving(prediction_type: str = "epsilon") -> VariancePreserving:
    return VariancePreserving(
        signal_T=scheduler(prediction_type).alphas_cumprod.float(), prediction_type=prediction_type
    )


PROCESSES = {
    "epsilon": variance_preserving(),
    "v_prediction": variance_preserving("v_prediction"),
    "flow": FlowMatching(),
}


@pytest.fixture
def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    """Latents and noise."""
    source = torch.Generator().manual_seed(0)
    return torch.randn(SHAPE, generator=source), torch.randn(SHAPE, generator=source)


def test_noise_is_added_as_diffusers_adds_it(drawn):
    ours = variance_preserving().add_noise(*drawn, TIMES.double() / 1000)
    assert torch.allclose(ours, scheduler("epsilon").add_noise(*drawn, TIMES), atol=1e-6)


def test_v_is_the_velocity_of_diffusers(drawn):
    ours = variance_preserving("v_prediction").target(*drawn, TIMES.double() / 1000)
    assert torch.allclose(ours, scheduler("v_prediction").get_velocity(*drawn, TIMES), atol=1e-6)
    assert torch.equal(variance_preserving().target(*drawn, TIMES.double() / 1000), drawn[1])


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_flow_is_that_of_diffusers_at_every_time_of_its_scheduler(drawn, shift):
    published, process = FlowMatchEulerDiscreteScheduler(shift=shift), FlowMatching(shift=shift)
    published.set_timesteps(10)
    for timestep, sigma in zip(published.timesteps, published.sigmas, strict=False):
        times_B = sigma.expand(3)
        assert torch.allclose(process.timesteps(times_B), timestep.expand(3))
        expected = published.scale_noise(drawn[0], timestep.expand(3), drawn[1])
        assert torch.allclose(process.add_noise(*drawn, times_B), expected, atol=1e-6)


def test_a_step_of_the_flows_solver_to_time_0_is_the_clean_estimate(drawn):
    published, process = FlowMatchEulerDiscreteScheduler(), FlowMatching()
    published.set_timesteps(1)
    time, noisy = published.sigmas[:1].expand(3), process.add_noise(*drawn, published.sigmas[:1].expand(3))
    prediction = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    expected = published.step(prediction, published.timesteps[0], noisy).prev_sample
    assert torch.allclose(process.clean_estimate(prediction, noisy, time), expected, atol=1e-6)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_the_right_prediction_gives_back_the_latents(process, drawn):
    latents, noise = drawn
    times_B = process.times[torch.tensor([0, 500, 998])]
    noisy, target = process.add_noise(latents, noise, times_B), process.target(latents, noise, times_B)
    assert not torch.allclose(noisy, latents, atol=1e-2)
    assert torch.allclose(process.clean_estimate(target, noisy, times_B), latents, atol=1e-4)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_times_lie_in_0_to_1_and_each_has_the_timestep_that_the_network_was_trained_with(process):
    times, count = process.times, torch.arange(1000)
    assert times.dtype == torch.float64 and times.diff().min() > 0 and times[0] >= 0 and times[-1] <= 1
    if isinstance(process, FlowMatching):
        assert torch.equal(process.timesteps(times), (count + 1).float())
    else:
        assert torch.equal(process.timesteps(times), count)


def test_noise_is_added_to_the_bit_by_the_formula_on_whole_timesteps(drawn):
    """sqrt(a_t) x_0 + sqrt(1 - a_t) noise, a_t looked up by the timestep."""
    process, (latents, noise) = variance_preserving(), drawn
    for timestep in range(0, 1000, 37):
        signal = process.signal_T[torch.tensor([timestep] * 3)].view(-1, 1, 1, 1, 1)
        expected = signal.sqrt() * latents + (1 - signal).sqrt() * noise
        assert torch.equal(process.add_noise(latents, noise, process.times[[timestep] * 3]), expected)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_half_precision_stays(process: NoiseProcess, drawn):
    latents, noise = (part.bfloat16() for part in drawn)
    times_B = process.times[[10, 500, 990]]
    noisy = process.add_noise(latents, noise, times_B)
    assert {noisy.dtype, process.clean_estimate(noise, noisy, times_B).dtype} == {torch.bfloat16}


def test_an_unknown_prediction_type_is_refused():
    with pytest.raises(VmcError, match="'sample'"):
        variance_preserving("sample")


@pytest.mark.parametrize("wrong", [{"shift": 0.0}, {"shift": -1.0}, {"grid": 0}])
def test_a_flow_without_times_or_of_no_shift_is_refused(wrong):
    with pytest.raises(VmcError, match=next(iter(wrong))):
        FlowMatching(**wrong)


def test_a_process_without_a_solver_says_so():
    with pytest.raises(VmcError, match="make_solver"):
        FlowMatching().solver()
