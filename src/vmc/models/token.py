"""The motion's token: a rare word of the vocabulary, or an added one, frozen or with its one embedding row trained."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vmc.errors import VmcError


class TokenEmbedding(nn.Module):
    """A frozen embedding table in which one row is a parameter of its own.

    Weight decay, momentum and the averages of AdamW therefore cannot touch any other row (they move rows with a zero
    gradient too).
    """

    def __init__(self, table: nn.Embedding, *, token_id: int, start_id: int) -> None:
        super().__init__()
        self.table = table.requires_grad_(False)
        self.token_id = token_id
        self.row = nn.Parameter(table.weight[start_id].detach().clone().float())

    def forward(self, ids_BL: Tensor) -> Tensor:
        """embeddings_BLD of token ids."""
        known_BL = ids_BL.clamp(max=self.table.num_embeddings - 1)
        embeddings_BLD = F.embedding(known_BL, self.table.weight)
        is_token_BL1 = (ids_BL == self.token_id).unsqueeze(-1)
        return torch.where(is_token_BL1, self.row.to(embeddings_BLD.dtype), embeddings_BLD)


@dataclass(frozen=True, kw_only=True)
class MotionToken:
    """The word that names the motion in captions and prompts.

    Args:
        word: a word that is one token and means little ("sks", "pll"), or the name of an added token ("<motion>").
        added: add the word to the vocabulary, its row starting as a copy of `start`'s.
        start: a one-token word, needed when the token is added.
        trained: train the token's embedding row (paper, Table 2c, Textual Inversion and Custom Diffusion).
        learning_rate: of that row; a UNet's rate of 5e-6 would hardly move it.
    """

    word: str = "sks"
    added: bool = False
    start: str | None = None
    trained: bool = False
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        if not self.word or self.word.split() != [self.word]:
            raise VmcError(f"token.word is '{self.word}'; it must be one word without spaces")
        if self.added and not self.start:
            raise VmcError(f"token.added adds '{self.word}', but token.start is not set; name the word it starts as")
        if self.trained and not self.learning_rate:
            raise VmcError("token.trained is true, but token.learning_rate is not set; 1e-3 is a place to begin")

    @property
    def separate(self) -> bool:
        """Whether the text encoder needs a row of its own for the token."""
        return self.added or self.trained

    def install(self, tokenizer: Any, text_encoder: Any) -> TokenEmbedding | None:
        """Give the token its row in the text encoder (and a place in the tokenizer when it is added).

        Returns:
            The embedding that holds the row, or None where the word's own frozen row serves.

        Raises:
            VmcError: the word is not one token, or is to be added and already known.
        """
        if self.added:
            start_id = one_token(tokenizer, self.start or "", key="token.start")
            token_id = self._add(tokenizer)
        else:
            token_id = start_id = one_token(tokenizer, self.word, key="token.word")
        if not self.separate:
            return None
        embedding = TokenEmbedding(text_encoder.get_input_embeddings(), token_id=token_id, start_id=start_id)
        embedding.row.requires_grad_(self.trained)
        text_encoder.set_input_embeddings(embedding)
        return embedding

    def _add(self, tokenizer: Any) -> int:
        ids = tokenizer(self.word, add_special_tokens=False).input_ids
        if len(ids) == 1 and ids[0] != tokenizer.unk_token_id:
            raise VmcError(f"token.added adds '{self.word}', which the vocabulary already has; choose another word")
        tokenizer.add_tokens(self.word)
        return int(tokenizer.convert_tokens_to_ids(self.word))


def one_token(tokenizer: Any, word: str, *, key: str) -> int:
    """The id of a word that the tokenizer keeps whole."""
    ids = tokenizer(word, add_special_tokens=False).input_ids
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        raise VmcError(
            f"{key} is '{word}', which the tokenizer splits into {len(ids)} tokens;"
            " choose a rare word that is one token (of CLIP's: sks, pll), or set token.added=true with token.start"
        )
    return int(ids[0])


def merge_row(embedding: TokenEmbedding, tokenizer: Any, text_encoder: Any) -> None:
    """Write the row into the ordinary embedding table again, enlarged if the token was added (for export)."""
    text_encoder.set_input_embeddings(embedding.table)
    if embedding.token_id >= embedding.table.num_embeddings:
        text_encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        text_encoder.get_input_embeddings().weight[embedding.token_id] = embedding.row
