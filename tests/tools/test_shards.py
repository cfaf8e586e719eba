from functools import partial

import numpy as np
import pytest

from vmc.tools.learning.shards import Shards
from vmc.utils.errors import VmcError


def squares(numbers, *, side: int = 2):
    return np.stack([np.full((side, side), number % 256, np.uint8) for number in numbers])


def broken(numbers):
    raise VmcError(f"item {numbers[0]} is broken")


def shards(**changes) -> Shards:
    settings = {"name": "test squares", "make": squares, "shape": (2, 2), "settings": ("a",), "count": 7, "first": 10}
    return Shards(**settings | {"per_shard": 3} | changes)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VMC_CACHE", str(tmp_path))


def test_items_come_in_the_order_asked_for_across_files():
    made = shards()
    assert made.prepare(workers=1)
    assert [path.name for path, _ in made.files] == ["items-10-3.npy", "items-13-3.npy", "items-16-1.npy"]
    assert made.items([6, 0, 3, 3])[:, 0, 0].tolist() == [16, 10, 13, 13]
    assert made.items([1]).shape == (1, 2, 2) and len(made) == 7


def test_what_is_there_is_not_made_again():
    def never(numbers):
        raise AssertionError(f"{list(numbers)} made again")

    assert shards().prepare(workers=1)
    assert shards(make=never).prepare(workers=1)
    shards().files[1][0].unlink()
    with pytest.raises(AssertionError, match=r"\[13, 14, 15\]"):
        shards(make=never).prepare(workers=1)


def test_it_stops_between_files_and_goes_on():
    asked = iter([False, True])
    assert not shards().prepare(workers=1, enough=lambda: next(asked))
    assert [path.is_file() for path, _ in shards().files] == [True, False, False]
    assert shards().prepare(workers=1)


def test_processes_make_the_same():
    one = shards(make=partial(squares, side=2), count=4)
    assert one.prepare(workers=2)
    assert one.items(range(4))[:, 0, 0].tolist() == [10, 11, 12, 13]


def test_what_breaks_in_a_process_is_said_and_the_rest_is_not_waited_for():
    made = shards(make=broken, count=30)
    with pytest.raises(VmcError, match=r"item \d+ is broken"):
        made.prepare(workers=2)
    assert len(made.missing) == 10


def test_other_settings_have_another_folder():
    folders = {shards().folder, shards(settings=("b",)).folder, shards(shape=(3, 3)).folder, shards(per_shard=4).folder}
    assert len(folders) == 4
    assert shards(count=2, first=0).folder == shards().folder


def test_damage_is_named():
    made = shards()
    made.prepare(workers=1)
    path = made.files[0][0]
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(VmcError, match=r"items-10-3\.npy is damaged"):
        made.items([0])
    np.save(path, np.zeros((3, 5), np.uint8))
    with pytest.raises(VmcError, match="remove it and it is made again"):
        shards().items([0])
    with pytest.raises(VmcError, match="at least"):
        shards(count=0)
