"""Captions and prompts to the embeddings that the UNet's cross-attention reads.

Axes: B texts, L positions of the text encoder (77 for CLIP), D its width.
"""

import logging
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from vmc.diffusion.components import BaseModel
from vmc.diffusion.token import MotionToken, TokenEmbedding

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PromptEncoder:
    """Tokenizer, text encoder and, where the token has one, its separate embedding row."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    token_embedding: TokenEmbedding | None = None

    @classmethod
    def load(cls, base: BaseModel, token: MotionToken, *, dtype: torch.dtype = torch.float32) -> "PromptEncoder":
        """The base model's text encoder with the motion's token installed."""
        tokenizer, text_encoder = base.tokenizer(), base.text_encoder(dtype=dtype)
        return cls(
            tokenizer=tokenizer, text_encoder=text_encoder, token_embedding=token.install(tokenizer, text_encoder)
        )

    def token_ids(self, texts: list[str]) -> Tensor:
        """ids_BL on the CPU, padded to the encoder's length; a longer text is cut, with a warning."""
        length = self.text_encoder.config.max_position_embeddings
        for text in texts:
            if (count := len(self.tokenizer(text).input_ids)) > length:
                log.warning("'%s' has %d tokens; the text encoder reads the first %d", text, count, length)
        batch = self.tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        return batch.input_ids

    def encode_ids(self, ids_BL: Tensor) -> Tensor:
        """embeddings_BLD, differentiable where the token's row is trained."""
        return self.text_encoder(ids_BL.to(self.text_encoder.device)).last_hidden_state

    @torch.no_grad()
    def __call__(self, text: str) -> Tensor:
        """embedding_LD in float32 on the CPU. One text at a time, so that no batch changes its bits."""
        return self.encode_ids(self.token_ids([text]))[0].float().cpu()
