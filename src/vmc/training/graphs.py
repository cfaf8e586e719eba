"""A whole training step as one CUDA graph: the step of a small model on a GPU is almost all launching of kernels, and a
graph launches all of them at once.

The first steps, the capture and the replays are all steps of the run, on its own batches, so that the weights are those
of a run without a graph.
"""

import logging
from collections.abc import Callable
from typing import Any

from torch import Tensor

from vmc.diffusion.objective import Objective
from vmc.training.batches import Batch
from vmc.training.experiment import Experiment
from vmc.training.optimizers import Constant, OptimizerFactory, ScheduleFactory, takes
from vmc.training.subject import Subject
from vmc.utils.errors import VmcError
from vmc.utils.graphs import LARGEST, Graph

log = logging.getLogger(__name__)
Outputs = dict[str, Tensor]


class StaticStep:
    """A step whose inputs stay in one place; on a GPU it becomes a graph.

    Args:
        step: what is done with a batch: gradients and the optimizer's step too. It must not wait for the GPU.
    """

    def __init__(self, step: Callable[[Batch], Outputs]) -> None:
        self._step = step
        self._first: Batch | None = None

    def __call__(self, batch: Batch) -> Outputs:
        """Copies of the outputs, which the next step would overwrite."""
        given = tensors(batch)
        if self._first is None:
            self._first = first = batch

            def step(**inputs: Tensor) -> Outputs:
                places = iter(inputs.values())
                return self._step(first.map(lambda _: next(places)))

            self._graph = Graph(step, device=given[0].device, name="training steps")
        if [one.shape for one in tensors(self._first)] != [one.shape for one in given]:
            raise VmcError("trainer.cuda_graph is true, and a step has clips of another shape; give false")
        return self._graph(**{f"input{place}": tensor for place, tensor in enumerate(given)})


def tensors(batch: Batch) -> list[Tensor]:
    """All tensors of a batch, in a fixed order."""
    found: list[Tensor] = []
    batch.map(lambda tensor: found.append(tensor) or tensor)  # type: ignore[func-returns-value]
    return found


def graph_obstacles(
    parts: Experiment, denoiser: Any, objective: Objective, optimizer: OptimizerFactory, lr_schedule: ScheduleFactory
) -> list[str]:
    """Why no CUDA graph can be made of a run's step, or why one would gain nothing; the log says it, too."""
    hardware, count = parts.hardware, sum(tensor.numel() for tensor in denoiser.parameters())
    held = {
        "a CPU has no graphs": hardware.device.type != "cuda",
        f"there are {hardware.devices} processes": hardware.devices > 1,
        "a step has several micro-batches": hardware.accumulate > 1,
        "trainer.precision=16-mixed looks at the gradients between": hardware.precision == "16-mixed",
        "the text encoder of a trained token runs in the step": parts.token.trains,
        "stills of a subject have another shape": isinstance(parts.subject, Subject),
        "lr_schedule changes the rate": not isinstance(lr_schedule, Constant),
        "the objective draws for each clip": not objective.static,
        "the optimizer cannot be captured": "capturable" not in takes(optimizer),
        f"the denoiser has {count:,} parameters, more than {LARGEST:,}": count > LARGEST,
    }
    if reasons := [reason for reason, holds in held.items() if holds]:
        log.info("trainer.cuda_graph is true, but %s: every step launches its own kernels", " and ".join(reasons))
    return reasons
