"""The network, its batches and the length of its training."""

from dataclasses import dataclass

STEPS, CLIPS = 1600, 4000
RATE = 0.02
"""Of Muon."""
EDGES = ("backbone.conv1.", "backbone.fc.")
"""First and last layer, which AdamW trains."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of the network and its batches.

    Args:
        layers: basic blocks of the four stages.
        stem: channels of the first stage.
        width: of the descriptor.
        groups: of look-alikes in a batch.
        entropy: weight of the crowding term, the paper's lambda.
    """

    layers: tuple[int, int, int, int] = (1, 1, 1, 1)
    stem: int = 24
    width: int = 128
    groups: int = 16
    entropy: float = 5.0
