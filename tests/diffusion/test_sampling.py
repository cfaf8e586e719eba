"""Sampling: one prompt with one seed is one video, in any batch and in diffusers' own pipeline."""

import math
from functools import partial

import pytest
import torch
from diffusers import (
    DDIMInverseScheduler,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    TextToVideoSDPipeline,
)

from vmc.diffusion.process import noise_levels
from vmc.diffusion.sampling import Conditioning, InvertedSampler, Sampler, sample_posterior
from vmc.models.latent_diffusion import forward_process
from vmc.models.token import MotionToken
from vmc.utils.errors import VmcError
from vmc.utils.randomness import initial_noise

PROMPTS = ["A woman doing the sks sign.", "a man", "a red hat"]
SEEDS = [3, 4, 5]
SHAPE = (4, 8, 8, 8)
STEPS = 2


@pytest.fixture(scope="module")
def parts(base):
    return base.denoiser(), base.autoencoder(), base.text_encoder(MotionToken())


def sample(base, parts, indices, *, guidance=4.0):
    unet, _, encode = parts
    return Sampler(steps=STEPS, guidance=guidance)(
        partial(base.predict, unet),
        base.process.solver(),
        noise_BCFHW=initial_noise([SEEDS[index] for index in indices], SHAPE),
        text=Conditioning.cat([encode(PROMPTS[index]) for index in indices]),
        empty=encode(""),
    )


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_a_video_does_not_depend_on_its_batch(base, parts, guidance):
    together = sample(base, parts, [0, 1, 2], guidance=guidance)
    for index in (0, 2):
        assert torch.allclose(together[index], sample(base, parts, [index], guidance=guidance)[0], atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


def test_guidance_within_an_interval_of_noise_levels(base, parts):
    """Only the steps within see the empty prompt, and the others cost half; their predictions are the prompted ones."""
    unet, _, encode = parts
    (solver := base.process.solver()).set_timesteps(4)
    levels = noise_levels(solver)
    signal_S = solver.alphas_cumprod[solver.timesteps]
    torch.testing.assert_close(torch.tensor(levels), ((1 - signal_S) / signal_S).sqrt(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(torch.tensor(levels), solver.sigmas[:4], rtol=1e-3, atol=1e-4)
    assert levels == sorted(levels, reverse=True)

    def drawn(interval, guidance=4.0):
        sizes = []

        def predict(noisy_BCFHW, timestep, text):
            sizes.append(len(noisy_BCFHW))
            return base.predict(unet, noisy_BCFHW, timestep, text)

        latents_BCFHW = Sampler(steps=4, guidance=guidance, guidance_interval=interval)(
            predict,
            base.process.solver(),
            noise_BCFHW=initial_noise([3], SHAPE),
            text=encode(PROMPTS[0]),
            empty=encode(""),
        )
        return latents_BCFHW, sizes

    some, sizes = drawn([levels[2], levels[1]])
    assert sizes == [1, 2, 1, 1]  # low < level <= high
    everywhere, all_sizes = drawn([0, levels[0]])
    assert all_sizes == [2] * 4 and torch.equal(everywhere, drawn(None)[0])
    assert not torch.allclose(some, everywhere, atol=1e-3) and not torch.allclose(some, drawn(None, 1.0)[0], atol=1e-3)
    with pytest.raises(VmcError, match=r"guidance_interval is \[1000\.0, 2000\.0\], in which none of the 4 steps lies"):
        drawn([1000.0, 2000.0])


def test_noise_levels_of_flow_matching():
    (solver := FlowMatchEulerDiscreteScheduler()).set_timesteps(4)
    times_S = solver.sigmas[:4].double()
    assert noise_levels(solver)[1:] == (times_S / (1 - times_S)).tolist()[1:] and noise_levels(solver)[0] == math.inf


def test_a_setting_that_is_none_leaves_no_trace():
    """Files and protocols of earlier versions know nothing of it."""
    assert repr(Sampler(steps=2, guidance=4.0)) == "Sampler(steps=2, guidance=4.0)"
    limited = Sampler(steps=2, guidance=4.0, guidance_interval=[0.3, 5.4])
    assert repr(limited) == "Sampler(steps=2, guidance=4.0, guidance_interval=(0.3, 5.4))"
    assert Sampler(steps=2, guidance=4.0).describe() == {"steps": 2, "guidance": 4.0}
    assert repr(InvertedSampler(steps=2, guidance=1.0)) == "InvertedSampler(steps=2, guidance=1.0)"


def test_guidance_moves_the_sample(base, parts):
    assert not torch.allclose(sample(base, parts, [0], guidance=1.0), sample(base, parts, [0], guidance=9.0), atol=1e-3)


def test_it_is_what_the_published_pipeline_does(base, parts):
    pipeline = TextToVideoSDPipeline.from_pretrained(base.path)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="dpmsolver++"
    )
    pipeline.set_progress_bar_config(disable=True)
    frames = pipeline(
        PROMPTS[0],
        num_frames=8,
        height=64,
        width=64,
        num_inference_steps=STEPS,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(SEEDS[0]),
        output_type="pt",
    ).frames
    ours = parts[1].decode(sample(base, parts, [0]))
    assert (frames[0] * 255 - ours[0].float()).abs().max() <= 1


def test_moments_are_the_autoencoders_posterior(base, parts):
    frames = torch.randint(0, 256, (18, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    moments = parts[1].encode(frames)  # in two chunks
    assert moments.shape == (2, 4, 18, 8, 8)
    vae = parts[1].module
    posterior = vae.encode(frames / 127.5 - 1).latent_dist
    noise = torch.randn(moments[0].shape, generator=torch.Generator().manual_seed(1))
    expected = (posterior.mean + posterior.std * noise.permute(1, 0, 2, 3)) * vae.config.scaling_factor
    assert torch.allclose(sample_posterior(moments, noise), expected.permute(1, 0, 2, 3), atol=1e-5)


def test_what_is_not_a_number_decodes_to_black(base, parts):
    assert parts[1].decode(torch.full((1, *SHAPE), float("nan"))).max() == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": 0}, "sampler.steps"),
        ({"guidance": 0.5}, "sampler.guidance"),
        ({"guidance_interval": (5.4, 0.3)}, r"sampler.guidance_interval is \[5.4, 0.3\]; it must be two .* in order"),
        ({"guidance_interval": (-1, 0.3)}, r"sampler.guidance_interval is \[-1, 0.3\]; it must be .* from 0 on"),
        ({"guidance_interval": (1.0,)}, r"sampler.guidance_interval is \[1.0\]; it must be two"),
    ],
)
def test_refusals(arguments, words):
    with pytest.raises(VmcError, match=words):
        Sampler(**arguments)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_what_is_inverted_comes_back_exactly_where_the_noise_depends_on_the_time_alone(base, prediction_type):
    schedule = {**base.config("scheduler"), "prediction_type": prediction_type}
    process = forward_process(
        DDIMScheduler.from_config(schedule),
        make_inverse=lambda: DDIMInverseScheduler.from_config(schedule, prediction_type="epsilon"),
    )
    latents, direction = (torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))

    def predict(noisy, timestep, text):
        noise, signal = direction * (1 + timestep / 1000), process.signal_T[timestep]
        # v = sqrt(a) noise - sqrt(1 - a) x_0, with the x_0 that x_t and the noise imply
        return noise if prediction_type == "epsilon" else (noise - (1 - signal).sqrt() * noisy) / signal.sqrt()

    sampler, text = InvertedSampler(steps=50, guidance=1.0), Conditioning(torch.zeros(2, 1, 1))
    inverted = sampler.invert(predict, process, latents_BCFHW=latents, text=text)
    assert (inverted - latents).abs().mean() > 0.5
    back = sampler(predict, DDIMScheduler.from_config(schedule), noise_BCFHW=inverted, text=text, empty=text)
    assert torch.allclose(back, latents, atol=1e-3)
