"""Objectives: their formulas, what they draw, and what is refused of what they return."""

import pytest
import torch
from torch.nn.functional import mse_loss

from vmc.diffusion.objective import AppearanceDebiased, Context, Denoising, clip_losses, denoising_loss
from vmc.diffusion.process import FlowMatching
from vmc.training.module import weighted_loss
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator

SHAPE = (3, 4, 5, 2, 2)
PROCESS = FlowMatching()


def context(*seeds: int) -> Context:
    latents = torch.zeros(len(seeds), *SHAPE[1:])
    return Context(
        process=PROCESS,
        latents_BCFHW=latents,
        noisy_BCFHW=latents,
        times_B=torch.full((len(seeds),), 0.5, dtype=torch.float64),
        generators_B=[generator(seed) for seed in seeds],
    )


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """A prediction and a target."""
    return torch.randn(SHAPE, generator=generator(1)), torch.randn(SHAPE, generator=generator(2))


def test_the_pair_weighs_the_regularization_clip():
    losses = denoising_loss(
        torch.zeros(4, 1, 1, 1, 2), torch.tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1, 1, 1).expand(4, 1, 1, 1, 2)
    )
    assert losses.tolist() == [1, 4, 9, 16]
    paired = weighted_loss(losses, torch.tensor([1.0, 0.5, 1.0, 0.5]), draws=2)
    assert paired.item() == pytest.approx((1 + 9) / 2 + 0.5 * (4 + 16) / 2)


def test_denoising_is_the_squared_error_of_each_clip_to_the_bit(pair):
    expected = (pair[0] - pair[1]).square().flatten(1).mean(1)
    assert torch.equal(Denoising()(*pair, context(0, 1, 2)), expected)


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_appearance_is_taken_off_by_motion_directors_formula(pair, beta):
    losses = AppearanceDebiased(beta=beta)(*pair, context(0, 1, 2))
    assert torch.equal(losses["denoising"], denoising_loss(*pair))
    for clip in range(3):
        anchor = int(torch.randint(5, (), generator=generator(clip)))
        phi = [(beta**2 + 1) ** 0.5 * x[clip] - beta * x[clip, :, anchor : anchor + 1] for x in pair]
        assert losses["appearance_debiased"][clip].item() == pytest.approx(mse_loss(*phi).item(), rel=1e-5)


def test_what_all_frames_share_counts_little(pair):
    """An error that is the same in every frame keeps (sqrt(2) - 1)^2 of its square; one that moves keeps more."""
    target = pair[1]
    shared = AppearanceDebiased()(target + 1, target, context(0, 1, 2))["appearance_debiased"]
    assert shared.tolist() == pytest.approx([(2**0.5 - 1) ** 2] * 3, rel=1e-4)
    moving = target + torch.tensor([-1.0, 1.0, -1.0, 1.0, -1.0]).view(1, 1, 5, 1, 1)
    assert (AppearanceDebiased()(moving, target, context(0, 1, 2))["appearance_debiased"] > 5 * shared).all()


def test_a_clips_anchor_is_its_own_whatever_batch_it_is_in(pair):
    whole = AppearanceDebiased()(*pair, context(7, 8, 9))["appearance_debiased"]
    alone = [AppearanceDebiased()(*(x[i : i + 1] for x in pair), context(7 + i)) for i in range(3)]
    assert torch.equal(whole, torch.cat([one["appearance_debiased"] for one in alone]))
    others = [AppearanceDebiased()(*pair, context(*[seed] * 3))["appearance_debiased"] for seed in range(20)]
    assert len({tuple(losses.tolist()) for losses in others}) == 5  # every frame comes to be the anchor


def test_a_clip_of_one_frame_is_refused_by_the_objective_that_compares_frames():
    with pytest.raises(
        VmcError, match=r"appearance_debiased, .* has 1; give more data\.frames, or objective=denoising"
    ):
        AppearanceDebiased().check(frames=1, process=PROCESS)
    AppearanceDebiased().check(frames=2, process=PROCESS)
    Denoising().check(frames=1, process=PROCESS)


@pytest.mark.parametrize("beta", [0.0, -1.0, float("nan")])
def test_a_beta_that_takes_nothing_off_is_refused(beta):
    with pytest.raises(VmcError, match=r"objective\.beta is"):
        AppearanceDebiased(beta=beta)


def test_named_losses_sum_to_the_loss_of_a_clip():
    parts = {"one": torch.tensor([1.0, 2.0]), "other": torch.tensor([10.0, 20.0])}
    losses_B, named = clip_losses(parts, clips=2)
    assert losses_B.tolist() == [11, 22] and named == parts
    assert clip_losses(parts["one"], clips=2) == (parts["one"], {})


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ({"subject": torch.zeros(2)}, r"a loss named 'subject'"),
        ({"motion": torch.zeros(2)}, r"a loss named 'motion'; .* none of motion, regularization, subject"),
        ({"My Loss": torch.zeros(2)}, r"a loss named 'My Loss'; give it a name of a-z, 0-9 and _"),
        ({"a": torch.zeros(())}, r"losses of shape \(\); it must return one of each clip, \(2,\)"),
        (torch.zeros(3), r"losses of shape \(3,\)"),
        ({}, r"losses of shape none"),
    ],
)
def test_losses_that_cannot_be_logged_or_summed_are_refused(losses, said):
    with pytest.raises(VmcError, match=said):
        clip_losses(losses, clips=2)
