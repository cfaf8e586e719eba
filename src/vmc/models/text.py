"""Captions and prompts to the embeddings that a denoiser reads, and CLIP's text encoder and tokenizer on disk.

Axes: B texts, L positions of the text encoder, D its width.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter
from transformers import CLIPTokenizer

from vmc.diffusion.sampling import Conditioning
from vmc.models.base import VideoModel
from vmc.models.token import MotionToken, TokenEmbedding
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write
from vmc.utils.text_files import shortened

POSITIONS = 77  # of CLIP's texts
TEXT_PREFIX = "text_model."

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TextEncoder:
    """Tokenizer, text encoder and the embedding rows of tokens, if there are any.

    A family whose denoiser reads anything but the last hidden state overrides `encode_ids`.

    Args:
        tokenizer: the model's tokenizer, with the tokens in its vocabulary.
        network: the frozen network from ids to `last_hidden_state`.
        length: how many tokens of a text are read, begin and end tokens included.
        token_embedding: the embedding table with the tokens' rows; None without tokens.
        token: the motion's token with the further ones; truncating a text must not remove a word of theirs.
    """

    tokenizer: Any
    network: Any
    length: int
    token_embedding: TokenEmbedding | None = None
    token: MotionToken | None = None

    @property
    def rows(self) -> dict[str, Parameter]:
        """The embedding rows of the tokens by name."""
        return dict(self.token_embedding.rows.items()) if self.token_embedding else {}

    def token_ids(self, texts: list[str]) -> Tensor:
        """ids_BL on the CPU, padded; a text that is too long is truncated with a warning, or fails `check`."""
        for text in texts:
            self.check(text)
            if (count := len(self.tokenizer(text).input_ids)) > self.length:
                log.warning("'%s' has %d tokens; the text encoder reads the first %d", text, count, self.length)
        batch = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=self.length, return_tensors="pt"
        )
        return batch.input_ids

    def check(self, text: str) -> None:
        """Raise a VmcError if truncating the text would remove a token's word."""
        words = self.token.words.values() if self.token else ()
        _check_words(self.tokenizer, words, {"the text": text}, length=self.length)

    def encode_ids(self, ids_BL: Tensor) -> Conditioning:
        """The embeddings of ids_BL, differentiable if a token's row is trained."""
        return Conditioning(self.network(ids_BL.to(self.network.device)).last_hidden_state)

    @torch.no_grad()
    def __call__(self, text: str) -> Conditioning:
        """The embedding of one text, float32 on the CPU. One at a time, so that no batch changes its bits."""
        found = self.encode_ids(self.token_ids([text]))
        return Conditioning(found.embeddings_BLD.float(), found.mask_BL).to("cpu")


def check_word_is_read(base: VideoModel, token: MotionToken, texts: Mapping[str, str]) -> None:
    """Raise a VmcError if truncating a text would remove a token's word; no weights are loaded. The keys of `texts` say
    what each is, for the message.
    """
    tokenizer = base.tokenizer()
    tokenizer.add_tokens([one.word for one in token.tokens.values() if one.added])
    _check_words(tokenizer, token.words.values(), texts, length=base.text_length())


def _check_words(tokenizer: Any, words: Iterable[str], texts: Mapping[str, str], *, length: int) -> None:
    for name, text in texts.items():
        ids = tokenizer(text, verbose=False).input_ids  # its own warning of long texts names neither text nor remedy
        for word in words if len(ids) > length else ():
            wanted = tokenizer(word, add_special_tokens=False).input_ids
            first = next((place for place in range(len(ids)) if ids[place : place + len(wanted)] == wanted), 0)
            if first + len(wanted) >= length:  # the last position is always the end token
                told = f"{len(ids)} tokens, of which the text encoder reads the first {length}, and {word!r} stands"
                raise VmcError(f"{name} '{shortened(text)}' has {told} behind them: shorten it, or put it earlier")


def save_clip_text(folder: Path, tokenizer: Any) -> None:
    """Bring a saved pipeline to the published layout: `vocab.json` and `merges.txt`, tensors with their prefix."""
    # transformers 5 writes only `tokenizer.json`, and omits the prefix of the text encoder's tensors, without which
    # older versions cannot read the file.
    tokenizer.backend_tokenizer.model.save(str(folder / "tokenizer"))
    file = folder / "text_encoder" / "model.safetensors"
    prefixed = {TEXT_PREFIX + name.removeprefix(TEXT_PREFIX): tensor for name, tensor in load_file(file).items()}
    with atomic_write(file) as temporary:
        save_file(prefixed, temporary, metadata={"format": "pt"})


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer from open_clip's vocabulary, which has other names for the two special tokens."""
    from open_clip.tokenizer import SimpleTokenizer  # takes seconds to import

    known = SimpleTokenizer()
    entries = [*list(known.encoder)[:-2], "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {entry: index for index, entry in enumerate(entries)}
    return CLIPTokenizer(vocab=vocabulary, merges=list(known.bpe_ranks), model_max_length=POSITIONS)
