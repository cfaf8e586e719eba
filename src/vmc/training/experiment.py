"""What training, evaluation and generation share: the parts of a run, put together once."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from vmc.data.captions import check_token, fill
from vmc.data.clips import Clip
from vmc.data.frames import ClipTransform
from vmc.data.motion import Motion, MotionData
from vmc.data.prompts import Prompt
from vmc.diffusion.sampling import Sampler
from vmc.metrics.suite import Suite
from vmc.models.base import VideoModel
from vmc.models.text import check_word_is_read
from vmc.models.token import SUBJECT, MotionToken
from vmc.training.hardware import Hardware
from vmc.training.regularization import NoRegularization, Regularization
from vmc.training.subject import NoSubject, Subject
from vmc.utils.errors import VmcError
from vmc.utils.files import cache_root


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A model, the motion that it learns, and how its videos are made and scored.

    `vmc.config.build.build_experiment` makes one from a composed config.

    Args:
        model: the base model; its videos have the frames, size and frame rate of the clips.
        data: the clips, and how they become frames.
        motion: the motion, with its caption and prompt.
        token: the word that stands for the motion.
        sampler: steps and guidance of generated videos.
        hardware: devices and precision.
        regularization: clips of other motions, and how a step mixes them with the exemplars.
        subject: stills of a person or thing that is learned beside the motion.
        suite: the metrics; None if nothing is scored.
        prompts: the test set, or the prompts to generate.
        threshold: appearance score at which arms are compared and training stops; None for neither.
        stops_early: whether training does stop at the threshold.
        generation_batch: videos made at a time; None for as many as memory allows.
        seed: seed of the run, from which exemplars, clips, timesteps and noise are drawn.
        cache: folder of the caches that all runs share.
    """

    model: VideoModel
    data: MotionData
    motion: Motion
    token: MotionToken
    sampler: Sampler
    hardware: Hardware
    regularization: Regularization = field(default_factory=NoRegularization)
    subject: Subject | NoSubject = field(default_factory=NoSubject)
    suite: Suite | None = None
    prompts: Sequence[Prompt] = ()
    threshold: float | None = None
    stops_early: bool = True
    generation_batch: int | None = None
    seed: int = 0
    cache: Path = field(default_factory=cache_root)

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int) or self.seed < 0:
            raise VmcError(f"seed is {self.seed}; it must be a whole number of at least 0")
        if self.generation_batch is not None and self.generation_batch < 1:
            raise VmcError(f"generation_batch is {self.generation_batch}; it must be at least 1, or null to find it")
        if isinstance(self.subject, Subject) and SUBJECT not in self.token.further:
            raise VmcError(
                "subject has stills, but nothing says which word stands for it; give"
                " +token.further={subject: {word: pll, trained: true, learning_rate: 1e-3}}"
            )
        if Path(self.model.path).expanduser().is_dir():  # a hub's name is looked up when it is needed
            _ = self.latent_shape
            if self.sampler.guidance_interval is not None:
                (solver := self.model.process.solver()).set_timesteps(self.sampler.steps)
                self.sampler.is_guided(solver)

    @cached_property
    def exemplars(self) -> list[Clip]:
        """Clips of the motion, drawn once, with placeholders in their captions; a VmcError if one is missing."""
        motion = self.motion
        return self.data.source.exemplars(label=motion.label, caption=motion.caption, seed=self.seed)

    @cached_property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(C, F, h, w) of a clip and of a video; a VmcError if the autoencoder cannot encode this size."""
        return self.model.latent_shape(frames=self.data.frames, size=self.data.size)

    def transforms(self, clips: Sequence[Clip]) -> list[ClipTransform]:
        """The transform of each clip: exemplars are augmented, stills have one frame."""
        kinds = {
            "exemplar": self.data.transform(augmented=True, mirror=self.motion.mirror),
            "regularization": self.data.transform(augmented=False, mirror=False, whole=False),
        }
        if isinstance(self.subject, Subject):
            kinds["subject"] = self.subject.transform(self.data)
        return [kinds[clip.role] for clip in clips]


def gather_clips(experiment: Experiment) -> list[Clip]:
    """Find a run's clips, exemplars first and stills of a subject last, and fill in their captions.

    Raises:
        VmcError: a clip is missing, or a caption lacks the word for what the clip teaches.
    """
    others = [*experiment.regularization.clips(), *experiment.subject.clips()]
    return fill_captions(experiment, [*experiment.exemplars, *others])


def fill_captions(experiment: Experiment, clips: Sequence[Clip]) -> list[Clip]:
    """Fill in the captions of clips; a VmcError if one lacks the word for what its clip teaches."""
    words = experiment.token.words
    filled = [replace(clip, caption=fill(clip.caption, **words)) for clip in clips]
    check_token(filled, **words)
    return filled


def check_texts(experiment: Experiment, clips: Sequence[Clip]) -> None:
    """Check that no prompt or caption is so long that the text encoder cuts off a token's word.

    Captions of regularization clips are not checked. The VmcError names the clip or prompt, and its number of tokens.
    """
    texts = {f"the caption of clip {clip.path}": clip.caption for clip in clips if clip.role != "regularization"}
    texts |= {f"prompt {number}": prompt.text for number, prompt in enumerate(experiment.prompts, start=1)}
    check_word_is_read(experiment.model, experiment.token, texts)
