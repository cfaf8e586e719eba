"""Motions that are no gesture of Jester: what each YAML chooses for either stack, and what the command line changes."""

import csv
import re
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from tests.config.test_cli import composed

from vmc.config.folders import config_folder
from vmc.data.prompts import objects_test_set, read_prompts
from vmc.utils.errors import VmcError

MOTIONS = ("dab", "air_quotes", "carlton", "rotation_3d")
FOLDER, CO3D = "vmc.data.folder.VideoFolder", "vmc.data.co3d.CO3D"
RENDERED = "vmc.mini.world.internet"


@pytest.mark.parametrize(
    ("motion", "source", "caption", "prompt"),
    [
        ("dab", FOLDER, "A person doing the {token} sign", "{subject} doing the {token} sign."),
        ("air_quotes", FOLDER, "A person doing the {token} sign", "{subject} doing the {token} sign."),
        ("carlton", FOLDER, "A person doing the {token} dance", "{subject} doing the {token} dance."),
        ("rotation_3d", CO3D, None, "A camera {token} around {subject}."),
    ],
)
def test_a_motion_brings_all_that_it_needs(motion: str, source: str, caption: str | None, prompt: str) -> None:
    config = composed("stack=paper", "data.path=CLIPS", "regularization.path=OTHERS", f"motion={motion}")
    assert config.data.source._target_ == source
    assert (config.data.path, config.data.source.path, config.regularization.path) == ("CLIPS", "CLIPS", "OTHERS")
    assert (config.motion.name, config.motion.label, config.motion.mirror) == (motion, None, False)
    assert (config.motion.caption, config.motion.prompt, config.steps) == (caption, prompt, 2000)
    assert config.stop.appearance is None
    assert (config.model.frames, config.optimizer.lr, config.stack_name) == (16, 5e-6, "paper")
    objects = motion == "rotation_3d"
    assert config.data.start == ("whole" if objects else "random")
    assert config.prompts.file._target_ == f"vmc.data.prompts.{'objects' if objects else 'jester'}_test_set"
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        assert compose("generate", overrides=[f"motion={motion}"]).motion == config.motion
        assert compose("evaluate", overrides=["stack=paper", f"motion={motion}"]).data.source._target_ == source


@pytest.mark.parametrize("motion", MOTIONS)
def test_without_clips_it_is_told_what_to_give(motion: str) -> None:
    config = composed("stack=paper", f"motion={motion}")
    with pytest.raises(VmcError, match=r"^data\.path is not set: give a folder of clips"):
        instantiate(config.data).source.exemplars(label=None, caption="{token}", seed=0)


@pytest.mark.parametrize(
    ("motion", "clips", "label"),
    [
        ("dab", "gesture_clips", "Dab"),
        ("air_quotes", "gesture_clips", "Air Quotes"),
        ("rotation_3d", "co3d_folder", None),
    ],
)
def test_the_miniature_has_stand_ins_and_their_classes(motion: str, clips: str, label: str | None) -> None:
    config = composed(f"motion={motion}")
    assert config.data.path._target_ == f"{RENDERED}.{clips}"
    assert config.data.source.regularization_path._target_ == f"{RENDERED}.other_clips"
    assert config.motion.label == (label or "Camera Around Object")
    assert config.motion.label in instantiate(config.metrics.classifier).labels
    assert (config.steps, config.stop.appearance, config.stack_name) == (400, None, "mini")
    assert composed("motion=carlton").steps == 400 and composed().steps == 600


def test_the_command_line_has_the_last_word() -> None:
    given = ("steps=7", "stop.appearance=0.2", "data.path=MINE", "prompts.file=mine.csv", "motion.label=null")
    for stack in ("mini", "paper"):
        config = composed(f"stack={stack}", "motion=rotation_3d", *given, "data.start=random", "data.source.count=3")
        assert (config.steps, config.stop.appearance, config.data.path, config.prompts.file) == (
            7,
            0.2,
            "MINE",
            "mine.csv",
        )
        assert (config.motion.label, config.data.start, config.data.source.count) == (None, "random", 3)
        assert composed(f"stack={stack}", "motion=rotation_3d", "data=videos").data.source._target_ == FOLDER
    config = composed("motion=dab", "metrics=none")
    assert config.metrics.classifier is None and config.motion.label is None
    assert composed("motion=dab", "prompts=jester").prompts.file._target_.endswith("jester_test_set")
    config = composed("motion=dab", "regularization=webvid", "regularization.path=W", "+baseline=pretrained")
    assert (config.regularization.count, config.regularization.path, config.steps) == (100, "W", 0)


def test_gestures_of_the_data_are_as_they_were() -> None:
    for stack, source, steps in (("mini", "Jester", 600), ("paper", "Jester", 3000)):
        config = composed(f"stack={stack}", "motion=shaking_hand", *["data.path=."] * (stack == "paper"))
        assert config.data.source._target_.endswith(source) and config.steps == steps
        assert "stand_in" not in config and "classes" not in config


def test_the_objects_that_are_asked_for_are_none_of_co3d() -> None:
    prompts = read_prompts(objects_test_set(), template="A camera {token} around {subject}.", seeds=[0], token="sks")
    assert len(prompts) == 90 and prompts[0].text == "A camera sks around a guitar."
    with objects_test_set().open(newline="") as stream:
        objects = {re.sub("^an? ", "", row["subject"]) for row in csv.DictReader(stream)}
    assert len(objects) == 30
    assert not objects & {
        "apple",
        "ball",
        "bench",
        "car",
        "chair",
        "cup",
        "hydrant",
        "laptop",
        "toaster",
        "umbrella",
        "vase",
    }


def test_webvid_takes_unreadable_clips_as_the_data_does() -> None:
    for given in ("true", "false"):
        settings: Any = composed(
            "regularization=webvid", "regularization.path=W", f"data.skip_bad={given}"
        ).regularization
        assert OmegaConf.to_container(settings, resolve=True)["skip_bad"] is (given == "true")
