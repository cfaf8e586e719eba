"""YAML from anybody is read in bounds."""

import os
import time

import pytest

from vmc.utils.errors import VmcError
from vmc.utils.plain_yaml import read_yaml

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40))
REFUSED = {
    "aliases": (BOMB, "has an alias"),
    "itself": ("a: &a [*a]\n", "has an alias"),
    "deep": ("[" * 500 + "]" * 500, "nested more than"),
    "deeper": ("[" * 200_000, "nest"),
    "long": ("a: " + "1:" * 400_000, "has a value of"),
    "large": ("a: 1\n" * 300_000, "bytes, and at most"),
    "date": ("a: 2001-01-01\n", "holds a date"),
    "no date": ("a: 2001-99-99\n", "does not read as a config"),
    "set": ("a: !!set {x}\n", "holds a set"),
    "bytes": ("a: !!binary aGk=\n", "holds a bytes"),
    "python": ("a: !!python/object/apply:os.system [ls]\n", "does not read as a config"),
    "number as key": ("1: 2\n", "the key 1 is no text"),
    "control": ("a: \x00\n", "does not read as a config"),
    "cut": ("a: {b: [1, 2", "does not read as a config"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_plain_yaml_is_refused_at_once(name, tmp_path):
    text, words = REFUSED[name]
    (tmp_path / "config.yaml").write_text(text)
    begun = time.monotonic()
    with pytest.raises(VmcError, match=words) as raised:
        read_yaml(tmp_path / "config.yaml", remedy="remove it")
    assert time.monotonic() - begun < 5
    assert str(raised.value).endswith("remove it") and len(str(raised.value)) < 600


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(VmcError, match="does not read as a config"):
        read_yaml(tmp_path / "config.yaml", remedy="remove it")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(VmcError, match="is no regular file"):
        read_yaml(tmp_path / "config.yaml", remedy="remove it")


def test_what_is_plain_is_read(tmp_path):
    (tmp_path / "config.yaml").write_text("a: {b: [1, 2.5, true, null, é], c: no}\n")
    assert read_yaml(tmp_path / "config.yaml", remedy="") == {"a": {"b": [1, 2.5, True, None, "é"], "c": False}}
