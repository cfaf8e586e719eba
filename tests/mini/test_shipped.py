"""The networks that ship: the base model draws what it knows, and the card beside them is theirs."""

from dataclasses import replace

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from vmc.config.folders import config_folder
from vmc.data.prompts import Prompt
from vmc.evaluation.generation import TunedModel
from vmc.mini.__main__ import main
from vmc.mini.world.known import known_prompts
from vmc.models.token import MotionToken
from vmc.training.hardware import Hardware

DRAWN = ("Swiping Left", "Swiping Right", "Swiping Up", "Stop Sign", "Pulling Hand In", "Turning Hand Counterclockwise")
"""Known gestures, of which the card says that all 20 videos of each are right."""


@pytest.fixture(scope="module")
def config():
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        return compose("evaluate")


def gestures_of(config, model: TunedModel, **sampler: int) -> list[str]:
    """What the classifier sees in a video of each of these gestures, made with the miniature's sampler or as told."""
    templates = known_prompts()
    prompts = [
        Prompt(text=templates[name].replace("{subject}", "a firefighter"), seed=seed) for seed, name in enumerate(DRAWN)
    ]
    generator = model.generator(sampler=replace(instantiate(config.sampler), **sampler), batch_size=len(prompts))
    classifier = instantiate(config.metrics).metrics["classifier"].classifier
    chosen = classifier.probabilities(generator.frames(prompts)).argmax(1)
    return [classifier.labels[place] for place in chosen]


def test_the_shipped_model_draws_the_gestures_that_it_knows(config):
    model = TunedModel.load(instantiate(config.model), MotionToken(), None, hardware=Hardware(threads=1))
    seen = gestures_of(config, model)
    assert sum(found == asked for found, asked in zip(seen, DRAWN, strict=True)) >= len(DRAWN) - 1, seen
    # The same with a UNet of noise, of equal spread: nothing of it is left.
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in model.denoiser.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=noise) * tensor.std(correction=0))
    seen = gestures_of(config, model, steps=2)
    assert sum(found == asked for found, asked in zip(seen, DRAWN, strict=True)) <= 2, seen


def test_the_card_is_of_the_weights_and_the_renderer_that_ship(capsys):
    assert main(["card", "--check"]) == 0
    assert "belongs to the weights beside it and to this renderer" in capsys.readouterr().out
