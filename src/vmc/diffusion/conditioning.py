"""What a denoiser reads of its texts.

Axes: B texts, L positions of the text encoder, D its width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """Texts as a denoiser reads them: the text encoder's embeddings, and a mask that is True at positions that hold
    text, None for a denoiser that attends to all of them.
    """

    embeddings_BLD: Tensor
    mask_BL: Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeddings_BLD)

    def to(self, device: torch.device | str) -> "Conditioning":
        """The same on another device."""
        return Conditioning.of({name: tensor.to(device) for name, tensor in self.tensors().items()})

    def repeated(self, count: int) -> "Conditioning":
        """One text for each of `count` videos; no memory is taken for the copies."""
        return Conditioning.of({name: one.expand(count, *one.shape[1:]) for name, one in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """By name, for a cache."""
        return {name: tensor for name, tensor in vars(self).items() if tensor is not None}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "Conditioning":
        """What `tensors` has given."""
        return cls(tensors["embeddings_BLD"], tensors.get("mask_BL"))

    @classmethod
    def cat(cls, parts: Sequence["Conditioning"]) -> "Conditioning":
        """Several as one, in order; all of them with masks or none."""
        names = parts[0].tensors()
        return cls.of({name: torch.cat([part.tensors()[name] for part in parts]) for name in names})
