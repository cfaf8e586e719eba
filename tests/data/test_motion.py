"""What a motion is asked for in prompts, made of the caption of its clips."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from vmc.config.command import quote_free_text
from vmc.config.folders import config_folder
from vmc.data.motion import Motion
from vmc.data.prompts import prompt_of


@pytest.mark.parametrize(
    ("caption", "prompt"),
    [
        ("a person doing the {token} dance", "{subject} doing the {token} dance."),
        ("A person {token}", "{subject} {token}."),
        ("a person doing a {token} sign.", "{subject} doing a {token} sign."),
        ("The man does {token}", "{subject} does {token}."),
        ("someone doing {token} with a man", "{subject} doing {token} with a man."),
        ("a video of a woman doing {token}", "a video of {subject} doing {token}."),
        ("a personal {token}", "{subject}, a personal {token}."),
        ("a video of {token}", "{subject}, a video of {token}."),
        ("{token}, done by a man", "{subject}, {token}, done by a man."),
        (None, "{subject} doing the {token} motion."),
    ],
)
def test_a_prompt_is_made_of_the_caption(caption, prompt):
    assert prompt_of(caption) == prompt
    assert Motion(name="x", caption=caption).template == prompt
    assert Motion(name="x", caption=caption, prompt="{subject} {token}").template == "{subject} {token}"


@pytest.mark.parametrize("command", ["train", "generate", "evaluate"])
def test_a_custom_motion_is_asked_for_as_it_was_captioned(command):
    words = quote_free_text(["motion=custom", "motion.caption=a person doing the {token} dance"])
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        assert instantiate(compose(command, overrides=words).motion).template == "{subject} doing the {token} dance."


@pytest.mark.parametrize(
    "motion", ["swiping_down", "drumming_fingers", "rolling_hand_forward", "shaking_hand", "sliding_two_fingers_up"]
)
def test_jesters_motions_are_captioned_and_asked_for_as_in_the_paper(motion):
    """Sec. 4.1 captions every exemplar with "a" sign; Fig. 9 asks for "the" sign, with a full stop."""
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        config = compose("train", overrides=[f"motion={motion}"]).motion
    assert config.caption == "a person doing a {token} sign"
    assert config.prompt == "{subject} doing the {token} sign."
