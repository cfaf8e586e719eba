"""What runs share of the untouched base model is checked before it is used, and can do without."""

import logging
from pathlib import Path

import pytest
import torch

from vmc.data.prompts import Prompt
from vmc.data.video import write_video
from vmc.evaluation.controls import copy_or_make
from vmc.utils.cache import CachedFiles
from vmc.utils.errors import VmcError
from vmc.utils.files import sha256_of

PROMPTS = [Prompt(text="a man", seed=seed) for seed in range(3)]


def film(file: Path, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    write_video(file, torch.randint(0, 256, (2, 3, 16, 16), generator=draw, dtype=torch.uint8), fps=3)


def make(prompts, files):
    for prompt, file in zip(prompts, files, strict=True):
        if not file.exists():
            film(file, prompt.seed)
            yield file


def never(prompts, files):
    raise AssertionError("no video is made")


def files_in(folder: Path) -> list[Path]:
    return [folder / f"{prompt.seed}.mp4" for prompt in PROMPTS]


@pytest.fixture
def shared(tmp_path) -> CachedFiles:
    return CachedFiles(tmp_path / "shared")


def test_videos_are_made_once_for_all_runs(shared, tmp_path):
    one, two = files_in(tmp_path / "one"), files_in(tmp_path / "two")
    assert list(copy_or_make(make, PROMPTS, one, shared=shared)) == one
    film(two[1], 77)
    assert list(copy_or_make(never, PROMPTS, two, shared=shared)) == [two[0], two[2]]
    assert [sha256_of(file) for file in two[::2]] == [sha256_of(file) for file in one[::2]]


def test_a_damaged_video_is_made_again(shared, tmp_path, caplog):
    one, two = files_in(tmp_path / "one"), files_in(tmp_path / "two")
    list(copy_or_make(make, PROMPTS, one, shared=shared))
    damaged = sorted(shared.folder.glob("*.mp4"))[0]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert list(copy_or_make(make, PROMPTS, two, shared=shared)) == two
    assert [sha256_of(file) for file in two] == [sha256_of(file) for file in one]
    assert caplog.messages == [f"the shared {damaged} cannot be used (it is not as it was written); it is made again"]
    caplog.clear()
    list(copy_or_make(never, PROMPTS, files_in(tmp_path / "three"), shared=shared))
    assert not caplog.messages


def test_a_folder_of_videos_that_cannot_be_written_is_told_once(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        files, shared = files_in(tmp_path / "one"), CachedFiles(tmp_path / "file" / "shared")
        assert list(copy_or_make(make, PROMPTS, files, shared=shared)) == files
    assert [text.startswith("not shared with other runs") for text in caplog.messages] == [True]


def test_an_error_in_the_making_is_not_taken_for_one_of_sharing(shared, tmp_path):
    def fails(prompts, files):
        raise VmcError("memory")
        yield

    with pytest.raises(VmcError, match="memory"):
        list(copy_or_make(fails, PROMPTS, files_in(tmp_path / "one"), shared=shared))
