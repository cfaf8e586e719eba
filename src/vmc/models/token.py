"""Tokens that name the learned motion or subject, and their embedding rows: rare words of the vocabulary or added ones,
frozen or trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vmc.utils.errors import VmcError

MOTION = "motion"
"""The name of the motion's token."""
SUBJECT = "subject"
"""The name of a subject's token, which replaces `{subject_token}`."""


class TokenEmbedding(nn.Module):
    """A frozen embedding table in which the rows of tokens are separate parameters.

    So AdamW's weight decay and moments cannot change any other row, as they would even with a gradient of zero.
    """

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.table = table.requires_grad_(False)
        self.rows = nn.ParameterDict()
        self.ids: dict[str, int] = {}

    def add(self, name: str, *, token_id: int, start_id: int, trained: bool) -> None:
        """Give a token a row of its own, which starts as a copy of row `start_id`."""
        row = self.table.weight[start_id].detach().clone().float()
        self.rows[name] = nn.Parameter(row, requires_grad=trained)
        self.ids[name] = token_id

    @property
    def row(self) -> nn.Parameter:
        """The row of the motion's token."""
        return self.rows[MOTION]

    def forward(self, ids_BL: Tensor) -> Tensor:
        """The embeddings_BLD of token ids."""
        known_BL = ids_BL.clamp(max=self.table.num_embeddings - 1)
        embeddings_BLD = F.embedding(known_BL, self.table.weight)
        for name, row in self.rows.items():
            is_token_BL1 = (ids_BL == self.ids[name]).unsqueeze(-1)
            embeddings_BLD = torch.where(is_token_BL1, row.to(embeddings_BLD.dtype), embeddings_BLD)
        return embeddings_BLD


@dataclass(frozen=True, kw_only=True)
class Token:
    """A word that names something in captions and prompts; the `MotionToken` that holds it checks it.

    Args:
        word: a word that is one token and means little ("sks", "pll"), or the name of an added token ("<motion>").
        added: whether to add the word to the vocabulary, with a row that starts as a copy of `start`'s.
        start: a one-token word, required if the token is added.
        trained: whether to train the token's row (paper, Table 2c, Textual Inversion and Custom Diffusion).
        learning_rate: learning rate of that row; a UNet's rate of 5e-6 would hardly change it.
    """

    word: str
    added: bool = False
    start: str | None = None
    trained: bool = False
    learning_rate: float | None = None

    def check(self, key: str) -> None:
        """Raise a VmcError for invalid settings; `key` is the token's key in the config."""
        if not self.word or self.word.split() != [self.word]:
            raise VmcError(f"{key}.word is '{self.word}'; it must be one word without spaces")
        if self.added and not self.start:
            raise VmcError(f"{key}.added adds '{self.word}', but {key}.start is not set; name the word it starts as")
        if self.trained and not self.learning_rate:
            raise VmcError(f"{key}.trained is true, but {key}.learning_rate is not set; 1e-3 is a place to begin")

    def place(self, tokenizer: Any, *, key: str) -> tuple[int, int]:
        """The token's id, and that of the word whose row it starts as; an added word is added to the tokenizer."""
        if not self.added:
            token_id = one_token(tokenizer, self.word, key=f"{key}.word")
            return token_id, token_id
        start_id = one_token(tokenizer, self.start or "", key=f"{key}.start")
        ids = tokenizer(self.word, add_special_tokens=False).input_ids
        if len(ids) == 1 and ids[0] != tokenizer.unk_token_id:
            raise VmcError(f"{key}.added adds '{self.word}', which the vocabulary already has; choose another word")
        tokenizer.add_tokens(self.word)
        return int(tokenizer.convert_tokens_to_ids(self.word)), start_id


@dataclass(frozen=True, kw_only=True)
class MotionToken(Token):
    """The word that names the motion, with further tokens for other things.

    Args:
        further: tokens by name, or their settings; the word of NAME replaces `{NAME_token}`.
    """

    word: str = "sks"
    further: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        made = {name: _further_token(name, settings) for name, settings in self.further.items()}
        object.__setattr__(self, "further", made)
        words: dict[str, str] = {}
        for name, token in self.tokens.items():
            key, word = key_of(name), token.word.casefold()  # CLIP's tokenizer ignores case
            token.check(key)
            if word in words:
                raise VmcError(f"{key}.word is '{token.word}', as {words[word]}.word is; give each token its own word")
            words[word] = key

    @property
    def tokens(self) -> dict[str, Token]:
        """All tokens by name, the motion's first."""
        return {MOTION: self, **self.further}

    @property
    def words(self) -> dict[str, str]:
        """The words that replace the placeholders of captions and prompts: `token`, `subject_token`."""
        return {"token": self.word, **{f"{name}_token": token.word for name, token in self.further.items()}}

    @property
    def trains(self) -> bool:
        """Whether any row is trained."""
        return any(token.trained for token in self.tokens.values())

    @property
    def identity(self) -> tuple[Any, ...]:
        """What text embeddings depend on before training, besides the model."""
        further = [(name, one.word, one.added, one.start) for name, one in self.further.items()]
        return self.word, self.added, self.start, *further

    def describe(self) -> dict[str, Any]:
        """The tokens in a delta's metadata."""
        told = {name: {"word": one.word, "added": one.added, "start": one.start} for name, one in self.tokens.items()}
        motion = told.pop(MOTION)
        return {**motion, "further": told} if told else motion

    def install(self, tokenizer: Any, text_encoder: Any) -> TokenEmbedding:
        """Give each token a row in the text encoder, and added ones an entry in the tokenizer."""
        embedding = TokenEmbedding(text_encoder.get_input_embeddings())
        for name, token in self.tokens.items():
            token_id, start_id = token.place(tokenizer, key=key_of(name))
            embedding.add(name, token_id=token_id, start_id=start_id, trained=token.trained)
        text_encoder.set_input_embeddings(embedding)
        return embedding


def key_of(name: str) -> str:
    """The config key of a token's settings."""
    return "token" if name == MOTION else f"token.further.{name}"


def _further_token(name: str, settings: Token | Mapping[str, Any]) -> Token:
    """A further token, made from its settings unless it is one already."""
    if not str(name).isidentifier() or name == MOTION:
        raise VmcError(f"token.further has a token '{name}'; a name is letters, digits and _, and not '{MOTION}'")
    if isinstance(settings, Token):
        return settings
    known = [one.name for one in fields(Token)]
    if "word" not in settings:
        raise VmcError(f"token.further.{name} has no word; give token.further.{name}.word, a rare one")
    if unknown := [key for key in settings if key not in known]:
        raise VmcError(f"token.further.{name}.{unknown[0]} is unknown; a token has {', '.join(known)}")
    return Token(**settings)


def one_token(tokenizer: Any, word: str, *, key: str) -> int:
    """The id of a word that is a single token; a VmcError if it is not."""
    ids = tokenizer(word, add_special_tokens=False).input_ids
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        settings = key.rpartition(".")[0]
        remedy = f"choose a rare word that is one (of CLIP's: sks, pll), or set {settings}.added=true and .start"
        raise VmcError(f"{key} is '{word}', which the tokenizer splits into {len(ids)} tokens; {remedy}")
    return int(ids[0])


def merge_row(embedding: TokenEmbedding, tokenizer: Any, text_encoder: Any) -> None:
    """Write the rows back into the plain embedding table, enlarged if a token was added (for export)."""
    text_encoder.set_input_embeddings(embedding.table)
    if max(embedding.ids.values()) >= embedding.table.num_embeddings:
        text_encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for name, row in embedding.rows.items():
            text_encoder.get_input_embeddings().weight[embedding.ids[name]] = row
