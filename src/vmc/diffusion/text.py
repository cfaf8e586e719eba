"""Captions and prompts to the embeddings that the UNet's cross-attention reads.

Axes: B texts, L positions of the text encoder (77 for CLIP), D its width.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from vmc.diffusion.components import BaseModel
from vmc.diffusion.token import MotionToken, TokenEmbedding
from vmc.errors import VmcError
from vmc.text_files import shortened

log = logging.getLogger(__name__)


def lost_word(tokenizer: CLIPTokenizer, text: str, word: str, *, length: int) -> str | None:
    """What is wrong with a text whose motion is named where the text encoder no longer reads; None where it is read.

    Args:
        tokenizer: with the word in its vocabulary.
        text: a caption or prompt.
        word: the motion's.
        length: positions of the text encoder.
    """
    ids = tokenizer(text, verbose=False).input_ids  # its own warning of a long text names neither text nor remedy
    if len(ids) <= length:
        return None
    wanted = tokenizer(word, add_special_tokens=False).input_ids
    first = next((place for place in range(len(ids)) if ids[place : place + len(wanted)] == wanted), None)
    # The last position is the end of the text, however much is cut.
    if first is None or first + len(wanted) < length:
        return None
    return (
        f"'{shortened(text)}' has {len(ids)} tokens, of which the text encoder reads the first {length}, and {word!r} "
        "stands behind them: shorten it, or name the motion earlier"
    )


def check_word_is_read(base: BaseModel, token: MotionToken, texts: Mapping[str, str]) -> None:
    """Refuse captions and prompts whose motion is named where the text encoder no longer reads; no weights are loaded.

    Args:
        base: gives the tokenizer and the number of positions.
        token: the motion's.
        texts: each by what it is the text of, for the message.

    Raises:
        VmcError: naming the first of them.
    """
    tokenizer, length = base.tokenizer(), base.text_length()
    if token.added:
        tokenizer.add_tokens(token.word)
    for name, text in texts.items():
        if reason := lost_word(tokenizer, text, token.word, length=length):
            raise VmcError(f"{name} {reason}")


@dataclass(frozen=True, kw_only=True)
class PromptEncoder:
    """Tokenizer, text encoder and, where the token has one, its separate embedding row.

    `word` is the motion's word, which no text may lose by being cut; None where no text holds one.
    """

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    token_embedding: TokenEmbedding | None = None
    word: str | None = None

    @classmethod
    def load(cls, base: BaseModel, token: MotionToken, *, dtype: torch.dtype = torch.float32) -> "PromptEncoder":
        """The base model's text encoder with the motion's token installed."""
        tokenizer, text_encoder = base.tokenizer(), base.text_encoder(dtype=dtype)
        row = token.install(tokenizer, text_encoder)
        return cls(tokenizer=tokenizer, text_encoder=text_encoder, token_embedding=row, word=token.word)

    def token_ids(self, texts: list[str]) -> Tensor:
        """ids_BL on the CPU, padded to the encoder's length; a longer text is cut, with a warning.

        Raises:
            VmcError: what is cut off holds the motion's word, and the rest does not.
        """
        length = self.text_encoder.config.max_position_embeddings
        for text in texts:
            self.check(text)
            if (count := len(self.tokenizer(text).input_ids)) > length:
                log.warning("'%s' has %d tokens; the text encoder reads the first %d", text, count, length)
        batch = self.tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        return batch.input_ids

    def check(self, text: str) -> None:
        """Raises a VmcError where the motion's word would be cut off a text."""
        length = self.text_encoder.config.max_position_embeddings
        if self.word and (reason := lost_word(self.tokenizer, text, self.word, length=length)):
            raise VmcError(f"the text {reason}")

    def encode_ids(self, ids_BL: Tensor) -> Tensor:
        """embeddings_BLD, differentiable where the token's row is trained."""
        return self.text_encoder(ids_BL.to(self.text_encoder.device)).last_hidden_state

    @torch.no_grad()
    def __call__(self, text: str) -> Tensor:
        """embedding_LD in float32 on the CPU. One text at a time, so that no batch changes its bits."""
        return self.encode_ids(self.token_ids([text]))[0].float().cpu()
