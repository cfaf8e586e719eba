"""The base model's encoders, their results cached: latents of clips and embeddings of captions, made before training.

Axes: M = 2 posterior moments, C latent channels, F frames, H and W of the latent.
"""

import gc
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from vmc.data.clips import Clip
from vmc.data.frames import ClipTransform
from vmc.diffusion.sampling import Conditioning
from vmc.models.text import TextEncoder
from vmc.training.experiment import Experiment
from vmc.training.tuned_weights import InitialWeights
from vmc.utils.cache import ONLY, Cache, cache_key
from vmc.utils.files import fingerprint


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
