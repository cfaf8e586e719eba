"""Paths, names and texts on the command line arrive as they were typed."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from vmc.config.checks import check_config
from vmc.config.command import quote_free_text
from vmc.config.folders import config_folder
from vmc.utils.errors import VmcError
from vmc.utils.files import safe_name

NAMED = [
    "josé",
    "my clips",
    "a=b",
    "a,b",
    "a (copy)",
    "it's",
    'say "hi"',
    "日本",
    "[x]",
    "{x}",
    "a;b",
    "100%",
    "-x",
    "x~1",
]


def composed(*overrides: str, command: str = "train"):
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        return compose(command, overrides=quote_free_text(overrides))


@pytest.mark.parametrize("name", NAMED)
def test_a_path_may_have_any_name(name):
    keys = ("output", "cache", "model.path", "regularization.path", "metrics.copying.path", "prompts.file")
    for path in (name, f"folder/{name}"):
        config = composed(*(f"{key}={path}" for key in keys))
        assert {OmegaConf.select(config, key) for key in keys} == {path}


@pytest.mark.parametrize("key", ["run", "videos", "export"])
def test_so_may_those_of_the_other_commands(key):
    command = "evaluate" if key == "videos" else "generate"
    assert composed(f"{key}=josé (1), a=b", command=command)[key] == "josé (1), a=b"


def test_answers_of_a_study_are_one_path_or_a_list():
    given = ("runs=a", "output=b", "choice.answers=answers (1).csv")
    assert composed(*given, command="report").choice.answers == "answers (1).csv"
    assert composed(*given[:2], "choice.answers=[a.csv,b.csv]", command="report").choice.answers == ["a.csv", "b.csv"]
    assert composed("model=animatediff", "model.motion_adapter=/a (b)/x").model.motion_adapter == "/a (b)/x"
    assert "{token}" in composed("data=co3d", "data.source.caption=A {token} [round]").data.source.caption


@pytest.mark.parametrize("name", NAMED)
def test_quoting_a_path_twice_is_quoting_it_once(name):
    once = quote_free_text([f"data.path={name}"])
    assert quote_free_text(once) == once


def test_the_home_folder_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    config = composed("output=~/runs/x", "data=videos", "data.path=~/clips", "metrics.copying.path=~/a b.pt")
    check_config(config, "train")
    assert (config.output, config.data.path) == ("/home/ann/runs/x", "/home/ann/clips")
    assert (config.data.source.path, config.metrics.copying.path) == ("/home/ann/clips", "/home/ann/a b.pt")


def test_a_path_may_refer_to_another_key():
    assert composed("output=out puts/${arm}", "arm=method-${optimizer.lr}").output == "out puts/method-0.002"


@pytest.mark.parametrize("key", ["output", "data.path", "cache"])
def test_a_number_is_no_path(key):
    with pytest.raises(VmcError, match=rf"^{key} is 5; it must be text.*{key}=\./5$"):
        check_config(composed("data=videos", "data.path=.", f"{key}=5"), "train")
        from vmc.config.checks import check_parts

        check_parts(composed("data=videos", f"{key}=5"))


def test_in_a_sweep_commas_part_the_choices():
    assert quote_free_text(["-m", "data.path=josé,b"]) == ["-m", 'data.path="josé",b']
    assert quote_free_text(["-m", "output=one,two"]) == ["-m", "output=one,two"]


@pytest.mark.parametrize("name", ["../../x", "my dance/2", "a\\b", "..", ".hidden", "a\nb", "x" * 300, "", " "])
@pytest.mark.parametrize("key", ["arm", "motion.name"])
def test_a_name_that_is_no_folder_is_refused(name, key):
    config = composed()
    OmegaConf.update(config, key, name)
    with pytest.raises(VmcError, match=rf"^{key} is '.*', which cannot name a folder; write {key}=") as raised:
        check_config(config, "train")
    offered = str(raised.value).rpartition("=")[2]
    OmegaConf.update(config, key, offered)
    check_config(config, "train")
    assert "/" not in offered and offered[0] != "."


@pytest.mark.parametrize("name", ["method", "lora@0.01", "josé", "my dance", "a-b_c.d", "reg=real"])
def test_other_names_stay(name):
    config = composed(f"arm={name}")
    check_config(config, "train")
    assert config.arm == name


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (["data=videos", "data.path=clips/my_dance"], "my_dance"),
        (["data=videos", "data.path=clips/my dance (2)/"], "my_dance_2_"),
        (["data=videos", "data.path=josé/clip.mp4"], "clip"),
        (["data=videos", "data.path=v1.2-final"], "v1.2-final"),
        (["data=jester", "data.path=20bn", "motion.label=Thumb Up"], "thumb_up"),
        (["data=videos", "data.path=a", "motion.name=waltz"], "waltz"),
        ([], "custom"),
    ],
)
def test_a_motion_of_ones_own_is_named_after_its_clips(given, name):
    config = composed("motion=custom", *given)
    assert config.motion.name == name
    assert config.output == f"outputs/mini/method/{name}/seed0"


def test_generating_has_no_clips_to_name_a_motion_after():
    assert composed(command="generate").motion.name == "custom"


def test_a_safe_name_is_the_same_for_both_unicode_forms():
    assert safe_name("jose\u0301") == safe_name("jos\u00e9") == "jos\u00e9"
