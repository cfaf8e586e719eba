"""The prompt suites that ship, and how a table names them."""

from collections import Counter

import pytest

from vmc.config.build import build_part
from vmc.config.checks import resolved
from vmc.config.command import compose
from vmc.data.prompts import applications, check_test_set, read_prompts
from vmc.metrics.networks.classifiers import JESTER_LABELS
from vmc.mini.world.applications import table
from vmc.utils.errors import VmcError


def read(stack: str):
    return read_prompts(
        applications(stack=stack),
        template="{subject} doing the {token} sign.",
        seeds=[],
        language="{subject} swiping hand down",
        token="sks",
    )


@pytest.mark.parametrize(
    ("stack", "suites"),
    [
        ("mini", ("people", "slow", "quick", "sequence", "non_human")),
        ("paper", ("people", "with_another", "slow", "quick", "views", "non_human")),
    ],
)
def test_suites_are_test_sets_of_equal_size(stack, suites):
    prompts = read(stack)
    check_test_set(prompts)
    assert Counter(prompt.suite for prompt in prompts) == dict.fromkeys(suites, 72)
    assert all(prompt.language and prompt.text.endswith(".") for prompt in prompts)
    for prompt in prompts:
        assert (prompt.then in JESTER_LABELS) == (prompt.suite == "sequence")


def test_a_manner_stands_before_the_full_stop():
    slow = next(prompt for prompt in read("mini") if prompt.suite == "slow")
    assert slow.text == f"{slow.subject} doing the sks sign very slowly."
    assert slow.language == f"{slow.subject} swiping hand down very slowly"


def test_slow_and_quick_begin_with_the_same_noise():
    for stack in ("mini", "paper"):
        seeds = {name: [one.seed for one in read(stack) if one.suite == name] for name in ("slow", "quick")}
        assert seeds["slow"] == seeds["quick"]


def test_the_file_is_what_the_miniature_says():
    assert applications(stack="mini").read_text(encoding="utf-8") == table()


@pytest.mark.parametrize("stack", ["mini", "paper"])
def test_one_choice_brings_the_stacks_texts_and_the_metrics(stack):
    config = compose("train", [f"stack={stack}", "prompts=applications", "data.path=jester"])
    plain = resolved(config)
    assert build_part(plain, "prompts")["file"] == applications(stack=stack)
    assert {"people", "tempo", "sequence"} <= set(plain["metrics"])


def test_a_stack_without_suites_says_so():
    with pytest.raises(VmcError, match=r"stack_name is other.*prompts\.file"):
        applications(stack="other")
