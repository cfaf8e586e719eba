"""A run's config, broken at random: it is read or refused in one sentence, and nothing that it brings runs."""

import json
import random
import time
from functools import cache
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from vmc.config.folders import config_folder
from vmc.config.run_config import check_run_config
from vmc.evaluate import TAKEN_OVER as EVALUATED
from vmc.generate import TAKEN_OVER as GENERATED
from vmc.runs.earlier_versions import read_config
from vmc.utils.errors import VmcError

ODD = (
    *(None, True, -1, 0, 3.5, 10**30, -(10**400), float("nan"), float("inf"), "", "\u202e\U0001f4a5", "a\nb"),
    *(
        "${oc.env:HOME}",
        "${oc.decode:1}",
        "???",
        "x" * 9000,
        "../../x",
        "~/.ssh/id",
        [],
        [[]],
        {},
        {"a": {"b": 1}},
        ["x"] * 99,
    ),
)
INJECTED = (
    {"_target_": "pathlib.Path.write_text", "_args_": ["owned"]},
    {"_target_": "os.system", "command": "touch owned"},
    {"_target_": "vmc.utils.processes.run_module", "module": "vmc.train"},
    {"_target_": ["os.system"]},
    {"_target_": "torch.optim.AdamW", "_partial_": True},
)
ENDLESS = (b"[" * 100_000, b"a: " + b"9" * 500_000, b"? " * 5000, b"\x00" * 100, b"- \n" * 400_000, b"5")


@cache
def composed() -> str:
    """A run's config, as JSON."""
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        return json.dumps(OmegaConf.to_container(compose("train"), resolve=True))


def plain():
    return json.loads(composed())


def places(node, path=()):
    """The way to every value of nested dicts and lists."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield (*path, key)
        yield from places(value, (*path, key))


def put(config, path, value):
    node = config
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value


def mutated(number: int) -> bytes:
    """The text of a config that is broken in one of seven ways."""
    draw = random.Random(number)
    config = plain()
    taken = [path for path in places(config) if path[0] in EVALUATED]
    path, kind = draw.choice(taken), number % 7
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    if kind == 0:  # cut off
        return text.encode()[: draw.randrange(len(text))]
    if kind == 1:  # a few wrong bytes
        broken = bytearray(text.encode())
        for _ in range(3):
            broken[draw.randrange(len(broken))] = draw.randrange(256)
        return bytes(broken)
    if kind == 2:  # another value
        put(config, path, draw.choice(ODD))
    elif kind == 3:  # something to be called
        put(config, path, draw.choice(INJECTED))
    elif kind == 4:  # a bomb
        depth = draw.randrange(5, 60)
        bomb = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, depth))
        return f"a0: &a0 [{'x' * draw.randrange(5000)}]\n{bomb}{text}".encode()
    elif kind == 5:  # a key more, or one less
        if draw.random() < 0.5:
            put(config, (*path[:1], draw.choice(["_target_", "_args_", "\u00e9", "a.b", "x" * 200])), draw.choice(ODD))
        else:
            del config[path[0]]
    else:  # endless
        return draw.choice(ENDLESS)
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True).encode()


@pytest.fixture(scope="module", autouse=True)
def imported():
    """The classes that a config names, so that the time to import them is not counted."""
    check_run_config(plain(), EVALUATED, source="config.yaml")


@pytest.mark.parametrize("number", range(35))
def test_a_broken_config_is_read_or_refused(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_bytes(mutated(number))
    for keys in (GENERATED, EVALUATED):
        begun = time.monotonic()
        try:
            ours = check_run_config(read_config(tmp_path), keys, source="config.yaml")
        except VmcError as error:
            assert "\n" not in str(error) and len(str(error)) < 1000
        else:
            assert set(ours) == set(keys) and "${" not in str(ours)
            OmegaConf.create(ours)
        assert time.monotonic() - begun < 10
    assert [path.name for path in Path().iterdir()] == ["config.yaml"]
