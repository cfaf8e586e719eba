"""Which tensor of a file does not fit a network."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

COUNTER = "num_batches_tracked"
"""How the names of BatchNorm's counters end; old files have none, and only training reads them."""

Shapes = Mapping[str, Sequence[int]]
"""Of tensors, by their names."""


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Of each tensor."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def misfit(network: nn.Module, state: Mapping[str, Tensor]) -> str | None:
    """`shapes_misfit` of a network and the tensors that are meant for it."""
    return shapes_misfit(shapes_of(network.state_dict()), shapes_of(state))


def shapes_misfit(expected: Shapes, found: Shapes) -> str | None:
    """The first tensor of another shape, else the first that is missing, else the first unknown; None where all fit."""
    shapes = [
        f"it holds {name} of shape {tuple(found[name])}, but {tuple(expected[name])} is needed"
        for name in expected
        if name in found and tuple(found[name]) != tuple(expected[name])
    ]
    missing = [
        f"it has no {name} of shape {tuple(expected[name])}"
        for name in expected
        if name not in found and not name.endswith(COUNTER)
    ]
    unknown = [
        f"it holds {name} of shape {tuple(found[name])}, which is unknown" for name in found if name not in expected
    ]
    problems = [*shapes, *missing, *unknown]
    if not problems:
        return None
    return problems[0] if len(problems) == 1 else f"{problems[0]}, and {len(problems) - 1} tensors more do not fit"
