"""Each base model brings the sampler that its videos are made with, whichever command makes them."""

import json
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from vmc.config.folders import config_folder
from vmc.evaluate import main as evaluate

SAMPLERS = {"mini": (12, 5.0), "zeroscope": (25, 9.0), "modelscope": (25, 9.0), "animatediff": (25, 7.5)}
"""Steps and guidance. ZeroScope's are the release's, while it trains; AnimateDiff's its page's."""


def sampler_of(command: str, *overrides: str) -> tuple[int, float]:
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        sampler = compose(command, overrides=list(overrides)).sampler
    return sampler.steps, sampler.guidance


@pytest.mark.parametrize("command", ["train", "generate", "evaluate"])
@pytest.mark.parametrize("model", SAMPLERS)
def test_a_model_has_one_sampler_in_every_command(command, model):
    assert sampler_of(command, f"model={model}") == SAMPLERS[model]
    assert sampler_of(command, f"model={model}", "sampler.steps=50") == (50, SAMPLERS[model][1])


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_stack_has_the_sampler_of_its_model(command):
    assert sampler_of(command) == sampler_of(command, "stack=mini") == SAMPLERS["mini"]
    assert sampler_of(command, "stack=paper") == SAMPLERS["zeroscope"]
    assert sampler_of(command, "stack=paper", "model=modelscope") == SAMPLERS["modelscope"]
    assert sampler_of("generate") == SAMPLERS["mini"]


def test_a_samplers_numbers_stand_in_one_place():
    files = {file.relative_to(config_folder()).as_posix(): file.read_text() for file in config_folder().rglob("*.yaml")}
    numbers = {name: re.findall(r"guidance: +\d", text) for name, text in files.items()}
    found = {name for name, there in numbers.items() if there}
    # A stack says how an image model is inflated, and its sampler with it.
    assert found and all(name.startswith("model/") for name in found - {"stack/mini.yaml", "stack/paper.yaml"})
    assert all(len(numbers[name]) <= 1 for name in found)


@pytest.fixture
def run(train, metrics, tmp_path):
    return train(*metrics, "evaluate_every=1", "evaluate_subset=1", "steps=1", f"cache={tmp_path / 'cache'}")


def test_an_evaluation_that_is_not_the_runs_protocol_says_so(run, entered):
    status, said = entered(evaluate, f"run={run.path}", "prompts.limit=1", "sampler.steps=2", "output=other")
    assert status == 0, said
    told = f"not the protocol of {run.path}: prompts.limit is 1 (the run: null), sampler.steps is 2 (the run: 1)"
    assert [line for line in said.splitlines() if "protocol" in line] == [told]
    assert json.loads(Path("other/summary.json").read_text())["protocol"]["sampler"]["steps"] == 2
    status, said = entered(evaluate, f"run={run.path}")
    assert status == 0 and "protocol" not in said, said
