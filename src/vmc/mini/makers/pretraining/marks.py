"""Teaching the text encoder that a word it does not know is still a word, after it has learned to read.

To CLIP every word of its vocabulary is something of its own, also one that hardly ever occurs; that is what a rare word
is chosen for. The lessons of reading teach the opposite: a word of which nothing can be read is noise, and "a person
doing the sks sign" became the same as "a person". So each unknown word leaves a mark, its own, from where it stands to
the end of the text, and all else keeps meaning what it meant.

Axes: B captions, L text positions, D text width.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextModel

from vmc.mini.makers.pretraining.clips import spec_of
from vmc.mini.makers.pretraining.lesson import give
from vmc.mini.world.captions import RARE_WORDS, caption
from vmc.tools.learning.learner import Learner
from vmc.utils.randomness import derive_seed, generator

STEPS, BATCH = 800, 48
RATE = 0.01
"""Of Muon."""
MARK = 6.0
"""Length of a mark; where the text has ended, outputs for two gestures are 9 to 14 apart, for two subjects 4 to 6."""
_LOOKED_AT = 3_000
"""Clips whose captions tell which words are known."""
_RARE_SHARE = 0.4
"""How often the word is one of `RARE_WORDS`."""
_SIGN_SHARE = 0.5
"""How often it stands where a sign's name does."""


def unknown_words(tokenizer: Any, clips: int) -> list[str]:
    """Whole words of the vocabulary, one token each, that no caption has, in the order of the vocabulary."""
    known = set[int]()
    for number in range(min(clips, _LOOKED_AT)):
        texts = [caption(spec_of(number), derive_seed(number, place), rare_share=0.0) for place in range(2)]
        known.update(*tokenizer(texts).input_ids)
    tokens = sorted((place, text) for text, place in tokenizer.get_vocab().items() if place not in known)
    whole = (text.removesuffix("</w>") for _, text in tokens if text.endswith("</w>"))
    return [word for word in whole if word.isascii() and word.isalpha() and len(word) > 1]


@dataclass(frozen=True, kw_only=True)
class Marking:
    """Captions, the same with an unknown word in them, and where and which it is.

    Args:
        tokenizer: CLIP's.
        clips: how many clips of the pretraining captions are drawn from.
        seed: of the pretraining.
    """

    tokenizer: Any
    clips: int
    seed: int
    words: list[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", unknown_words(self.tokenizer, self.clips))

    def batch(self, step: int, size: int, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """plain_BL and marked_BL token ids, the place_B of the marked ones' unknown word, and its token_B."""
        draw = generator(self.seed, step, "marks")
        numbers = torch.randint(self.clips, (size,), generator=draw).tolist()
        rows = list[tuple[list[int], list[int], int, int]]()
        for place, number in enumerate(numbers):
            text = caption(spec_of(number), derive_seed(self.seed, step, place, "marked"), rare_share=0.0)
            if float(torch.rand((), generator=draw)) < _SIGN_SHARE:
                text = f"{text.rstrip('.').partition(' doing ')[0]} doing the sign"
                plain = self.tokenizer(text).input_ids
                where = len(plain) - 2
            else:
                plain = self.tokenizer(text).input_ids
                where = int(torch.randint(2, len(plain), (), generator=draw))
            token = self._token(draw)
            rows.append((plain, [*plain[:where], token, *plain[where:]], where, token))
        plains, marked, places, tokens = zip(*rows, strict=True)
        ids = [torch.tensor([self._padded(row, length) for row in texts]) for texts in (plains, marked)]
        return ids[0], ids[1], torch.tensor(places), torch.tensor(tokens)

    def _token(self, draw: torch.Generator) -> int:
        """A word's token; of a rare word that is several (ktn, zwx) only the first of its pieces."""
        rare = float(torch.rand((), generator=draw)) < _RARE_SHARE
        words = RARE_WORDS if rare else self.words
        return int(self.tokenizer(words[int(torch.randint(len(words), (), generator=draw))]).input_ids[1])

    def _padded(self, ids: list[int], length: int) -> list[int]:
        return (ids + [self.tokenizer.pad_token_id] * length)[:length]


def leave_marks(text_encoder: CLIPTextModel, marking: Marking, *, steps: int = STEPS) -> float:
    """Train the encoder in place; the mean squared error of the last tenth of the steps."""
    device, length = text_encoder.device, text_encoder.config.max_position_embeddings
    former = copy.deepcopy(text_encoder).requires_grad_(False).eval()
    table_VD = F.normalize(former.get_input_embeddings().weight.detach(), dim=1)
    width = table_VD.shape[1]
    # Turned, so that a mark is nothing that the word's own embedding has already brought into the residual stream.
    turn_DD = torch.nn.init.orthogonal_(torch.empty(width, width), generator=generator(marking.seed, "marks")).to(
        device
    )
    text_encoder.requires_grad_(True).get_input_embeddings().requires_grad_(False)  # thousands of words would be stored
    learner = Learner({"text": text_encoder}, rate=RATE, steps=steps)
    places_L = torch.arange(length, device=device)

    def loss_of(step: int) -> Tensor:
        plain_BL, marked_BL, place_B, token_B = (one.to(device) for one in marking.batch(step, BATCH, length))
        with torch.no_grad():
            later_BL1 = (places_L[None] >= place_B[:, None])[..., None]
            marks_BLD = MARK * (table_VD[token_B] @ turn_DD)[:, None] * later_BL1
            wanted = former(plain_BL).last_hidden_state, former(marked_BL).last_hidden_state + marks_BLD
        found = text_encoder(torch.cat([plain_BL, marked_BL])).last_hidden_state
        return F.mse_loss(found, torch.cat(wanted))

    return give("marking unknown words", learner, text_encoder, loss_of)
