"""What a step draws: a function of seed, step and place alone, whatever rank or micro-batch makes it."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from vmc.diffusion.process import FlowMatching
from vmc.diffusion.sampling import Conditioning
from vmc.diffusion.timesteps import CoarseNoise
from vmc.training.batches import Batch, StepPlan, TrainingBatches, check_batch_size
from vmc.training.regularization import RealRegularization
from vmc.training.subject import Subject
from vmc.utils.errors import VmcError

EXEMPLARS, OTHERS = 3, 20


STILLS, SUBJECT = 5, Subject(source=None, share=0.25)


def plan(seed=0, batch_size=4, mix="paired", ratio="balanced", others=OTHERS, **subject) -> StepPlan:
    return StepPlan(
        seed=seed,
        batch_size=batch_size,
        exemplars=EXEMPLARS,
        exemplar_variants=4,
        others=others,
        regularization=RealRegularization(mix=mix, weight=0.5, ratio=ratio, variants=2),
        timestep_sampler=CoarseNoise(alpha=0.5),
        process=FlowMatching(),
        **subject,
    )


def batches(steps: StepPlan, **parallel) -> TrainingBatches:
    source = torch.Generator().manual_seed(7)
    wanted = steps.wanted(range(10))
    return TrainingBatches(
        plan=steps,
        moments={
            pair: torch.rand(2, 4, 2 if pair[0] < EXEMPLARS + OTHERS else 1, 3, 3, generator=source) for pair in wanted
        },
        texts=[Conditioning(torch.full((1, 5, 6), float(clip))) for clip in range(EXEMPLARS + OTHERS + STILLS)],
        steps=10,
        start=lambda: 0,
        **parallel,
    )


def joined(parts: list[Batch]) -> dict[str, torch.Tensor]:
    """Of the clips that have one shape."""
    names = ("latents_BCFHW", "noise_BCFHW", "times_B", "weights_B", "is_exemplar_B")
    groups = [group for part in parts for group in part.groups if not group.is_still]
    tensors = {name: torch.cat([getattr(group, name) for group in groups]) for name in names}
    seeds = torch.tensor([seed for group in groups for seed in group.objective_seeds_B])
    return tensors | {"text": Conditioning.cat([group.text for group in groups]).embeddings_BLD, "objective": seeds}


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_ranks_and_micro_batches_share_the_same_draws(world, accumulate):
    steps = plan(batch_size=8)
    whole = joined([batches(steps).batch(2, range(8))])
    streams = [iter(batches(steps, rank=rank, world=world, accumulate=accumulate)) for rank in range(world)]
    for _ in range(2 * accumulate):  # steps 0 and 1
        for stream in streams:
            next(stream)
    shares = [next(streams[rank]) for _ in range(accumulate) for rank in range(world)]
    for name, tensor in joined(shares).items():
        assert torch.equal(tensor, whole[name]), name


def test_a_resumed_stream_goes_on_with_the_same_bits():
    steps = plan()
    stream = iter(batches(steps))
    for _ in range(5):
        next(stream)
    resumed = batches(steps)
    object.__setattr__(resumed, "start", lambda: 5)
    undisturbed = joined([next(stream)])
    for name, tensor in joined([next(iter(resumed))]).items():
        assert torch.equal(tensor, undisturbed[name]), name


def test_everything_changes_with_step_and_seed():
    first, *others = (
        batches(plan(seed=seed)).batch(step, range(4)).groups[0] for seed, step in [(0, 0), (0, 1), (1, 0)]
    )
    for other in others:
        assert not torch.equal(first.noise_BCFHW, other.noise_BCFHW)
        assert not torch.equal(first.times_B, other.times_B)
        assert set(first.objective_seeds_B).isdisjoint(other.objective_seeds_B)
    assert len(set(first.objective_seeds_B)) == 8  # of each half of a pair its own


def test_noise_and_posterior_and_the_two_of_a_pair_are_independent():
    steps = plan()
    exemplar, other = steps.draw(3, 1)
    shape = torch.Size([1000])
    draws = [
        steps.noise(item, 3, 1, purpose, shape) for item in (exemplar, other) for purpose in ("noise", "posterior")
    ]
    correlations = torch.corrcoef(torch.stack(draws)) - torch.eye(4)
    assert correlations.abs().max() < 0.15


def test_a_pair_is_an_exemplar_and_a_clip_of_the_weight():
    for step in range(20):
        exemplar, other = plan().draw(step, 0)
        assert (exemplar.is_exemplar, other.is_exemplar) == (True, False)
        assert (exemplar.weight, other.weight) == (1.0, 0.5)
        assert exemplar.clip < EXEMPLARS <= other.clip < EXEMPLARS + OTHERS


def test_pairs_are_drawn_independently():
    """In the release exemplar i always meets the same clips."""
    met = {(plan().draw(step, 0)[0].clip, plan().draw(step, 0)[1].clip) for step in range(400)}
    assert len(met) > 0.9 * EXEMPLARS * OTHERS


@pytest.mark.parametrize(("ratio", "share"), [("balanced", 0.5), ("over_clips", EXEMPLARS / (EXEMPLARS + OTHERS))])
def test_a_union_draws_exemplars_at_its_ratio(ratio, share):
    drawn = [plan(mix="union", ratio=ratio).draw(step, 0) for step in range(2000)]
    assert all(len(items) == 1 and items[0].weight == 1.0 for items in drawn)
    counts = Counter(items[0].is_exemplar for items in drawn)
    assert counts[True] / 2000 == pytest.approx(share, abs=0.035)


def test_without_regularization_every_draw_is_an_exemplar():
    drawn = [item for step in range(50) for item in plan(others=0).draw(step, 0)]
    assert len(drawn) == 50
    assert all(item.is_exemplar for item in drawn)


@pytest.mark.parametrize("start", [0, 500])
def test_stills_take_their_share_from_their_first_step_on_and_leave_the_other_draws_as_they_are(start):
    plain, mixed = plan(), plan(stills=STILLS, subject=replace(SUBJECT, start=start))
    draws = [(plain.draw(step, 0), mixed.draw(step, 0)) for step in range(2000)]
    stills = [drawn for _, (drawn, *_) in draws if drawn.is_still]
    assert len(stills) / (2000 - start) == pytest.approx(0.25, abs=0.03)
    assert not any(drawn.is_still for _, (drawn, *_) in draws[:start])
    assert {drawn.clip for drawn in stills} == set(range(EXEMPLARS + OTHERS, EXEMPLARS + OTHERS + STILLS))
    assert {(drawn.is_exemplar, drawn.weight, drawn.variant) for drawn in stills} == {(False, 1.0, 0)}
    assert all(before == after for before, after in draws if not after[0].is_still)


def test_mirrored_stills_have_variants():
    drawn = [plan(stills=STILLS, subject=replace(SUBJECT, share=1.0, mirror=True)).draw(step, 0) for step in range(50)]
    assert len({item.variant for (item,) in drawn}) > 4


def test_stills_are_a_group_of_their_own():
    steps = plan(stills=STILLS, subject=SUBJECT)
    step = next(step for step in range(50) if len({steps.draw(step, index)[0].is_still for index in range(4)}) == 2)
    batch = batches(steps).batch(step, range(4))
    shapes = {group.is_still: tuple(group.latents_BCFHW.shape[2:]) for group in batch.groups}
    assert shapes == {False: (2, 3, 3), True: (1, 3, 3)}
    assert batch.draws == 4
    sizes = Counter(item.is_still for index in range(4) for item in steps.draw(step, index))
    assert sizes == {group.is_still: len(group.weights_B) for group in batch.groups}


def test_wanted_is_exactly_what_the_steps_read():
    steps = plan()
    read = {(item.clip, item.variant) for step in (3, 4) for index in range(4) for item in steps.draw(step, index)}
    assert set(steps.wanted(range(3, 5))) == read


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(VmcError, match=r"batch_size is 4.*multiple of 3"):
        check_batch_size(4, world=3, accumulate=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"weight": -1.0}, "regularization.weight is -1.0; it must be at least 0"),
        ({"variants": 0}, "regularization.variants is 0; it must be at least 1"),
    ],
)
def test_refusals(arguments, words):
    with pytest.raises(VmcError, match=words):
        RealRegularization(**arguments)
