"""Functions on static tensors: what a CUDA graph replays, run as it is on a CPU."""

import logging

import pytest
import torch
from torch import Tensor

from vmc.utils.graphs import Graph


def test_calls_give_what_the_function_gives_and_each_has_its_effect_once(caplog: pytest.LogCaptureFixture) -> None:
    """Results are the caller's own, read from tensors that stay where they are; on a CPU the log says so."""
    state, places = torch.zeros(2), set()

    def step(one: Tensor, two: Tensor) -> dict[str, Tensor]:
        places.add((one.data_ptr(), two.data_ptr()))
        state.add_(one)
        return {"product": one * two, "state": state}

    with caplog.at_level(logging.INFO):
        graph = Graph(step, device=torch.device("cpu"), name="steps")
    given = [(torch.full((2,), float(index)), torch.arange(2.0)) for index in range(6)]
    results = [graph(one=one, two=two) for one, two in given]
    for index, ((one, two), result) in enumerate(zip(given, results, strict=True)):
        assert torch.equal(result["product"], one * two)
        assert result["state"].tolist() == [sum(range(index + 1))] * 2
    assert len(places) == 1
    assert "steps run without CUDA graphs, which a cpu does not have" in caplog.text


def test_every_set_of_shapes_has_tensors_of_its_own() -> None:
    """A smaller batch does not disturb the larger one's, and a type is a part of a shape."""
    places = {}

    def double(one: Tensor) -> dict[str, Tensor]:
        places.setdefault((len(one), one.dtype), set()).add(one.data_ptr())
        return {"one": one * 2}

    graph = Graph(double, device=torch.device("cpu"), name="calls")
    for one in (torch.ones(4), torch.ones(2), torch.ones(4), torch.ones(2, dtype=torch.float64)):
        assert torch.equal(graph(one=one)["one"], one * 2)
    assert [len(found) for found in places.values()] == [1, 1, 1]


def test_gradients_within_a_call_are_those_outside() -> None:
    """A training step: backward and an update in place within the function."""
    weight, plain = (torch.ones(3, requires_grad=True) for _ in range(2))

    def step(one: Tensor, trained: Tensor = weight) -> dict[str, Tensor]:
        trained.grad = None
        loss = (trained * one).square().sum()
        loss.backward()
        with torch.no_grad():
            trained.sub_(0.1 * trained.grad)
        return {"loss": loss}

    graph = Graph(step, device=torch.device("cpu"), name="steps")
    for index in range(5):
        one = torch.arange(3.0) + index
        assert torch.equal(graph(one=one)["loss"], step(one, plain)["loss"].detach())
    assert torch.equal(weight, plain)
