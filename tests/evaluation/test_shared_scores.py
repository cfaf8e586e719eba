"""What runs share of the untouched base model is checked before it is used, and can do without."""

import logging
import shutil
from pathlib import Path

import pytest
import torch

from vmc.data.prompts import Prompt
from vmc.data.video import write_video
from vmc.evaluation.controls import shared_or_made
from vmc.evaluation.files import CHECKSUMS, keep, sha256_of, take, write_scores_and_summary
from vmc.utils.errors import VmcError


def contents(folder: Path) -> dict[str, str]:
    return {file.relative_to(folder).as_posix(): sha256_of(file) for file in folder.rglob("*") if file.is_file()}


def film(file: Path, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    write_video(file, torch.randint(0, 256, (2, 3, 16, 16), generator=draw, dtype=torch.uint8), fps=3)


@pytest.fixture
def scored(tmp_path) -> Path:
    """A run's evaluation, which is kept in `shared`."""
    from vmc.metrics.declared import COLUMNS

    folder = tmp_path / "one" / "000000"
    rows = []
    for seed in range(3):
        film(folder / "videos" / f"{seed}.mp4", seed)
        rows.append(
            dict.fromkeys(column.name for column in COLUMNS)
            | {"prompt": "a man", "seed": seed, "video": f"{seed}.mp4", "valid": True}
        )
    write_scores_and_summary(folder, rows, {"videos": 3, "protocol": {}}, videos={})
    (folder / "sheet.png").write_text("of this run")
    keep(folder, tmp_path / "shared")
    return folder


def test_a_shared_evaluation_is_copied_as_it_is(scored, tmp_path, caplog):
    assert take(tmp_path / "shared", tmp_path / "two" / "000000")
    copied = contents(tmp_path / "two" / "000000")
    assert set(copied) == {"scores.csv", "summary.json", "videos/0.mp4", "videos/1.mp4", "videos/2.mp4"}
    assert all(contents(scored)[name] == one for name, one in copied.items())
    assert not take(tmp_path / "nowhere", tmp_path / "three") and not caplog.messages


@pytest.mark.parametrize("name", ["videos/1.mp4", "scores.csv", "summary.json", CHECKSUMS])
@pytest.mark.parametrize("damage", ["flipped", "cut off", "gone", "no text"])
def test_a_damaged_one_is_not_used_and_is_made_again(scored, tmp_path, caplog, name, damage):
    file = tmp_path / "shared" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    changed = {"flipped": bytes(content), "cut off": bytes(content[:20]), "gone": b"", "no text": b"\xff\xfe"}[damage]
    file.write_bytes(changed)
    if damage == "gone":
        file.unlink()
    assert not take(tmp_path / "shared", tmp_path / "two" / "000000")
    (said,) = caplog.messages
    assert said.startswith(f"the shared evaluation {tmp_path / 'shared'} is damaged (") and "made again" in said
    assert not (tmp_path / "two" / "000000").exists() and not list((tmp_path / "two").iterdir())
    keep(scored, tmp_path / "shared")
    assert take(tmp_path / "shared", tmp_path / "two" / "000000")


def test_one_of_an_earlier_version_has_no_checksums_and_is_made_again(scored, tmp_path, caplog):
    (tmp_path / "shared" / CHECKSUMS).unlink()
    assert not take(tmp_path / "shared", tmp_path / "two") and "it has no checksums" in caplog.text


def test_the_modes_of_a_read_only_cache_are_not_copied(scored, tmp_path):
    for path in [*(tmp_path / "shared").rglob("*"), tmp_path / "shared"]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert take(tmp_path / "shared", tmp_path / "two")
    assert all(path.stat().st_mode & 0o200 for path in [tmp_path / "two", *(tmp_path / "two").rglob("*")])
    for path in [tmp_path / "shared", *(tmp_path / "shared").rglob("*")]:
        path.chmod(0o755)


def test_what_an_interrupted_evaluation_left_is_replaced(scored, tmp_path):
    film(tmp_path / "two" / "videos" / "0.mp4", 77)
    (tmp_path / "two" / "scores.csv").write_text("")
    assert take(tmp_path / "shared", tmp_path / "two")
    assert sha256_of(tmp_path / "two" / "videos" / "0.mp4") == sha256_of(scored / "videos" / "0.mp4")


@pytest.mark.parametrize("written", [0, 1, 3])
def test_a_full_disk_leaves_nothing_half_written(scored, tmp_path, monkeypatch, caplog, written):
    copy, copied = shutil.copyfile, []

    def until_full(source, target):
        if len(copied) == written:
            Path(target).write_text("half")
            raise OSError(28, "No space left on device")
        copied.append(target)
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", until_full)
    before = sorted(tmp_path.rglob("*"))
    assert not take(tmp_path / "shared", tmp_path / "one" / "000001")
    copied.clear()
    keep(scored, tmp_path / "another")
    assert sorted(tmp_path.rglob("*")) == before
    first, second = caplog.messages
    assert first == (
        f"the shared evaluation {tmp_path / 'shared'} cannot be copied (No space left on device); it is made again"
    )
    assert second == (
        f"the evaluation of step 0 is not shared with other runs: {tmp_path / 'another'} cannot be written"
        " (No space left on device)"
    )


def test_a_cache_that_cannot_be_written_is_only_told(scored, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    keep(scored, tmp_path / "file" / "shared")
    (said,) = caplog.messages
    assert "step 0 is not shared with other runs" in said


# --- videos ----------------------------------------------------------------------------------------------------------

PROMPTS = [Prompt(text="a man", seed=seed) for seed in range(3)]


def make(prompts, files):
    for prompt, file in zip(prompts, files, strict=True):
        if not file.exists():
            film(file, prompt.seed)
            yield file


def never(prompts, files):
    raise AssertionError("no video is made")


def files_in(folder: Path) -> list[Path]:
    return [folder / f"{prompt.seed}.mp4" for prompt in PROMPTS]


def test_videos_are_made_once_for_all_runs(tmp_path):
    one, two = files_in(tmp_path / "one"), files_in(tmp_path / "two")
    assert list(shared_or_made(make, PROMPTS, one, shared=tmp_path / "shared")) == one
    film(two[1], 77)
    assert list(shared_or_made(never, PROMPTS, two, shared=tmp_path / "shared")) == [two[0], two[2]]
    assert [sha256_of(file) for file in two[::2]] == [sha256_of(file) for file in one[::2]]


@pytest.mark.parametrize("suffix", [".mp4", ".sha256"])
def test_a_damaged_video_is_made_again(tmp_path, caplog, suffix):
    one, two = files_in(tmp_path / "one"), files_in(tmp_path / "two")
    list(shared_or_made(make, PROMPTS, one, shared=tmp_path / "shared"))
    damaged = sorted((tmp_path / "shared").glob(f"*{suffix}"))[0]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert list(shared_or_made(make, PROMPTS, two, shared=tmp_path / "shared")) == two
    assert [sha256_of(file) for file in two] == [sha256_of(file) for file in one]
    assert [text.endswith("is damaged; it is made again") for text in caplog.messages] == [True]
    caplog.clear()
    list(shared_or_made(never, PROMPTS, files_in(tmp_path / "three"), shared=tmp_path / "shared"))
    assert not caplog.messages


def test_a_folder_of_videos_that_cannot_be_written_is_told_once(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        files = files_in(tmp_path / "one")
        assert list(shared_or_made(make, PROMPTS, files, shared=tmp_path / "file" / "shared")) == files
    assert [text.startswith("the base model's videos are not shared") for text in caplog.messages] == [True]


def test_an_error_in_the_making_is_not_taken_for_one_of_sharing(tmp_path):
    def fails(prompts, files):
        raise VmcError("memory")
        yield

    with pytest.raises(VmcError, match="memory"):
        list(shared_or_made(fails, PROMPTS, files_in(tmp_path / "one"), shared=tmp_path / "shared"))
