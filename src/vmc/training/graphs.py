"""A whole training step as one CUDA graph: the step of a small model on a GPU is almost all launching of kernels, and a
graph launches all of them at once.

It is made as PyTorch's notes on CUDA semantics describe a whole-network capture: some steps on a stream of their own,
then the capture, in which nothing is computed, and from then on replays. All are steps of the run, on its own batches,
so that the weights are those of a run without a graph.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vmc.training.batches import Batch
from vmc.utils.errors import VmcError, first_line
from vmc.utils.graphs import WARM_UP

Outputs = dict[str, Tensor]


class StaticStep:
    """A step whose inputs and outputs stay in one place; on a GPU it becomes a graph.

    Args:
        step: what is done with a batch: gradients and the optimizer's step too. It must not wait for the GPU.
    """

    def __init__(self, step: Callable[[Batch], Outputs]) -> None:
        self._step, self._calls = step, 0
        self._inputs: Batch | None = None
        self._outputs: Outputs = {}
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, batch: Batch) -> Outputs:
        """Copies of the outputs, which the next step would overwrite."""
        inputs = self._copy_in(batch)
        if self._graph is not None:
            self._graph.replay()
        elif not tensors(batch)[0].is_cuda:
            self._outputs = self._step(inputs)
        elif self._calls < WARM_UP:
            self._warm_up(inputs)
        else:
            self._capture(inputs)
        self._calls += 1
        return {name: output.clone() for name, output in self._outputs.items()}

    def _copy_in(self, batch: Batch) -> Batch:
        """The batch in the place of the first one."""
        if self._inputs is None:
            self._inputs = batch.map(torch.clone)
            return self._inputs
        places, given = tensors(self._inputs), tensors(batch)
        if [one.shape for one in places] != [one.shape for one in given] or self._inputs.draws != batch.draws:
            raise VmcError("trainer.cuda_graph is true, and a step has clips of another shape; give false")
        for place, tensor in zip(places, given, strict=True):
            place.copy_(tensor, non_blocking=True)
        return self._inputs

    def _warm_up(self, inputs: Batch) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._outputs = self._step(inputs)
        torch.cuda.current_stream().wait_stream(stream)

    def _capture(self, inputs: Batch) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._outputs = self._step(inputs)
        except RuntimeError as error:
            raise VmcError(
                f"trainer.cuda_graph is true, but the step cannot be captured ({first_line(error)}); give false"
            ) from error
        graph.replay()
        self._graph = graph


def tensors(batch: Batch) -> list[Tensor]:
    """All tensors of a batch, in a fixed order."""
    found: list[Tensor] = []
    batch.map(lambda tensor: found.append(tensor) or tensor)  # type: ignore[func-returns-value]
    return found
