"""Functions of tensors that are called again and again with equal shapes, each as one CUDA graph on a GPU.

A small network on a GPU waits for its kernels to be launched, one by one: a graph launches them all at once.
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
LARGEST = 50_000_000
"""Parameters of a network that gains by it; a larger one computes longer than its kernels take to launch."""
WARM_UP = 3
"""Calls before the capture: libraries allocate and choose their kernels during the first ones."""


class Graph:
    """A function, called on static copies of its arguments: what a CUDA graph reads and writes is always at one place.

    On a GPU the first calls run it as it is, the next one captures it, and all others replay what was captured; each
    set of shapes has a graph of its own. Elsewhere every call runs it. So every call has its effect once, also where
    the function changes tensors in place, as a training step does.

    Args:
        function: tensors by name, of tensors by name. It may not wait for the GPU, nor decide by the value of a
            tensor; what it reads beside its arguments must stay where it is in memory. Autocast belongs into it.
        device: where it computes.
        name: of what is called, in the third person plural, for the log: `steps of the sampler`.
    """

    def __init__(self, function: Callable[..., Tensors], *, device: torch.device, name: str) -> None:
        self.function, self.device, self.name = function, device, name
        self._by_shape: dict[Any, SimpleNamespace] = {}  # inputs, calls, outputs and graph of one set of shapes
        # Warm-up and capture share a stream: libraries keep a workspace for each.
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        if self._stream is None:
            log.info("%s run without CUDA graphs, which a %s does not have", name, device.type)

    def __call__(self, **inputs: Tensor) -> dict[str, Tensor]:
        """What the function gives of these, in tensors of the caller's own."""
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
        # Other threads may use the GPU meanwhile. Capturing runs nothing: the first replay does.
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
