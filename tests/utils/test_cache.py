"""Entries of the shared caches: made once, checked before they are used, made again where they are damaged."""

import multiprocessing
import shutil
import time
from pathlib import Path

import pytest
import torch

from vmc.utils.cache import ONLY, Cache, CachedFiles, only_process
from vmc.utils.files import sha256_of

NAMES = ("videos/0.mp4", "scores.csv")


@pytest.fixture
def source(tmp_path) -> dict[str, Path]:
    """Two files of a run, which are kept in the entry `shared`."""
    files = {name: tmp_path / "run" / name for name in NAMES}
    for name, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"the content of {name} " * 9)
    assert CachedFiles(tmp_path / "shared").add(files)
    return files


def targets(folder: Path) -> dict[str, Path]:
    return {name: folder / name for name in NAMES}


def test_files_are_copied_as_they_are(source, tmp_path, caplog):
    assert CachedFiles(tmp_path / "shared").copy(wanted := targets(tmp_path / "two"))
    assert [sha256_of(file) for file in wanted.values()] == [sha256_of(file) for file in source.values()]
    assert not CachedFiles(tmp_path / "nowhere").copy(wanted) and not caplog.messages


@pytest.mark.parametrize("name", [*NAMES, "checksums.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut off", "gone", "no text"])
def test_a_damaged_file_is_not_used_and_is_made_again(source, tmp_path, caplog, name, damage):
    entry, file = CachedFiles(tmp_path / "shared"), tmp_path / "shared" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    changed = {"flipped": bytes(content), "cut off": bytes(content[:20]), "gone": b"", "no text": b"\xff\xfe"}[damage]
    file.unlink() if damage == "gone" else file.write_bytes(changed)
    assert not entry.copy(targets(tmp_path / "two"))
    assert len(caplog.messages) <= 1 and all("made again" in text for text in caplog.messages)
    assert not (tmp_path / "two" / name).exists()
    assert entry.add(source) and entry.copy(targets(tmp_path / "two"))


def test_the_modes_of_a_read_only_cache_are_not_copied(source, tmp_path):
    for path in [*(tmp_path / "shared").rglob("*"), tmp_path / "shared"]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert CachedFiles(tmp_path / "shared").copy(targets(tmp_path / "two"))
    assert all(path.stat().st_mode & 0o200 for path in [tmp_path / "two", *(tmp_path / "two").rglob("*")])
    for path in [tmp_path / "shared", *(tmp_path / "shared").rglob("*")]:
        path.chmod(0o755)


@pytest.mark.parametrize("written", [0, 1])
def test_a_full_disk_leaves_nothing_half_written(source, tmp_path, monkeypatch, caplog, written):
    copy, copied = shutil.copyfile, []

    def until_full(source, target):
        if len(copied) == written:
            Path(target).write_text("half")
            raise OSError(28, "No space left on device")
        copied.append(target)
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", until_full)
    assert not CachedFiles(tmp_path / "shared").copy(targets(tmp_path / "two"))
    copied.clear()
    assert not CachedFiles(tmp_path / "another").add(source)
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and "half" in file.read_text()]
    first, second = caplog.messages
    assert first == (
        f"the shared {tmp_path / 'shared' / NAMES[written]} cannot be used (No space left on device); it is made again"
    )
    assert second == f"not shared with other runs: {tmp_path / 'another'} cannot be written (No space left on device)"


def test_a_cache_that_cannot_be_written_is_only_told(source, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert not CachedFiles(tmp_path / "file" / "shared").add(source)
    (said,) = caplog.messages
    assert said.startswith("not shared with other runs")


def fill(folder: Path, made: "multiprocessing.Queue[int]") -> None:
    """Make a tensor slowly, and say so."""

    def load():
        made.put(0)

        def make(item: int) -> dict[str, torch.Tensor]:
            time.sleep(0.5)
            made.put(item)
            return {ONLY: torch.tensor(item)}

        return make

    Cache(folder).tensors({"aa": 1, "bb": 2}, load)


def test_two_processes_make_each_tensor_once(tmp_path):
    fork = multiprocessing.get_context("fork")
    made = fork.Queue()
    processes = [fork.Process(target=fill, args=(tmp_path, made)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(made.get() for _ in range(3)) == [0, 1, 2] and made.empty()  # loaded once, too


def test_a_cache_in_which_nothing_can_be_locked_is_used_all_the_same(tmp_path):
    (tmp_path / "file").write_text("")
    with only_process(tmp_path / "file" / "lock", doing="reads") as waited:
        assert not waited
