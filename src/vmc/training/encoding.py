"""What the autoencoder and the text encoder make of clips and texts, from the shared caches where it is there.

Axes: M = 2 posterior moments, C latent channels, F frames, H and W of the latent.
"""

import gc
from collections.abc import Callable, Sequence

from torch import Tensor

from vmc.diffusion.conditioning import Conditioning
from vmc.models.text import TextEncoder
from vmc.training.batches import LatentClips
from vmc.training.experiment import Experiment
from vmc.training.initial import InitialWeights
from vmc.utils.cache import ONLY, Cache, cache_key


class Encoders:
    """The base model's encoders, each loaded when something is asked for that no cache holds.

    Args:
        experiment: its model, the tokens that texts may hold, where encoders run and how that rounds, and the cache.
        init: weights that the run starts from, which may hold rows of tokens.
    """

    def __init__(self, experiment: Experiment, init: InitialWeights | None = None) -> None:
        self.init = init
        self.model, self.token, self.hardware = experiment.model, experiment.token, experiment.hardware
        self.latent_cache = Cache(experiment.cache / "latents")
        self._text_cache = Cache(experiment.cache / "texts")
        self._prompt_encoder: TextEncoder | None = None

    @property
    def token_fingerprint(self) -> str:
        """What a text's embedding depends on before any training, besides the model."""
        return " ".join(map(str, (*self.token.identity, *self.init_fingerprint)))

    @property
    def init_fingerprint(self) -> tuple[str, ...]:
        """What tells the weights that the run starts from; nothing for the base model's own."""
        return () if self.init is None else (f"init {self.init.fingerprint}",)

    @property
    def autoencoder_fingerprint(self) -> str:
        """What posterior moments depend on, besides the frames."""
        return f"{self.model.fingerprint('autoencoder')} {self.hardware.rounding}"

    @property
    def prompt_encoder(self) -> TextEncoder:
        """The text encoder, the one that is trained where a token is."""
        if self._prompt_encoder is None:
            self._prompt_encoder = self.model.text_encoder(self.token)
            if self.init is not None:
                self.init.apply_rows(self._prompt_encoder)
        return self._prompt_encoder

    def moments(self, latents: LatentClips, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Tensor]:
        """Posterior moments_MCFHW by (clip, variant)."""
        keys = latents.keys(wanted)
        made_from = {key: pair for pair, key in keys.items()}

        def maker() -> Callable[[tuple[int, int]], dict[str, Tensor]]:
            autoencoder = self.model.autoencoder().to(self.hardware.device)
            return lambda pair: {ONLY: autoencoder.encode(latents.frames(pair))}

        # The first process has filled the cache before Lightning starts the others.
        read = self.latent_cache.tensors(made_from, maker, label="encoding clips")
        gc.collect()  # the autoencoder, where it was loaded
        return {pair: read[key][ONLY] for pair, key in keys.items()}

    def texts(self, captions: Sequence[str]) -> list[Conditioning]:
        """What the denoiser reads of each caption, by the untouched encoder."""
        mark = f"{self.model.fingerprint('text')} {self.hardware.rounding}"
        keys = {caption: cache_key(mark, self.token_fingerprint, caption) for caption in captions}
        wanted = {key: caption for caption, key in keys.items()}
        read = self._text_cache.tensors(wanted, self._text_maker, label="encoding captions")
        return [Conditioning.of(read[keys[caption]]) for caption in captions]

    def _text_maker(self) -> Callable[[str], dict[str, Tensor]]:
        encoder = self.prompt_encoder
        return lambda caption: encoder(caption).tensors()

    def text(self, text: str) -> Conditioning:
        """What the denoiser reads of a prompt: from the cache, or by the encoder as it is if a token is trained."""
        return self.prompt_encoder(text) if self.token.trains else self.texts([text])[0]
