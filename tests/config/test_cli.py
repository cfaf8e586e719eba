"""Command lines: free text, help, what is refused, and that every config that ships composes and instantiates."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import OmegaConf

from vmc.config.command import quote_free_text
from vmc.config.folders import config_folder, find_sweep
from vmc.diffusion.timesteps import CoarseNoise
from vmc.generate import main as generate
from vmc.train import main as train
from vmc.train import outcome

CONFIGS = sorted(path.relative_to(config_folder()).with_suffix("") for path in config_folder().glob("*/*.yaml"))
FIGURES = [choice.name for choice in CONFIGS if choice.parts[0] == "figures"]  # of vmc.report; all others of vmc.train
OF_MOTIONS = ("stand_in", "classes")
"""Groups whose choices come with a motion."""
GROUPS = (
    *("model", "data", "motion", "token", "parameters", "objective", "timesteps", "lr_schedule", "sampler", "trainer"),
    *("logger", "prompts", "subject"),
)

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


@pytest.mark.parametrize("text", TEXTS)
def test_free_text_arrives_as_it_was_typed(text):
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        config = compose("generate", overrides=quote_free_text([f"motion.caption={text}", f"prompt={text}"]))
    assert (config.motion.caption, config.prompt) == (text, text)
    assert OmegaConf.to_container(config.motion, resolve=True) is not None


@pytest.mark.parametrize("text", TEXTS)
def test_quoting_twice_is_quoting_once(text):
    """Lightning starts further ranks by the same, already quoted, command line."""
    once = quote_free_text([f"prompt={text}"])
    assert quote_free_text(once) == once


@pytest.mark.parametrize(
    "argument", ["steps=3", "motion.caption=null", "+ablation=params_kv", "--help", "seed=0,1", "output=outputs/a-1"]
)
def test_everything_else_is_ordinary_hydra(argument):
    assert quote_free_text([argument]) == [argument]


def test_several_quoted_pieces_are_one_text():
    (quoted,) = quote_free_text(["prompt='a','b'"])
    assert OverridesParser.create().parse_override(quoted).value() == "'a','b'"


def test_what_is_quoted_already_stays():
    assert quote_free_text(['prompt="a, b"']) == ['prompt="a, b"']
    assert OverridesParser.create().parse_override(quote_free_text(['prompt="a" and "b"'])[0]).value() == '"a" and "b"'


@pytest.mark.parametrize("choice", [one for one in CONFIGS if one.parts[0] not in ("figures", *OF_MOTIONS)], ids=str)
def test_every_config_composes_and_instantiates(choice, tmp_path, blank, monkeypatch):
    monkeypatch.setattr("vmc.mini.world.internet._made", lambda name, write: tmp_path)  # nothing is rendered for it
    group, name = choice.parts
    added = group in ("ablation", "baseline", "metric")
    override = f"+{group}={name}" if added else f"{group}={name}"
    config = composed(override, f"model.path={blank}")
    config.data.path = str(tmp_path)
    if OmegaConf.is_missing(config.subject, "path"):
        config.subject.path = str(tmp_path)
    if config.trainer.accelerator == "gpu":
        config.trainer.accelerator = "cpu"
    parts = {key: instantiate(config[key]) for key in GROUPS}
    if find_spec(config.optimizer._target_.partition(".")[0]):  # bitsandbytes need not be there
        instantiate(config.optimizer)
    instantiate(config.regularization, _partial_=True)(source=parts["data"].source, seed=config.seed, base_videos=None)
    assert OmegaConf.missing_keys(config) == set()


@pytest.mark.parametrize("choice", FIGURES)
def test_every_choice_of_figures_composes_and_instantiates(choice):
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        config = compose("report", overrides=[f"figures={choice}", "runs=a", "output=b"])
    figures = instantiate(config.figures)
    assert figures and all(callable(draw) for draw in figures.values())


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
        if group not in ("arm", "output", "optimizer", key.split(".")[0]):
            assert arm[group] == method[group], group
    assert {**arm.optimizer, "lr": 0} == {**method.optimizer, "lr": 0}  # the rate is the arm's own where it trains more


def test_adapters_differ_from_the_method_in_what_is_trained_and_its_rate():
    arm, method = composed("+ablation=lora"), composed()
    assert {group for group in method if arm[group] != method[group]} == {"arm", "output", "parameters", "optimizer"}
    assert (arm.parameters._target_, arm.arm) == ("vmc.models.lora.LoraSubset", "lora")
    assert {**arm.optimizer, "lr": 0} == {**method.optimizer, "lr": 0}


def test_the_papers_stack_has_the_papers_values():
    config = composed("stack=paper", "data.path=.")
    assert (config.steps, config.batch_size, config.optimizer.lr) == (3000, 1, 5e-6)
    assert (config.data.frames, config.data.size, config.sampler.steps, config.sampler.guidance) == (16, 384, 25, 9.0)
    assert instantiate(config.timesteps) == CoarseNoise(alpha=0.5)
    assert (config.regularization.mix, config.regularization.weight) == ("paired", 0.5)
    assert config.prompts.file._target_ == "vmc.data.prompts.jester_test_set"
    assert config.stop.appearance == 0.265


def test_help_lists_the_groups_and_loads_nothing_heavy(tmp_path):
    code = (
        "import sys, runpy; sys.argv = ['vmc.train', '--help']\n"
        "try: runpy.run_module('vmc.train', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print('HEAVY', sorted({'torch', 'diffusers', 'pytorch_lightning', 'wandb'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "ablation: lora, params_all, params_kv" in run.stdout, run.stderr
    assert "HEAVY []" in run.stdout
    assert list(tmp_path.iterdir()) == []


REFUSED = [
    (["parameters=null"], ["a group is given as null", "+baseline=pretrained"]),
    (["+ablation=params_kv", "+baseline=dreambooth"], ["+ablation=params_kv and +baseline=dreambooth", "choose one"]),
    (["+baseline=nothing"], ["baseline/nothing", "dreambooth"]),
    (["+ablation=nothing"], ["ablation/nothing", "params_kv"]),
    (["motion=unknown"], ["motion/unknown", "swiping_down"]),
    (["data=videos", "data.path=absent", "motion=custom"], ["absent"]),
    (["data=videos", "data.path=.", "motion=custom", "motion.caption=a {token}"], ["regularization=none"]),
    (["data=videos", "data.path=.", "motion=custom", "regularization=none"], ["motion.caption", "captions.csv"]),
    (["data=videos", "data.path=.", "motion=custom", "regularization=none", "motion.caption=a man"], ["sks", "a man"]),
    (["model.path=absent/model"], ["absent/model"]),
    (["data.size=60"], ["data.size is 60"]),
    (["parameters.groups=[nothing]"], ["'nothing'", "spatial_kv"]),
    (["parameters=lora", "parameters.rank=0"], ["parameters.rank is 0"]),
    (["parameters=lora", "parameters.targets=[nothing]"], ["parameters.targets", "'nothing'", "spatial_kv"]),
    (["parameters=token_only"], ["nothing is trained"]),
    (["timesteps.alpha=2"], ["timesteps.alpha", "2"]),
    (["trainer.threads=0"], ["trainer.threads"]),
    (["trainer=gpu"], ["trainer=cpu"]),
    (["trainer.clip_norm=0"], ["trainer.clip_norm is 0", "null"]),
    (["trainer.accelerator=cuda"], ["trainer.accelerator is cuda", "gpu"]),
    (["trainer.strategy=dpp"], ["trainer.strategy is dpp", "ddp"]),
    (["trainer.decode_frames=0"], ["trainer.decode_frames is 0"]),
    (["weights_dtype=float8"], ["weights_dtype is 'float8'", "bfloat16"]),
    (["steps=0"], ["steps is 0"]),
    (["steps=many"], ["steps is many"]),
    (["batch_size=0"], ["batch_size is 0"]),
    (["batch_size=3", "trainer.accumulate=2"], ["batch_size is 3"]),
    (["data=jester", "data.path=???"], ["data.path is not set"]),
    (["data.start=middle"], ["data.start"]),
    (["output=occupied"], ["occupied", "choose another folder"]),
    (["evaluate_every=1", "prompts.file=absent.txt"], ["absent.txt"]),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=lambda value: " ".join(value))
def test_what_cannot_be_done_is_said_in_a_sentence(arguments, words, entered):
    defaults = ["evaluate_every=0", "logger=csv", "data=videos", f"data.path={entered.clips}", "motion=custom"]
    defaults += ["regularization=none", "motion.caption=a {token}", f"model.path={entered.model}"]
    given = {argument.partition("=")[0] for argument in arguments}
    if "data.path=." in arguments:  # these say themselves what captions and regularization they have
        given |= {"motion.caption", "regularization"}
    status, said = entered(train, *arguments, *[text for text in defaults if text.partition("=")[0] not in given])
    assert status == 1
    assert "Traceback" not in said
    for word in words:
        assert word in said
    assert not Path("outputs").exists()
    assert sorted(path.name for path in Path("occupied").iterdir()) == ["notes.txt"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["prompt=", "export="]),
        (["prompt=a", "prompts.file=b"], ["choose one"]),
        (["prompt=a", "step=3"], ["step is 3", "run is null"]),
        (["prompt=a {tokn}"], ["{tokn}", "{token}"]),
        (["run=absent", "prompt=a"], ["absent", "config.yaml"]),
        (["prompts.file=absent.csv"], ["absent.csv"]),
        (["prompts.file=occupied/notes.csv"], ["prompt or subject"]),
        (["prompt=a", "sampler.steps=0"], ["sampler.steps is 0"]),
        (["prompt=a", "batch_size=0"], ["batch_size is 0"]),
        (["export=occupied"], ["occupied", "exists already"]),
        (["prompt=a", "push=me/mine"], ["push is me/mine", "export=DIR"]),
        (["export=new", "push=not a name"], ["push is not a name", "USER/NAME"]),
        (["model.path=occupied", "prompt=a"], ["unet/config.json"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_cannot_be_generated_is_said_in_a_sentence(arguments, words, entered):
    if "prompts.file=occupied/notes.csv" in arguments:
        Path("occupied/notes.csv").write_text("a,b\n1,2\n")
    own = [] if any(text.startswith("model.path") for text in arguments) else [f"model.path={entered.model}"]
    status, said = entered(generate, *arguments, *own)
    assert status == 1
    assert "Traceback" not in said
    for word in words:
        assert word in said
    assert not Path("outputs").exists()


def test_a_defect_is_shown_with_its_traceback(entered, monkeypatch):
    monkeypatch.setattr("vmc.config.build.build_session", lambda *_: 1 / 0)
    status, said = entered(train, "logger=csv")
    assert status == 1
    assert "ZeroDivisionError" in said


def test_a_traceback_can_be_asked_for(entered, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    _, said = entered(train, "trainer.threads=0", "data=videos", "data.path=.")
    assert "Traceback" in said


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([], []),
        (["steps=3"], ["steps=3"]),
        (["steps=3", "-m"], ["-m", "steps=3"]),
        (["--config-name", "absent"], ["--config-name", "absent"]),
        (["--config-name"], ["--config-name"]),
    ],
)
def test_a_command_without_a_sweep_stays_as_it_is(given, found):
    assert find_sweep(given) == found


@pytest.mark.parametrize(
    ("status", "reason", "threshold", "early", "every", "remarked"),
    [
        ("finished", "steps", 0.168, True, 50, True),
        ("finished", "steps", 0.0, True, 50, True),
        ("finished", "steps", None, True, 50, False),
        ("finished", "steps", 0.168, False, 50, False),
        ("finished", "steps", 0.168, True, 0, False),
        ("finished", "appearance", 0.168, True, 50, False),
        ("stopped", "signal", 0.168, True, 50, False),
    ],
)
def test_a_threshold_is_said_at_the_end_whether_it_was_reached_or_not(
    status, reason, threshold, early, every, remarked
):
    stop = {"evaluate_every": every, "stop": {"appearance": threshold, "early": early}}
    config = OmegaConf.create({**stop, "metrics": {"appearance": {"path": "a"}}, "steps": 600})
    said = outcome(config, {"status": status, "step": 300, "reason": reason})
    assert said.startswith(f"{status} at step 300 ({reason})")
    assert ("did not fall to stop.appearance" in said) == remarked
    assert ("stop.appearance=null, with another output=, trains on to step 600" in said) == (reason == "appearance")
