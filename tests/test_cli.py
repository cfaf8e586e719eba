"""Command lines: free text, help, what is refused, and that every config that ships composes and instantiates."""

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import OmegaConf

from vmc.cli import config_folder, quote_free_text
from vmc.diffusion.timesteps import CoarseNoise

CONFIGS = sorted(path.relative_to(config_folder()).with_suffix("") for path in config_folder().glob("*/*.yaml"))
GROUPS = ("model", "data", "motion", "token", "parameters", "timesteps", "sampler", "trainer", "logger", "prompts")

TEXTS = [
    'a person, doing it (slowly); "quoted", it\'s {token}',
    "plain",
    "a = b = c",
    "ends in a backslash \\",
    'a backslash \\" before a quote',
    "<script>alert('x')</script>",
    "${not.an.interpolation} [list] @ # %",
    "ünïcode, 日本語",
    "[a, b]",
    "1.50",
]


def composed(*overrides: str):
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        return compose("train", overrides=list(overrides))


@pytest.mark.parametrize("key", ["motion.caption", "prompt"])
@pytest.mark.parametrize("text", TEXTS)
def test_free_text_arrives_as_it_was_typed(key, text):
    name = "train" if key == "motion.caption" else "generate"
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        config = compose(name, overrides=quote_free_text([f"{key}={text}"]))
    assert OmegaConf.select(config, key) == text
    assert OmegaConf.to_container(config.get("motion"), resolve=True) is not None


@pytest.mark.parametrize("text", TEXTS)
def test_quoting_twice_is_quoting_once(text):
    """Lightning starts further ranks by the same, already quoted, command line."""
    once = quote_free_text([f"prompt={text}"])
    assert quote_free_text(once) == once


@pytest.mark.parametrize("argument", ["steps=3", "motion.caption=null", "+ablation=params_kv", "--help", "output=a,b"])
def test_everything_else_is_ordinary_hydra(argument):
    assert quote_free_text([argument]) == [argument]


def test_what_is_quoted_already_stays():
    assert quote_free_text(['prompt="a, b"']) == ['prompt="a, b"']
    assert OverridesParser.create().parse_override(quote_free_text(['prompt="a" and "b"'])[0]).value() == '"a" and "b"'


@pytest.mark.parametrize("choice", CONFIGS, ids=str)
def test_every_config_composes_and_instantiates(choice, tmp_path, blank):
    group, name = choice.parts
    override = f"+{group}={name}" if group in ("ablation", "baseline") else f"{group}={name}"
    config = composed(override, f"model.path={blank}", f"+data.unused={tmp_path}")
    del config.data.unused
    config.data.path = str(tmp_path)
    if config.trainer.accelerator == "gpu":
        config.trainer.accelerator = "cpu"
    parts = {key: instantiate(config[key]) for key in GROUPS}
    instantiate(config.optimizer)
    instantiate(config.regularization, source=parts["data"].source, seed=config.seed)
    assert OmegaConf.missing_keys(config) == set()


@pytest.mark.parametrize("name", ["params_kv", "temporal_trained", "token_frozen", "timesteps_coarse", "reg_real"])
def test_five_ablations_are_the_method_itself(name):
    assert composed(f"+ablation={name}") == composed()


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("params_none", "parameters.groups", ["temporal"]),
        ("params_all", "parameters.groups", ["temporal", "spatial"]),
        ("temporal_frozen", "parameters.groups", ["spatial_kv"]),
        ("temporal_frozen_spatial", "parameters.groups", ["spatial"]),
        ("token_trained", "token.trained", True),
        ("timesteps_uniform", "timesteps._target_", "vmc.diffusion.timesteps.Uniform"),
        ("reg_none", "regularization._target_", "vmc.training.regularization.NoRegularization"),
    ],
)
def test_an_ablation_differs_from_the_method_in_what_it_says_alone(name, key, value):
    arm, method = composed(f"+ablation={name}"), composed()
    assert OmegaConf.select(arm, key) == value
    assert arm.arm == name
    for group in method:
        if group not in ("arm", "output", key.split(".")[0]):
            assert arm[group] == method[group], group


def test_the_papers_stack_has_the_papers_values():
    config = composed("stack=paper", "data.path=.")
    assert (config.steps, config.batch_size, config.optimizer.lr) == (3000, 1, 5e-6)
    assert (config.data.frames, config.data.size, config.sampler.steps, config.sampler.guidance) == (16, 384, 25, 9.0)
    assert instantiate(config.timesteps) == CoarseNoise(alpha=0.5)
    assert (config.regularization.mix, config.regularization.weight) == ("paired", 0.5)
    assert config.prompts.file._target_ == "vmc.data.prompts.jester_test_set"


def command(*arguments: str, folder: Path, module: str = "vmc.train") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )


def test_help_lists_the_groups_and_loads_nothing_heavy(tmp_path):
    code = (
        "import sys, runpy; sys.argv = ['vmc.train', '--help']\n"
        "try: runpy.run_module('vmc.train', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print('HEAVY', sorted({'torch', 'diffusers', 'pytorch_lightning', 'wandb'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "ablation: params_all, params_kv" in run.stdout, run.stderr
    assert "HEAVY []" in run.stdout
    assert list(tmp_path.iterdir()) == []


REFUSED = [
    (["+ablation=params_kv", "+baseline=x"], ["baseline"]),
    (["motion=unknown"], ["motion/unknown", "swiping_down"]),
    (["data=videos", "data.path=absent", "motion=custom"], ["absent"]),
    (["data=videos", "data.path=.", "motion=custom"], ["."]),
    (["model.path=absent/model"], ["absent/model"]),
    (["timesteps.alpha=2"], ["timesteps.alpha", "2"]),
    (["trainer.threads=0"], ["trainer.threads"]),
    (["steps=0"], ["steps is 0"]),
    (["batch_size=0"], ["batch_size is 0"]),
    (["steps=many"], ["steps is many"]),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=lambda value: " ".join(value))
def test_what_cannot_be_done_is_said_in_a_sentence(arguments, words, tmp_path):
    run = command(*arguments, "evaluate_every=0", "logger=csv", folder=tmp_path)
    assert run.returncode != 0
    assert "Traceback" not in run.stderr + run.stdout
    for word in words:
        assert word in run.stderr + run.stdout
    assert not (tmp_path / "outputs").exists()
