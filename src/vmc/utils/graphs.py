"""CUDA graphs of functions that are called repeatedly with tensors of the same shapes.

A small network on a GPU spends its time on launching kernels one by one; a graph launches all of them at once.
The training step (`StaticStep` of `vmc.training.module`) and the sampler use them; `graph_obstacles` of
`vmc.training.session` decides whether a run may.
"""

import logging
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from vmc.utils.errors import VmcError, first_line

log = logging.getLogger(__name__)

Tensors = Mapping[str, Tensor]
LARGEST = 50_000_000  # parameters of a network that gains; larger ones compute longer than launching takes
WARM_UP = 3  # calls before the capture, in which libraries allocate memory and choose their kernels


class Graph:
    """A function that is captured as a CUDA graph, which reads and writes static copies of its arguments.

    On a GPU the first calls run the function, the next one captures it, and all others replay the graph; each set of
    shapes has a graph of its own. On other devices every call runs the function. Every call has its effect once, also
    if the function changes tensors in place, as a training step does.

    Args:
        function: maps tensors by name to tensors by name. It must not wait for the GPU or branch on values of tensors,
            and other tensors that it reads must keep their place in memory. It enters autocast itself.
        device: where it computes.
        name: of the calls, in the plural, for the log: `steps of the sampler`.
    """

    def __init__(self, function: Callable[..., Tensors], *, device: torch.device, name: str) -> None:
        self.function, self.device, self.name = function, device, name
        self._by_shape: dict[Any, SimpleNamespace] = {}  # inputs, calls, outputs and graph of one set of shapes
        # Warm-up and capture share a stream: libraries keep a workspace for each.
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        if self._stream is None:
            log.info("%s run without CUDA graphs, which a %s does not have", name, device.type)

    def __call__(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Call the function and give new tensors, which later calls do not overwrite."""
        key = tuple((name, tensor.shape, tensor.dtype) for name, tensor in sorted(inputs.items()))
        if key not in self._by_shape:
            static = {name: torch.empty_like(tensor, device=self.device) for name, tensor in inputs.items()}
            self._by_shape[key] = SimpleNamespace(inputs=static, calls=0, outputs={}, graph=None)
        shapes = self._by_shape[key]
        for name, tensor in inputs.items():
            shapes.inputs[name].copy_(tensor)
        outputs = self._run(shapes)
        return {name: tensor.detach().clone() for name, tensor in outputs.items()}

    def _run(self, shapes: SimpleNamespace) -> Tensors:
        if self._stream is None:
            return self.function(**shapes.inputs)
        if shapes.graph is not None:
            shapes.graph.replay()
            return shapes.outputs
        shapes.calls += 1
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        if shapes.calls <= WARM_UP:
            with torch.cuda.stream(self._stream):
                outputs = self.function(**shapes.inputs)
            current.wait_stream(self._stream)
            return outputs
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile. The capture computes nothing; the replay below does.
        try:
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                shapes.outputs = self.function(**shapes.inputs)
        except RuntimeError as error:
            raise VmcError(
                f"trainer.cuda_graph is true, but {self.name} cannot be captured ({first_line(error)}); give false"
            ) from error
        current.wait_stream(self._stream)
        shapes.graph = graph
        graph.replay()
        return shapes.outputs
