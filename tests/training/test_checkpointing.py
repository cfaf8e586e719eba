"""Recomputing activations changes memory, never gradients."""

import pytest
import torch

from vmc.models.activation_checkpointing import checkpoint_activations, choose_layers, measure_activations
from vmc.models.parameters import ParameterSubset
from vmc.training import memory
from vmc.training.memory import FittedActivations
from vmc.training.signals import StopOnSignal


def gradients(base, *, checkpointed: str | None) -> tuple[dict[str, torch.Tensor], int]:
    unet = base.denoiser()
    trained = ParameterSubset().select_trainable(unet, base.groups)
    if checkpointed:
        checkpoint_activations(getattr(base, checkpointed)(unet))
    calls = []
    unet.mid_block.resnets[0].conv1.register_forward_hook(lambda *_: calls.append(1))
    source = torch.Generator().manual_seed(0)
    latents, text = torch.randn(2, 4, 4, 8, 8, generator=source), torch.randn(2, 77, 64, generator=source)
    unet(latents, torch.tensor([10, 900]), encoder_hidden_states=text).sample.square().mean().backward()
    return {name: parameter.grad for name, parameter in trained.items()}, len(calls)


@pytest.mark.parametrize("recomputed_parts", ["blocks", "layers"])
def test_gradients_are_the_same_and_what_is_recomputed_runs_twice(base, recomputed_parts):
    plain, once = gradients(base, checkpointed=None)
    recomputed, twice = gradients(base, checkpointed=recomputed_parts)
    assert (once, twice) == (1, 2)
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        assert torch.allclose(gradient, recomputed[name], rtol=1e-5, atol=1e-7), name
    assert any(gradient.abs().max() > 0 for gradient in plain.values())


def test_sampling_is_not_recomputed(base):
    unet = base.denoiser()
    checkpoint_activations(base.blocks(unet))
    with torch.no_grad():
        sample = unet(torch.zeros(1, 4, 2, 8, 8), 5, encoder_hidden_states=torch.zeros(1, 77, 64)).sample
    assert sample.shape == (1, 4, 2, 8, 8)


# --- as much as memory asks for --------------------------------------------------------------------------------------


def test_the_layers_that_hold_most_are_recomputed_until_a_step_fits():
    held = [10, 40, 20, 30]
    assert choose_layers(held, kept=110, room=110) == []
    assert choose_layers(held, kept=110, room=109) == [1, 3]  # one alone is there again while it is recomputed
    assert choose_layers(held, kept=110, room=80) == [1, 3]
    assert choose_layers(held, kept=110, room=79) == [1, 3, 2]
    assert choose_layers(held, kept=110, room=0) == [1, 3, 2, 0]


def test_what_layers_hold_is_measured_without_keeping_it(base):
    """What is counted is what a pass does keep, by another count: of the tensors that it saves, each storage once."""

    def passed(choose) -> tuple[int, int, list[int]]:
        unet = base.denoiser()
        ParameterSubset().select_trainable(unet, base.groups)
        layers = base.layers(unet)
        source = torch.Generator().manual_seed(0)
        latents, text = torch.randn(2, 4, 4, 8, 8, generator=source), torch.randn(2, 77, 64, generator=source)
        forward = lambda: unet(latents, torch.tensor([10, 900]), encoder_hidden_states=text).sample  # noqa: E731
        kept, held = measure_activations(unet, layers, forward)
        checkpoint_activations([layers[number] for number in choose(held)])
        weights, saved = {parameter.data_ptr() for parameter in unet.parameters()}, {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            if (place := tensor.untyped_storage().data_ptr()) not in weights:
                saved[place] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = forward()
        assert output.requires_grad
        return kept, sum(tensor.untyped_storage().nbytes() for tensor in saved.values()), held

    kept, truly, held = passed(lambda held: [])
    assert kept == pytest.approx(truly, rel=0.02)  # texts, which the batch holds in any case, are not counted
    most = sorted(range(len(held)), key=lambda number: -held[number])[:8]
    _, fewer, _ = passed(lambda held: most)
    assert fewer == pytest.approx(kept - sum(held[number] for number in most), rel=0.02)
    _, least, _ = passed(lambda held: range(len(held)))
    assert least == pytest.approx(kept - sum(held), rel=0.1) and least < 0.1 * truly


def test_a_run_measures_its_first_step_and_fits_into_what_is_free(train, monkeypatch, module, caplog):
    """As on a GPU, whose free memory is given here."""
    chosen = []
    monkeypatch.setattr(memory, "free_memory", lambda module, optimizer: 2**20)
    monkeypatch.setattr(memory, "checkpoint_activations", lambda layers: chosen.append(len(layers)))
    measure = FittedActivations()
    monkeypatch.setattr(StopOnSignal, "on_train_batch_start", lambda self, *words: measure.on_train_batch_start(*words))
    with caplog.at_level("INFO"):
        train("steps=2")
    layers = module["module"].model.layers(module["module"].denoiser)
    assert chosen == [len(layers)]
    assert f"and 0.00 are free; {len(layers)} of {len(layers)} layers are recomputed" in caplog.text


def test_on_a_cpu_activations_are_kept_and_the_log_says_so(train, monkeypatch, caplog):
    monkeypatch.setattr("vmc.training.session.checkpoint_activations", lambda modules: pytest.fail("recomputed"))
    with caplog.at_level("INFO"):
        train("trainer.checkpoint_activations=auto", "steps=1")
    assert "auto, which measures a GPU: on a CPU activations are kept" in caplog.text
