"""Keys that nothing reads and values that cannot be are refused, wherever they come from."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf, open_dict

from vmc.config.checks import check_config, check_parts, check_place
from vmc.config.command import quote_free_text
from vmc.config.folders import config_folder
from vmc.config.known_keys import arguments, schema_of
from vmc.generate import main as generate
from vmc.report import main as report
from vmc.train import main as train
from vmc.training.optimizers import make_optimizer
from vmc.utils.errors import VmcError


def composed(*overrides: str, command: str = "train"):
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        return compose(command, overrides=quote_free_text(overrides))


def refused(*overrides: str, command: str = "train") -> str:
    """What a command line is refused with, or nothing."""
    config = composed(*overrides, command=command)
    with pytest.raises(VmcError) as raised:
        check_config(config, command)
        check_parts(config)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# --- keys ------------------------------------------------------------------------------------------------------------


def test_further_tokens_and_a_start_are_keys_of_a_training():
    token = "+token.further={subject: {word: pll, trained: true, learning_rate: 1e-3}}"
    config = composed(token, "init=~/a, folder")
    check_config(config, "train")
    check_parts(config)
    assert instantiate(config.token).tokens["subject"].learning_rate == 1e-3
    assert config.init == str(Path.home() / "a, folder")
    assert "token.further.subject.learning_rate is -1" in refused(token.replace("1e-3", "-1"))
    assert refused("init=3").startswith("init is 3; it must be text or null")


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("paramters", "parameters"),
        ("motion.captoin", "motion.caption"),
        ("optimiser.lr", "optimizer"),
        ("evaluate_evry", "evaluate_every"),
        ("stop.apearance", "stop.appearance"),
        ("metrics.clasifier.path", "metrics.classifier"),
        ("data.source.exemplar", "data.source.exemplars"),
        ("ablaton", "+ablation"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_named(key, near):
    said = refused(f"+{key}=lora")
    assert said.endswith(f"is unknown; did you mean {near}?")


@pytest.mark.parametrize("plus", ["", "+"])
def test_so_is_one_that_is_typed_with_or_without_a_plus(plus, entered):
    status, said = entered(train, f"{plus}paramters=lora", "logger=csv")
    assert (status, said) == (1, "error: paramters is unknown; did you mean parameters?\n")
    assert not Path("outputs").exists()


def test_so_is_one_in_an_own_config(entered):
    Path("mine").mkdir()
    Path("mine/own.yaml").write_text("defaults: [train, _self_]\nmotion: {captoin: a {token}}\nlogger: {group: x}\n")
    Path("mine/own.yaml").write_text("defaults: [train, _self_]\nchekpoint_every: 3\n")
    status, said = entered(train, "--config-dir", "mine", "--config-name", "own")
    assert (status, said) == (1, "error: chekpoint_every is unknown; did you mean checkpoint_every?\n")


def test_so_is_one_in_a_sweep(entered):
    status, said = entered(train, "-m", "+paramters=lora,temporal", "logger=csv")
    assert status == 1
    assert "error: paramters is unknown; did you mean parameters?" in said
    status, said = entered(train, "-m", "paramters=lora,temporal", "logger=csv")
    assert status == 1
    assert "did you mean parameters?" in said and "append" not in said


def test_a_key_of_another_choice_may_be_added(entered):
    config = composed("+token.learning_rate=0.1", "token.trained=true")
    check_config(config, "train")
    check_parts(config)
    status, said = entered(train, "token.learning_rate=0.1", "logger=csv")
    assert (status, said) == (
        1,
        "error: token.learning_rate belongs to token=trained, which is not chosen; choose it, or leave the key out\n",
    )


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            ["metrics=none", "metrics.classifier.path=x"],
            "belongs to metrics=mini or metrics=paper, which is not chosen",
        ),
        (["parameters.rank=4"], "belongs to parameters=lora, which is not chosen"),
        (["subject.path=stills"], "belongs to subject=images or subject=mini, which is not"),
        (["model.strict=true"], "stands in no file that is chosen; +model.strict=... adds it"),
    ],
)
def test_a_key_that_is_not_there_is_told_the_choice_that_has_it(entered, typed, told):
    status, said = entered(train, *typed, "logger=csv")
    assert status == 1 and told in said


def test_a_setting_that_no_yaml_has_may_be_added():
    config = composed("+model.strict=true")
    check_config(config, "train")
    check_parts(config)
    assert refused("+model.strickt=true").startswith("model.strickt is unknown")


def test_a_setting_that_the_chosen_class_does_not_take_is_refused():
    assert refused("timesteps=uniform", "+timesteps.alpha=0.3") == (
        "timesteps.alpha is given, but Uniform takes no settings; leave it out"
    )


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adagrad", "NAdam"])
def test_any_optimizer_of_pytorch_is_chosen_by_its_class_and_rate(name):
    config = composed(f"optimizer._target_=torch.optim.{name}", "optimizer.lr=0.1")
    check_config(config, "train")
    check_parts(config)
    made = make_optimizer(instantiate(config.optimizer), [{"params": [torch.nn.Parameter(torch.zeros(1))]}])
    assert type(made) is getattr(torch.optim, name) and made.defaults["lr"] == 0.1


def test_what_was_given_for_another_optimizer_is_refused_and_not_dropped():
    said = refused("optimizer._target_=torch.optim.SGD", "optimizer.lr=0.1", "optimizer.betas=[0.9,0.99]")
    assert said.startswith("optimizer.betas is given, but SGD takes params, lr, momentum,")


def test_an_optimizer_whose_package_is_not_there_is_a_sentence():
    assert refused("optimizer._target_=nowhere.Lion") == (
        "_target_ is nowhere.Lion, which cannot be imported (No module named 'nowhere'); give the dotted name of a"
        " class that is installed"
    )


def test_keys_are_looked_at_without_the_package_of_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "bitsandbytes.optim", raising=False)
    arguments.cache_clear()
    config = composed("optimizer=adamw8bit")
    check_config(config, "train")
    assert schema_of("train").explain("optimizer.lrr") == "optimizer.lrr is unknown; did you mean optimizer.lr?"
    with pytest.raises(VmcError, match=r"bitsandbytes.*; pip install 'vmc\[bnb\]', or use optimizer=adamw$"):
        check_parts(config)


def test_a_config_of_the_yamls_own_classes_is_checked_without_importing_them():
    code = (
        "import sys\nfrom hydra import compose, initialize_config_dir\n"
        "from vmc.config.checks import check_config\nfrom vmc.config.folders import config_folder\n"
        "with initialize_config_dir(str(config_folder().resolve()), version_base='1.3'):\n"
        "    for words in ([], ['optimizer=sgd', 'lr_schedule=cosine', 'objective=appearance_debiased']):\n"
        "        check_config(compose('train', overrides=words), 'train')\n"
        "print([name for name in ('torch', 'transformers', 'diffusers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_free_mappings_stay_free():
    config = composed("+data.source.regularization={Thumb Up: a thumb}", "+prompts.known.a=b", "logger=wandb")
    with open_dict(config):
        config.regularization = {
            "_target_": "vmc.training.synthetic_regularization.SyntheticRegularization",
            "captions": {"a man": 2},
        }
    check_config(config, "train")


@pytest.mark.parametrize("command", ["train", "generate", "evaluate"])
def test_every_command_knows_its_own_keys(command):
    check_config(composed(command=command), command)
    check_parts(composed(command=command))


def test_a_class_of_ones_own_brings_its_own_settings(tmp_path, monkeypatch):
    (tmp_path / "own_steps.py").write_text(
        "class Sharp:\n    def __init__(self, *, edge: float, mild: bool = False): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = composed("timesteps._target_=own_steps.Sharp", "+timesteps.edge=0.5", "~timesteps.alpha")
    check_config(config, "train")
    check_parts(config)
    config.timesteps.edge = "wide"
    with pytest.raises(VmcError, match=r"timesteps.edge is wide; it must be a number"):
        check_parts(config)


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["no", "yes", "off", "1", "0", "'true'"])
def test_a_truth_value_is_true_or_false_and_no_text(value):
    assert refused(f"motion.mirror={value}") == f"motion.mirror is {value.strip(chr(39))}; it must be true or false"


@pytest.mark.parametrize("key", ["data.skip_bad", "token.trained", "trainer.offload"])
def test_so_is_every_truth_value(key):
    assert refused(f"{key}=no") == f"{key} is no; it must be true or false"


def test_so_is_one_outside_of_a_class():
    assert refused("copying=no", command="evaluate") == "copying is no; it must be true or false"
    assert refused("private=no", command="generate") == "private is no; it must be true or false"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.size=[64,32]", "data.size is [64, 32]; it must be a whole number"),
        ("data.fps=30fps", "data.fps is 30fps; it must be a number"),
        ("sampler.guidance=high", "sampler.guidance is high; it must be a number"),
        ("optimizer.lr=-1", "optimizer.lr is -1; it must be a rate of 0 or more"),
        ("+token.learning_rate=-1", "token.learning_rate is -1; it must be a rate of 0 or more"),
        ("rates.method=fast", "rates.method is fast; it must be a number"),
        ("stop.appearance=nan", "stop.appearance is nan; it must be a finite number"),
        (
            "sampler.guidance_interval=[0.3]",
            "sampler.guidance_interval is [0.3]; it must be a list of 2 values or null",
        ),
        ("sampler.guidance=nan", "sampler.guidance is nan; it must be a finite number"),
        ("regularization.weight=inf", "regularization.weight is inf; it must be a finite number"),
        ("optimizer.betas=[0.9,nan]", "optimizer.betas.1 is nan; it must be a finite number"),
        ("optimizer.betas=[2,2]", "optimizer.betas.0 is 2; it must be a number from 0 to below 1"),
        ("optimizer.betas=[0.9,1]", "optimizer.betas.1 is 1; it must be a number from 0 to below 1"),
        ("optimizer.eps=-1", "optimizer.eps is -1; it must be a number of 0 or more"),
        ("optimizer.weight_decay=-0.1", "optimizer.weight_decay is -0.1; it must be a number of 0 or more"),
        ("optimizer.betas=0.9", "optimizer.betas is 0.9; it must be a list of 2 values"),
        ("steps=2.5", "steps is 2.5; it must be a whole number"),
        ("steps=true", "steps is true; it must be a whole number"),
        ("stop=0.2", "stop is 0.2; it must be a mapping {key: value} or a choice of a group"),
        ("seed=-1", "seed is -1; it must be a whole number from 0 to 9223372036854775807"),
        ("seed=[1]", "seed is [1]; it must be a whole number"),
        (
            "prompts.seeds=3",
            "prompts.seeds is 3; it must be a list [...], each a whole number, as in prompts.seeds=[3]",
        ),
        ("prompts.limit=all", "prompts.limit is all; it must be a whole number or null"),
        ("data.start=middle", "data.start is middle; it must be random or first or centre or whole"),
        ("data.augmentation=strong", "data.augmentation is strong; it must be a Augmentation or null"),
        ("regularization.mix=both", "regularization.mix is both; it must be paired or union"),
        ("regularization.ratio=some", "regularization.ratio is some; it must be over_clips or balanced"),
        ("trainer.compile=blocks", "trainer.compile is blocks; it must be layers or null"),
        (
            "trainer.checkpoint_activations=most",
            "trainer.checkpoint_activations is most; it must be true or false or blocks or layers or auto",
        ),
        ("logger.tags=a", "logger.tags is a; it must be a list [...], each text"),
        ("parameters.groups=temporal", "parameters.groups is temporal; it must be a list [...], each text"),
    ],
)
def test_a_value_of_another_kind_is_said(override, said):
    extra = ["logger=wandb"] if override.startswith("logger") else []
    assert refused(*extra, override) == said


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seeds=3", "seeds is 3; it must be a list [...], each a whole number, as in seeds=[3]"),
        ("seeds=[1.5]", "seeds is [1.5]; it must be a list [...], each a whole number"),
        ("seeds=[99999999999999999999]", "seeds.0 is 99999999999999999999; it must be a whole number from 0 to"),
        ("seeds=[-1]", "seeds.0 is -1; it must be a whole number from 0 to"),
        ("step=last", "step is last; it must be a whole number or null"),
    ],
)
def test_so_is_one_of_generating(override, said):
    assert refused(override, command="generate").startswith(said)


def test_a_refused_value_ends_the_command_with_one_sentence(entered):
    status, said = entered(generate, "prompt=a", "seeds=[99999999999999999999]")
    assert status == 1
    assert said.count("\n") == 1 and said.startswith("error: seeds.0 is 99999999999999999999")


def test_16_bits_need_a_gpu():
    from hydra.utils import instantiate

    with pytest.raises(Exception, match="precision is 16-mixed, which a CPU does not compute in; use 32-true"):
        instantiate(composed("trainer.precision=16-mixed").trainer)


def test_several_clips_are_no_path(entered):
    status, said = entered(
        train,
        "data=videos",
        "data.path=[a.mp4,b.mp4]",
        "motion=custom",
        "regularization=none",
        "logger=csv",
        "motion.caption=a {token}",
        "evaluate_every=0",
        f"model.path={entered.model}",
    )
    assert status == 1
    assert "error: data.path is [a.mp4,b.mp4], which names several: put the clips into one folder" in said
    assert "Traceback" not in said


# --- places ----------------------------------------------------------------------------------------------------------


def test_a_place_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    check_place("output", tmp_path / "new" / "deeper")
    with pytest.raises(VmcError, match=r"output is .*file, which is a file; choose another folder"):
        check_place("output", tmp_path / "file")
    with pytest.raises(VmcError, match=r"output is .*file/x, but .*file is a file; choose another folder"):
        check_place("output", tmp_path / "file" / "x")
    with pytest.raises(VmcError, match=r"output is .*, which cannot be a folder \(File name too long\)"):
        check_place("output", tmp_path / ("x" * 300))


def test_a_folder_without_permission_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("vmc.config.checks.os.access", lambda *_: False)  # root may do everything
    with pytest.raises(VmcError, match=r"output is .*new, but .* cannot be written to \(permission\)"):
        check_place("output", tmp_path / "new")
    check_place("cache", tmp_path, read_only=True)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mp4/x"])
def test_a_cache_that_is_a_file_is_said(name, entered, monkeypatch):
    monkeypatch.setenv("VMC_CACHE", name)
    given = ["data=videos", "data.path=.", "motion=custom", "logger=csv", f"model.path={entered.model}"]
    status, said = entered(train, *given)
    assert status == 1
    assert said.startswith(f"error: VMC_CACHE is {name}, ") and said.count("\n") == 1
    status, said = entered(train, *given, f"cache={name}")
    assert said.startswith(f"error: cache is {name}, ") and said.count("\n") == 1
    assert not Path("outputs").exists()


@pytest.mark.parametrize("key", ["output", "export"])
def test_generating_into_a_file_is_said(key, entered):
    status, said = entered(generate, "prompt=a", f"{key}=clip.mp4/x")
    assert status == 1
    assert said.startswith(f"error: {key} is clip.mp4/x, but ") and said.endswith(" is a file; choose another folder\n")


def test_a_report_into_a_file_is_said(entered):
    status, said = entered(report, "runs=occupied", "output=clip.mp4/x")
    assert status == 1
    assert said.startswith("error: output is clip.mp4/x, but ") and said.endswith(" is a file; choose another folder\n")


def test_what_the_system_refuses_is_no_defect(entered, monkeypatch):
    def fails(*_):
        raise PermissionError(13, "Permission denied", "clips/a.mp4")

    monkeypatch.setattr("vmc.config.build.build_session", fails)
    status, said = entered(train, "logger=csv")
    assert status == 1
    assert "Traceback" not in said
    assert "error: clips/a.mp4: Permission denied; " in said


# --- metrics=none ----------------------------------------------------------------------------------------------------


def test_without_a_metric_of_appearance_nothing_stops_the_run():
    from vmc.config.build import threshold_of

    assert threshold_of(composed("metrics=none")) is None
    assert threshold_of(composed()) == composed().stop.appearance > 0.1
    assert threshold_of(composed("evaluate_every=0")) is None
    assert OmegaConf.select(composed("metrics=none"), "stop.appearance") is not None  # the config stays what was typed
