"""What a run's config may name: the classes of the YAMLs that ship, and nothing that runs or looks up anything else."""

import json
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from vmc.config import command as composing
from vmc.config.checks import check_config, check_parts
from vmc.config.folders import config_folder
from vmc.config.known_keys import arguments, named_targets
from vmc.config.run_config import check_run_config
from vmc.config.trusted_classes import check_foreign, is_allowed
from vmc.evaluate import TAKEN_OVER as EVALUATED
from vmc.evaluate import main as evaluate
from vmc.generate import TAKEN_OVER as GENERATED
from vmc.generate import main as generate
from vmc.runs.earlier_versions import read_config
from vmc.utils.errors import VmcError

YAMLS = sorted(config_folder().glob("[a-gi-z]*/*.yaml"))  # hydra/ holds launchers
OWN = (
    "vmc.utils.processes.end_with_parent",
    "vmc.utils.processes.run_module",
    "vmc.config.command.run_hydra",
    "vmc.utils.files.atomic_write",
)
OTHERS = (
    *("pathlib.Path.write_text", "os.system", "subprocess.run", "builtins.eval", "torch.load", "vmc", ""),
    *("torch.optim.lr_scheduler.StepLR", "torch.optim.adamw.adamw", "torch.optim.Optimizer.load_state_dict"),
    *("torch.optim.os.system", "hydra.utils.instantiate", "shutil.rmtree", None, 5, ["os.system"]),
)


def targets(node, place):
    """Every `_target_` with its place."""
    for key, value in node.items():
        if key == "_target_":
            yield place, value
        elif isinstance(value, dict):
            yield from targets(value, f"{place}.{key}" if place else key)


@pytest.mark.parametrize("file", YAMLS, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_class_that_ships_is_allowed_at_its_place(file):
    content = yaml.safe_load(file.read_text())
    head = file.read_text().partition("\n")[0]
    package = head.removeprefix("# @package ") if head.startswith("# @package ") else file.parent.name
    for place, target in targets(content, "" if package == "_global_" else package):
        assert is_allowed(place, target), f"{place}: {target}"


@pytest.mark.parametrize("command", ["train", "generate", "evaluate", "report"])
def test_so_is_every_class_of_a_composed_config(command):
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        config = compose(command, overrides=["+ablation=reg_synthetic"] if command == "train" else [])
    config = OmegaConf.to_container(OmegaConf.masked_copy(config, [k for k in config if k not in ("runs", "output")]))
    for place, target in targets(config, ""):
        assert is_allowed(place, target), f"{place}: {target}"


def test_alternatives_that_the_yamls_comments_name_are_allowed():
    assert is_allowed("metrics.classifier", "vmc.metrics.networks.classifiers.TSMClassifier")
    assert is_allowed("metrics.classifier", "vmc.metrics.networks.classifiers.HuggingFaceClassifier")
    assert is_allowed("model.path", "vmc.mini.makers.blank.blank_folder")
    assert is_allowed("optimizer", "torch.optim.RMSprop")


@pytest.mark.parametrize("target", [*OWN, *OTHERS], ids=str)
def test_nothing_else_is(target):
    assert not any(is_allowed(place, target) for place in [*named_targets(), "x"])


def test_a_class_is_allowed_at_its_own_place_alone():
    assert not is_allowed("token", "vmc.models.zeroscope.UNet3D")
    assert not is_allowed("model.get", "vmc.mini.shipped.shipped")
    assert not is_allowed("data.source.regularization", "vmc.mini.world.jester_folder.default_folder")


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "vmc.models.token.MotionToken", "word": {"_target_": "pathlib.Path.write_text"}},
        {"_target_": "vmc.models.token.MotionToken", "word": [{"a": {"_target_": "os.system"}}]},
        {"_target_": "vmc.models.token.MotionToken", "_args_": ["x"]},
        {"_target_": "vmc.models.token.MotionToken", "_partial_": True},
        {"_target_": "vmc.models.token.MotionToken", "_recursive_": False},
        {"_target_": "vmc.models.token.MotionToken", "word": "${oc.env:HOME}"},
        {"_target_": "vmc.models.token.MotionToken", "word": "\\${oc.env:HOME}"},
        {"_target_": "vmc.models.token.MotionToken", "word": "\\\\${oc.decode:x}"},
        {"_target_": "vmc.models.token.MotionToken", "word": "???"},
        {"_target_": "${x}"},
    ],
)
def test_what_would_run_or_look_up_is_refused_at_any_depth(node):
    with pytest.raises(VmcError, match=r"^config.yaml has (no value for )?token\."):
        check_foreign(node, "token", source="config.yaml")


@pytest.mark.parametrize("value", [True, 1, "false", "no", None])
def test_a_run_does_not_say_itself_that_the_code_of_its_files_may_run(value):
    node = {
        "copying": {"_target_": "vmc.metrics.networks.sscd.CopyNetwork", "path": "a.torchscript.pt", "trust": value}
    }
    with pytest.raises(VmcError, match=r"^config.yaml has metrics.copying.trust: .*, which runs the code of a file; g"):
        check_foreign(node, "metrics", source="config.yaml")
    with pytest.raises(VmcError, match=r"copying.trust"):
        check_foreign(node["copying"], "metrics.copying", source="config.yaml")
    check_foreign(node, "metrics", source="config.yaml", trust=True)
    node["copying"]["trust"] = False
    check_foreign(node, "metrics", source="config.yaml")


def test_a_run_that_is_trusted_may_name_any_class_and_still_looks_up_nothing():
    check_foreign({"_target_": "mine.Sampler"}, "timesteps", source="config.yaml", trust=True)
    with pytest.raises(VmcError, match="not looked up"):
        check_foreign({"a": "${oc.env:HOME}"}, "timesteps", source="config.yaml", trust=True)


# --- runs ------------------------------------------------------------------------------------------------------------


def resolved(*overrides: str):
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        return json.loads(json.dumps(OmegaConf.to_container(compose("train", overrides=list(overrides)), resolve=True)))


def write_run(folder: Path, config) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    (folder / "run.json").write_text('{"status": "finished", "reason": "steps", "step": 1, "seconds": 1.0}')
    return folder


OVERLAYS = [
    *("", "+ablation=lora", "+ablation=reg_synthetic", "+ablation=token_trained"),
    *("+baseline=pretrained", "+baseline=tune_a_video"),
]


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("keys", [EVALUATED, GENERATED], ids=["evaluate", "generate"])
def test_the_projects_own_runs_are_read(overlay, keys, tmp_path):
    config = resolved(*([overlay] if overlay else []))
    ours = check_run_config(read_config(write_run(tmp_path / "run", config)), keys, source="config.yaml")
    assert {key: ours[key] for key in keys if key != "trainer"} == {
        key: config[key] for key in keys if key != "trainer"
    }


def test_a_run_of_an_earlier_version_is_read_without_what_is_no_more(tmp_path, caplog):
    config = resolved()
    wanted = check_run_config(config, EVALUATED, source="config.yaml")
    config["data"]["step"], config["regularization"]["step"], config["model"]["flux"] = 4, 4, 1
    assert check_run_config(config, EVALUATED, source="config.yaml") == wanted
    assert "model.flux" in caplog.text and "regularization.step" in caplog.text


def test_a_token_may_not_be_looked_up_in_the_environment(entered, monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET", "hunter2")
    config = resolved()
    config["motion"]["prompt"] = "{subject} ${oc.env:SECRET}"
    status, said = entered(generate, f"run={write_run(tmp_path / 'run', config)}", "prompt=a")
    assert status == 1
    assert "hunter2" not in said and "motion.prompt" in said and said.count("\n") == 1


@pytest.mark.parametrize("main", [generate, evaluate], ids=["generate", "evaluate"])
@pytest.mark.parametrize("place", ["token", "motion", "model.path", "sampler.steps"])
def test_a_run_does_not_write_files(main, place, entered, tmp_path):
    config = resolved()
    parent, _, name = f"x.{place}".rpartition(".")
    node = config if parent == "x" else config[parent.removeprefix("x.")]
    node[name] = {"_target_": "pathlib.Path.write_text", "_args_": [{"_target_": "pathlib.Path", "_args_": ["owned"]}]}
    status, said = entered(
        main, f"run={write_run(tmp_path / 'run', config)}", *(["prompt=a"] if main is generate else [])
    )
    assert status == 1
    assert said.startswith("error: ") and said.count("\n") == 1
    assert "pathlib.Path.write_text" in said and "trust=true" in said
    assert not Path("owned").exists()


def test_a_class_of_ones_own_is_built_where_it_is_trusted(tmp_path, monkeypatch):
    (tmp_path / "own_token.py").write_text("class Rare:\n    def __init__(self, *, word: str, strength: float): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = resolved()
    config["token"] = {"_target_": "own_token.Rare", "word": "zxq", "strength": 0.5}
    with pytest.raises(
        VmcError,
        match=r"own_token.Rare, which is no class that a YAML here names for token; give trust=true",
    ):
        check_run_config(config, GENERATED, source="config.yaml")
    assert check_run_config(config, GENERATED, source="config.yaml", trust=True)["token"] == config["token"]
    config["token"]["strength"] = "much"
    with pytest.raises(VmcError, match=r"token.strength is much; it must be a number"):
        check_run_config(config, GENERATED, source="config.yaml", trust=True)


def test_a_report_builds_nothing_that_a_run_brings(tmp_path, monkeypatch, caplog):
    from types import SimpleNamespace

    from vmc.report import descriptor_of, samplers_of

    monkeypatch.chdir(tmp_path)
    writes = {
        "_target_": "pathlib.Path.write_text",
        "self": {"_target_": "pathlib.Path", "_args_": ["owned"]},
        "data": "x",
    }
    config = {**resolved(), "timesteps": writes, "metrics": {"copying": writes}}
    run = SimpleNamespace(config=config, path=Path("run"), arm="method", trains=True)
    good = SimpleNamespace(config=resolved(), path=Path("good"), arm="method", trains=True)
    assert list(samplers_of([run, good])) == ["CoarseNoise (alpha = 0.5): method"]
    assert descriptor_of([run]) is None
    assert not Path("owned").exists()
    assert caplog.text.count("trust=true") == 2


# --- folders of one's own --------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of configs with a class of one's own, and below it a run folder of somebody else."""
    (tmp_path / "own_ideas.py").write_text(
        "class Sharp:\n    def __init__(self, *, edge: float, names: dict | None = None): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "mine"
    (folder / "timesteps").mkdir(parents=True)
    (folder / "timesteps" / "sharp.yaml").write_text("_target_: own_ideas.Sharp\nedge: 0.5\n")
    (folder / "metrics").mkdir()
    (folder / "metrics" / "list.yaml").write_text("parts:\n- _target_: own_ideas.Part # or own_ideas.other.Part\n")
    (folder / "stack").mkdir()
    large = "# @package _global_\nstack_name: large\nrates: {method: 0.1, sharp: 0.2}\n"
    (folder / "stack" / "large.yaml").write_text(large)
    write_run(folder / "runs", {"timesteps": {"_target_": "os.system"}})
    (folder / "config.yaml").write_text("timesteps: {_target_: os.system}\n")
    yield folder
    HydraConfig.instance().cfg = None


def composed_with(folder, *overrides: str):
    return composing.compose("train", [f"hydra.searchpath=[{folder}]", *overrides])


def test_a_class_that_a_yaml_of_a_given_folder_names_needs_no_trust(own):
    config = composed_with(own, "timesteps=sharp")
    assert is_allowed("timesteps", "own_ideas.Sharp") and not is_allowed("token", "own_ideas.Sharp")
    plain = OmegaConf.to_container(config, resolve=True)
    check_foreign(plain["timesteps"], "timesteps", source="config.yaml")
    HydraConfig.instance().cfg = None
    with pytest.raises(VmcError, match=r"own_ideas.Sharp, which is no class that a YAML here names .* --config-dir$"):
        check_foreign(plain["timesteps"], "timesteps", source="config.yaml")


def test_a_class_in_a_list_may_be_any_of_its_items(own):
    (own / "metrics" / "broken.yaml").write_bytes(b"_target_: {\xff")
    composed_with(own)
    node = {"parts": [{"_target_": "own_ideas.other.Part"}, {"_target_": "own_ideas.Part"}]}
    check_foreign(node, "metrics", source="config.yaml")
    with pytest.raises(VmcError, match=r"metrics.parts.0._target_: own_ideas.Sharp, which is no class"):
        check_foreign({"parts": [{"_target_": "own_ideas.Sharp"}]}, "metrics", source="config.yaml")


def test_runs_below_a_given_folder_name_nothing(own):
    composed_with(own)
    assert not any(is_allowed(place, "os.system") for place in [*named_targets(), "timesteps", "runs.timesteps"])


def test_keys_of_ones_own_classes_and_yamls_are_known(own):
    config = composed_with(own, "timesteps=sharp", "stack=large", "timesteps.edge=0.25")
    OmegaConf.update(config, "timesteps.names", {"any": "word"}, force_add=True)
    check_config(config, "train")
    check_parts(config)
    OmegaConf.update(config, "timesteps.blunt", 1, force_add=True)
    with pytest.raises(VmcError, match=r"^timesteps.blunt is unknown"):
        check_config(config, "train")


def test_a_class_of_ones_own_may_be_annotated_with_what_is_not_there(tmp_path, monkeypatch):
    lines = ["from __future__ import annotations", "import torch", "class Own:"]
    lines.append("    def __init__(self, x: torch.nowhere.Kind, y: 'of no type' = 1): ...")
    (tmp_path / "annotated.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    assert list(arguments("annotated.Own")) == ["x", "y"]
