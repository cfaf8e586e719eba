"""What a denoiser is told of its texts.

Axes: B texts, L positions of the text encoder, D its width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """Texts as a denoiser reads them.

    Args:
        embeddings_BLD: of the text encoder.
        mask_BL: True at positions that hold text; None for a denoiser that attends to all of them.
    """

    embeddings_BLD: Tensor
    mask_BL: Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeddings_BLD)

    def to(self, device: torch.device | str) -> "Conditioning":
        """The same on another device."""
        mask_BL = None if self.mask_BL is None else self.mask_BL.to(device)
        return Conditioning(self.embeddings_BLD.to(device), mask_BL)

    def repeated(self, count: int) -> "Conditioning":
        """One text for each of `count` videos; no memory is taken for the copies."""
        mask_BL = None if self.mask_BL is None else self.mask_BL.expand(count, -1)
        return Conditioning(self.embeddings_BLD.expand(count, -1, -1), mask_BL)

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
        embeddings_BLD = torch.cat([part.embeddings_BLD for part in parts])
        masks = [part.mask_BL for part in parts if part.mask_BL is not None]
        return cls(embeddings_BLD, torch.cat(masks) if masks else None)
