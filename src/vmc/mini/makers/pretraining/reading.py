"""Teaching the text encoder to read, before it meets pictures: to tell from a caption what its clip shows.

CLIP's text encoder comes to a video model trained, too. A random one learns nothing for thousands of steps of
denoising, because a UNet that cannot read yet gives it next to no gradient.

Axes: B captions, L text positions, D text width, A attributes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextModel

from vmc.mini.makers.pretraining.clips import spec_of
from vmc.mini.makers.pretraining.lesson import give
from vmc.mini.world.captions import caption
from vmc.mini.world.renderer import ClipSpec
from vmc.models.text import TextEncoder
from vmc.tools.learning.learner import Learner
from vmc.utils.randomness import derive_seed, generator

STEPS, BATCH = 1_000, 64
RATE = 0.02
"""Of Muon."""
_LOOKED_AT = 4_000
"""Clips from which the attributes' values are collected."""


def attributes_of(spec: ClipSpec) -> dict[str, str]:
    """What captions may say of a clip; of two people, the first."""
    person, gestures = spec.persons[0], (*spec.gestures, "", "")
    worn = (*person.accessories, "", "")
    return {
        "gesture": gestures[0],
        "second gesture": gestures[1],
        "persons": str(len(spec.persons)),
        "tempo": spec.tempo,
        "place": spec.place,
        "noun": person.occupation or person.kind,
        "skin": person.skin,
        "hair": "" if person.occupation else person.hair_style,
        "hair colour": "" if person.occupation else person.hair_color,
        "clothes": "" if person.occupation else person.clothes,
        "clothes colour": "" if person.occupation else person.clothes_color,
        "accessory": worn[0],
        "second accessory": worn[1],
    }


class Readout(nn.Module):
    """logits of every attribute, twice: from what a learned query of its own reads, and from the mean of all positions.

    A UNet's cross-attention reads as the queries do once it has learned to; before, it sees little but the mean, and
    learns from the text only if that says something.
    """

    def __init__(self, values: Mapping[str, Sequence[str]], *, width: int, draw: torch.Generator) -> None:
        super().__init__()
        self.names = list(values)
        self.query_AD = nn.Parameter(torch.randn(len(values), width, generator=draw) * width**-0.5)
        self.heads = nn.ModuleList(nn.Linear(width, len(known)) for known in values.values())
        self.mean_heads = nn.ModuleList(nn.Linear(width, len(known)) for known in values.values())

    def forward(self, text_BLD: Tensor) -> list[Tensor]:
        """logits_BK of each attribute, in the order of `names`, read by the queries, then from the mean."""
        weights_BAL = torch.einsum("ad,bld->bal", self.query_AD, text_BLD).softmax(-1)
        read_BAD = weights_BAL @ text_BLD
        mean_BD = text_BLD.mean(1)
        read = [head(read_BAD[:, place]) for place, head in enumerate(self.heads)]
        return [*read, *(head(mean_BD) for head in self.mean_heads)]


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """Captions and what is to be read in them.

    Args:
        clips: how many clips of the pretraining captions are drawn from.
        seed: of the pretraining.
    """

    clips: int
    seed: int

    def values(self) -> dict[str, list[str]]:
        """All values of every attribute."""
        seen = [attributes_of(spec_of(number)) for number in range(min(self.clips, _LOOKED_AT))]
        return {name: sorted({one[name] for one in seen}) for name in seen[0]}

    def batch(self, step: int, values: Mapping[str, Sequence[str]], size: int) -> tuple[list[str], list[Tensor]]:
        """Captions, and of each attribute the places_B of its values (-100, which counts nothing, where unknown)."""
        draw = generator(self.seed, step, "lesson")
        numbers = torch.randint(self.clips, (size,), generator=draw).tolist()
        specs = [spec_of(number) for number in numbers]
        texts = [caption(spec, derive_seed(self.seed, step, place, "read")) for place, spec in enumerate(specs)]
        read = [attributes_of(spec) for spec in specs]
        places = {name: {value: place for place, value in enumerate(known)} for name, known in values.items()}
        return texts, [torch.tensor([places[name].get(one[name], -100) for one in read]) for name in values]


def teach(text_encoder: CLIPTextModel, tokenizer: Any, lessons: Lessons, *, steps: int = STEPS) -> float:
    """Train the encoder in place; the mean loss of an attribute over the last tenth of the steps."""
    device, values = text_encoder.device, lessons.values()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(lessons.seed, "readout heads"))
        width = text_encoder.config.hidden_size
        readout = Readout(values, width=width, draw=generator(lessons.seed, "readout")).to(device)
    learner = Learner({"text": text_encoder, "readout": readout}, rate=RATE, steps=steps)
    encoder = TextEncoder(tokenizer=tokenizer, network=text_encoder, length=text_encoder.config.max_position_embeddings)

    def loss_of(step: int) -> Tensor:
        texts, wanted = lessons.batch(step, values, BATCH)
        logits = readout(encoder.encode_ids(encoder.token_ids(texts)).embeddings_BLD)
        pairs = zip(logits, [*wanted, *wanted], strict=True)
        return torch.stack([F.cross_entropy(a, b.to(device)) for a, b in pairs]).mean()

    return give("reading captions", learner, text_encoder, loss_of)
