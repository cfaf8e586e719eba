"""From clips to training batches: which clips a step draws, and the latents, noise, times and texts of each.

Axes: B clips of a batch, M = 2 posterior moments, C latent channels, F frames, H and W of the latent, L text positions.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from vmc.diffusion.process import NoiseProcess
from vmc.diffusion.sampling import Conditioning, sample_posterior
from vmc.diffusion.timesteps import TimestepSampler
from vmc.training.regularization import Regularization
from vmc.training.subject import NoSubject, Subject
from vmc.utils.errors import VmcError
from vmc.utils.randomness import derive_seed, generator


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One clip that a step draws."""

    clip: int  # index among the run's clips
    variant: int
    weight: float = 1.0  # of its loss
    is_exemplar: bool = False
    slot: str  # purpose in the random draws, which differs between the two clips of a pair
    is_still: bool = False  # of a subject


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """What each step of a run draws: a pure function of the seed, the step and the index in the batch.

    A run's clips are in the order exemplars, regularization clips, stills.

    Args:
        seed: seed of the run.
        batch_size: draws per step, over all ranks and accumulated micro-batches.
        exemplars, exemplar_variants: number of exemplars, and of variants of each.
        others: number of regularization clips.
        regularization: how a step mixes exemplars and regularization clips.
        timestep_sampler: draws the diffusion times.
        process: the model's noise process.
        stills: number of stills of a subject.
        subject: which share of the draws takes a still, and from which step on.
    """

    seed: int
    batch_size: int
    exemplars: int
    exemplar_variants: int
    others: int
    regularization: Regularization
    timestep_sampler: TimestepSampler
    process: NoiseProcess
    stills: int = 0
    subject: Subject | NoSubject = field(default_factory=NoSubject)

    def draw(self, step: int, index: int) -> Sequence[Drawn]:
        """The clips of the draw at `index` in the global batch: one, or a pair."""
        place, mixing = (self.seed, step, index), self.regularization
        # A still, or else clips of the motion with their regularization (paper, Sec. 3.2).
        if isinstance(self.subject, Subject) and self.stills:
            drawn = torch.rand((), generator=generator(*place, "subject or motion")).item()
            if self.subject.takes(step, drawn):
                clip, variant = _clip_and_variant(self.stills, self.subject.versions, *place, "subject")
                first = self.exemplars + self.others
                return (Drawn(clip=first + clip, variant=variant, slot="subject", is_still=True),)
        if not self.others:
            return (self._exemplar(*place),)
        if mixing.mix == "paired":
            return self._exemplar(*place), self._regularizer(*place, weight=mixing.weight)
        share = self.exemplars / (self.exemplars + self.others) if mixing.ratio == "over_clips" else 0.5
        is_exemplar = torch.rand((), generator=generator(*place, "set")).item() < share
        return (self._exemplar(*place) if is_exemplar else self._regularizer(*place, weight=1.0),)

    def _exemplar(self, *place: int) -> Drawn:
        clip, variant = _clip_and_variant(self.exemplars, self.exemplar_variants, *place, "motion")
        return Drawn(clip=clip, variant=variant, is_exemplar=True, slot="motion")

    def _regularizer(self, *place: int, weight: float) -> Drawn:
        clip, variant = _clip_and_variant(self.others, self.regularization.variants, *place, "regularization")
        return Drawn(clip=self.exemplars + clip, variant=variant, weight=weight, slot="regularization")

    def wanted(self, steps: range) -> list[tuple[int, int]]:
        """Every (clip, variant) that these steps draw, sorted; no other needs to be encoded."""
        drawn = (item for step in steps for index in range(self.batch_size) for item in self.draw(step, index))
        return sorted({(item.clip, item.variant) for item in drawn})

    def noise(self, item: Drawn, step: int, index: int, purpose: str, shape: torch.Size) -> Tensor:
        """Standard normal values for a drawn clip."""
        return torch.randn(shape, generator=generator(self.seed, step, index, item.slot, purpose))

    def time(self, item: Drawn, step: int, index: int) -> Tensor:
        """time_B of a drawn clip, B = 1; the two clips of a pair have independent times."""
        source = generator(self.seed, step, index, item.slot, "timestep")
        return self.timestep_sampler.sample(1, process=self.process, generator=source)


def _clip_and_variant(clips: int, variants: int, *place: int | str) -> tuple[int, int]:
    """Draw a clip and a variant of it, each with a generator of its own."""
    clip = torch.randint(clips, (), generator=generator(*place, "clip"))
    return int(clip), int(torch.randint(variants, (), generator=generator(*place, "variant")))


@dataclass(frozen=True)
class ClipGroup:
    """Clips of one latent shape, which pass through the denoiser together."""

    latents_BCFHW: Tensor
    noise_BCFHW: Tensor
    times_B: Tensor
    text: Conditioning | Tensor  # ids_BL if a token is trained
    weights_B: Tensor
    is_exemplar_B: Tensor
    objective_seeds_B: tuple[int, ...]  # of the objective's own draws for each clip
    is_still: bool = False  # no group mixes stills of a subject with other clips

    def map(self, change: Callable[[Tensor], Tensor]) -> "ClipGroup":
        """The group with every tensor changed."""
        parts: dict[str, Any] = {name: change(part) for name, part in vars(self).items() if isinstance(part, Tensor)}
        if isinstance(self.text, Conditioning):
            parts["text"] = Conditioning.of({name: change(part) for name, part in self.text.tensors().items()})
        return replace(self, **parts)


@dataclass(frozen=True)
class Batch:
    """A micro-batch of `draws` draws (clips or pairs), its clips grouped by shape, stills apart."""

    groups: tuple[ClipGroup, ...]
    draws: int

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with every tensor changed."""
        return replace(self, groups=tuple(group.map(change) for group in self.groups))

    def to(self, device: torch.device) -> "Batch":
        """The batch on another device; a pinned batch is copied asynchronously."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """The batch in pinned memory; a `DataLoader` calls this."""
        return self.map(Tensor.pin_memory)


def check_batch_size(batch_size: int, *, world: int, accumulate: int) -> None:
    """Raise a VmcError if the processes and their accumulated micro-batches cannot share a batch equally."""
    parts = world * accumulate
    if batch_size % parts:
        raise VmcError(
            f"batch_size is {batch_size}, which {world} processes x trainer.accumulate={accumulate} cannot share"
            f" equally; choose a multiple of {parts}"
        )


@dataclass(frozen=True, kw_only=True)
class TrainingBatches(IterableDataset):
    """An endless stream of the micro-batches of one rank.

    Args:
        plan: what each step draws.
        moments: posterior moments_MCFHW by (clip, variant).
        texts: the embedded caption of each clip, or its ids_L if a token is trained.
        steps: optimizer steps of the run in total.
        start: gives the first step when iteration begins; a resumed run starts at its checkpoint.
        rank, world: index of this process, and number of processes.
        accumulate: micro-batches per step.
    """

    plan: StepPlan
    moments: dict[tuple[int, int], Tensor]
    texts: Sequence[Conditioning] | Sequence[Tensor]
    steps: int
    start: Callable[[], int]
    rank: int = 0
    world: int = 1
    accumulate: int = 1

    def __iter__(self) -> Iterator[Batch]:
        share = self.plan.batch_size // (self.world * self.accumulate)
        # Lightning prefetches a batch, and an epoch that ended with the run could not be resumed with more steps: after
        # the last step its batches come again, and are never used.
        for step in itertools.chain(range(self.start(), self.steps), itertools.repeat(self.steps - 1)):
            for part in range(self.accumulate):
                first = (part * self.world + self.rank) * share
                yield self.batch(step, range(first, first + share))

    def batch(self, step: int, indices: range) -> Batch:
        """The draws `indices` of a step."""
        groups: dict[Any, list[tuple[Drawn, int]]] = {}
        for index in indices:
            for item in self.plan.draw(step, index):
                key = item.is_still, self.moments[item.clip, item.variant].shape
                groups.setdefault(key, []).append((item, index))
        return Batch(tuple(self._group(step, items) for items in groups.values()), draws=len(indices))

    def _group(self, step: int, items: Sequence[tuple[Drawn, int]]) -> ClipGroup:
        """The group of clips of one shape and kind; each item is a clip and the index of its draw in the batch."""
        plan, latents, noise = self.plan, [], []
        for item, index in items:
            moments_MCFHW = self.moments[item.clip, item.variant]
            shape = moments_MCFHW[0].shape
            latents.append(sample_posterior(moments_MCFHW, plan.noise(item, step, index, "posterior", shape)))
            noise.append(plan.noise(item, step, index, "noise", shape))
        texts: list[Any] = [self.texts[item.clip] for item, _ in items]
        return ClipGroup(
            latents_BCFHW=torch.stack(latents),
            noise_BCFHW=torch.stack(noise),
            times_B=torch.cat([plan.time(item, step, index) for item, index in items]),
            text=Conditioning.cat(texts) if isinstance(texts[0], Conditioning) else torch.stack(texts),
            weights_B=torch.tensor([item.weight for item, _ in items]),
            is_exemplar_B=torch.tensor([item.is_exemplar for item, _ in items]),
            objective_seeds_B=tuple(
                derive_seed(plan.seed, step, index, item.slot, "objective") for item, index in items
            ),
            is_still=items[0][0].is_still,
        )
