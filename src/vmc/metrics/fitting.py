"""Which tensor of a file does not fit a network."""

from collections.abc import Mapping

from torch import Tensor, nn

COUNTER = "num_batches_tracked"
"""How the names of BatchNorm's counters end; old files have none, and only training reads them."""


def misfit(network: nn.Module, state: Mapping[str, Tensor]) -> str | None:
    """The first tensor of another shape, else the first that is missing, else the first unknown; None where all fit."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    shapes = [
        f"it holds {name} of shape {found[name]}, but {expected[name]} is needed"
        for name in expected
        if name in found and found[name] != expected[name]
    ]
    missing = [
        f"it has no {name} of shape {expected[name]}"
        for name in expected
        if name not in found and not name.endswith(COUNTER)
    ]
    unknown = [f"it holds {name} of shape {found[name]}, which is unknown" for name in found if name not in expected]
    problems = [*shapes, *missing, *unknown]
    if not problems:
        return None
    return problems[0] if len(problems) == 1 else f"{problems[0]}, and {len(problems) - 1} tensors more do not fit"
