"""What training, evaluation and generation share: the parts of a run, put together once, and its cached encoders.

Axes: M = 2 posterior moments, C latent channels, F frames, H and W of the latent.
"""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from torch import Tensor

from vmc.data.clips import Clip
from vmc.data.frames import ClipTransform
from vmc.data.motion import Motion, MotionData
from vmc.data.prompts import Prompt
from vmc.diffusion.sampling import Conditioning, Sampler
from vmc.metrics.suite import Suite
from vmc.models.base import VideoModel
from vmc.models.text import TextEncoder
from vmc.models.token import SUBJECT, MotionToken
from vmc.training.delta import InitialWeights
from vmc.training.hardware import Hardware
from vmc.training.regularization import NoRegularization, Regularization
from vmc.training.subject import NoSubject, Subject
from vmc.utils.cache import ONLY, Cache, cache_key
from vmc.utils.errors import VmcError
from vmc.utils.files import cache_root, fingerprint


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


class Encoders:
    """The base model's autoencoder and text encoder, each loaded only for what is not in the cache.

    Args:
        experiment: gives model, token, hardware and cache.
        init: weights that the run starts from, which may hold trained rows of tokens.
    """

    def __init__(self, experiment: Experiment, init: InitialWeights | None = None) -> None:
        self.init = init
        self.model, self.token, self.hardware = experiment.model, experiment.token, experiment.hardware
        self._latents = Cache(experiment.cache / "latents")
        self._texts = Cache(experiment.cache / "texts")
        self._prompt_encoder: TextEncoder | None = None

    @property
    def token_fingerprint(self) -> str:
        """What text embeddings depend on before training, besides the model."""
        init = () if self.init is None else (f"init {self.init.fingerprint}",)
        return " ".join(map(str, (*self.token.identity, *init)))

    @property
    def prompt_encoder(self) -> TextEncoder:
        """The text encoder, which holds the trained rows of tokens if there are any."""
        if self._prompt_encoder is None:
            self._prompt_encoder = self.model.text_encoder(self.token)
            if self.init is not None:
                self.init.apply_rows(self._prompt_encoder)
        return self._prompt_encoder

    def moments(
        self, clips: Sequence[Clip], transforms: Sequence[ClipTransform], wanted: Sequence[tuple[int, int]]
    ) -> dict[tuple[int, int], Tensor]:
        """Posterior moments_MCFHW of clips by (clip, variant).

        The cache's keys are made of the clip's bytes, its transform, the variant, the autoencoder and what decides
        its rounding, never of the run's seed or the clip's name.
        """
        content = {clip: fingerprint(Path(clips[clip].path)) for clip in sorted({clip for clip, _ in wanted})}
        encoder = f"{self.model.fingerprint('autoencoder')} {self.hardware.rounding}"
        keys = {
            (clip, variant): cache_key(content[clip], transforms[clip].describe(), variant, encoder)
            for clip, variant in sorted(wanted)  # the variants of a clip one after another
        }

        def maker() -> Callable[[tuple[int, int]], dict[str, Tensor]]:
            autoencoder = self.model.autoencoder().to(self.hardware.device)

            @lru_cache(maxsize=1)
            def reader(clip: int) -> Callable[[int], Tensor]:
                return transforms[clip].reader(clips[clip].path, [one for other, one in keys if other == clip])

            return lambda pair: {ONLY: autoencoder.encode(reader(pair[0])(pair[1]))}

        # The first process fills the cache before Lightning starts the others.
        read = self._latents.tensors({key: pair for pair, key in keys.items()}, maker, label="encoding clips")
        gc.collect()  # frees the autoencoder, if it was loaded
        return {pair: read[key][ONLY] for pair, key in keys.items()}

    def texts(self, captions: Sequence[str]) -> list[Conditioning]:
        """The embedding of each caption, by the untrained encoder."""
        model = f"{self.model.fingerprint('text')} {self.hardware.rounding}"
        keys = {caption: cache_key(model, self.token_fingerprint, caption) for caption in captions}

        def maker() -> Callable[[str], dict[str, Tensor]]:
            encoder = self.prompt_encoder
            return lambda caption: encoder(caption).tensors()

        read = self._texts.tensors({key: caption for caption, key in keys.items()}, maker, label="encoding captions")
        return [Conditioning.of(read[keys[caption]]) for caption in captions]

    def text(self, text: str) -> Conditioning:
        """The embedding of a prompt: from the cache, or if a token is trained by the encoder as it is now."""
        return self.prompt_encoder(text) if self.token.trains else self.texts([text])[0]
