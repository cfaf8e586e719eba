"""Files appear whole or not at all, whatever fails; what killed writers leave is swept."""

import errno
import os
import signal
import subprocess
import sys

import pytest
import torch

from vmc.data.video import write_video
from vmc.training.hardware import StreamedCheckpoints
from vmc.utils import files
from vmc.utils.errors import UnwritableError
from vmc.utils.files import atomic_folder, atomic_write, sweep
from vmc.utils.tensor_files import save_tensors


def write_text(path):
    with atomic_write(path) as temporary:
        temporary.write_text("x" * 5_000_000)


def write_checkpoint(path):
    with atomic_write(path) as temporary:
        StreamedCheckpoints().save_checkpoint({"a": torch.zeros(2_000_000)}, temporary)


WRITERS = {
    "text": write_text,
    "tensors": lambda path: save_tensors({"a": torch.zeros(2_000_000)}, path),
    "checkpoint": write_checkpoint,
    "video": lambda path: write_video(path, torch.randint(0, 255, (20, 3, 512, 512), dtype=torch.uint8), fps=12),
}


@pytest.fixture
def small(tmp_path):
    """A disk of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_a_sentence_and_leaves_what_was_there(small, kind):
    file = small / "one.mp4"
    file.write_text("before")
    with pytest.raises(UnwritableError, match=rf"^{file} cannot .*No space left on device\); free some"):
        WRITERS[kind](file)
    assert [path.name for path in small.iterdir()] == ["one.mp4"]
    assert file.read_text() == "before"


def test_a_full_disk_leaves_no_part_of_a_folder(small):
    with pytest.raises(UnwritableError, match="No space left"), atomic_folder(small / "all") as temporary:
        (temporary / "one").write_text("x")
        (temporary / "two").write_text("x" * 5_000_000)
    assert not list(small.iterdir())


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("a file")
    with (
        pytest.raises(UnwritableError, match=r"file/a/b cannot be written \(Not a directory\); make room, and give"),
        atomic_write(tmp_path / "file" / "a" / "b", remedy="make room"),
    ):
        pass


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_what_the_system_refuses_is_a_sentence(tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), str(tmp_path))

    monkeypatch.setattr(files.tempfile, "mkdtemp", refuse)
    with pytest.raises(UnwritableError, match=os.strerror(number)), atomic_write(tmp_path / "a"):
        pass


def test_an_error_that_is_not_of_the_disk_stays_what_it_is(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here").mkdir()
    with pytest.raises(IsADirectoryError), atomic_write(tmp_path / "here" / "a"):
        (tmp_path / "elsewhere").read_text()
    with pytest.raises(KeyError), atomic_write(tmp_path / "here" / "a"):
        {}["no such key"]
    assert not list((tmp_path / "here").iterdir())


def test_files_can_be_read_by_who_may_by_default(tmp_path):
    """safetensors' own are their owner's alone, which a shared cache must not be."""
    (tmp_path / "usual").write_text("")
    save_tensors({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_what_a_killed_writer_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path):
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom vmc.utils.files import atomic_write\n"
        "with atomic_write(Path(sys.argv[1]) / 'below' / 'dead.mp4') as file:\n"
        "    file.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, tmp_path])
    assert ended.returncode == -signal.SIGKILL
    (left,) = (tmp_path / "below").iterdir()
    assert (left / "dead.mp4").read_text() == "half"
    (tmp_path / ".notes-abcdefgh.tmp").write_text("a file of somebody's")
    with atomic_write(tmp_path / "below" / "living.mp4") as file:
        file.write_text("whole")
        sweep(tmp_path)
        assert not left.exists()
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["living.mp4"]
    assert (tmp_path / ".notes-abcdefgh.tmp").is_file()


def test_who_writes_a_name_again_removes_what_a_killed_writer_of_it_left(tmp_path):
    """An export or a report lies in a folder of the user's, where nobody looks for what else is left."""
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom vmc.utils.files import atomic_folder\n"
        "with atomic_folder(Path(sys.argv[1]) / sys.argv[2]) as folder:\n"
        "    (folder / 'part').write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for name in ("model [1]", "another"):
        assert subprocess.run([sys.executable, "-c", program, tmp_path, name]).returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_folder(tmp_path / "model [1]"), atomic_folder(tmp_path / "model [1]") as inner:
        (inner / "part").write_text("whole")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == 2 and left[0].startswith(".another-") and left[1] == "model [1]"


def test_where_locks_are_unknown_only_what_is_a_day_old_is_swept(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(files.fcntl, "flock", unknown)
    for name, age in (("old", 2 * files.DAY), ("new", 60.0)):
        folder = tmp_path / f".{name}-abcdefgh.tmp"
        folder.mkdir()
        then = folder.stat().st_mtime - age
        os.utime(folder, (then, then))
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".new-abcdefgh.tmp"]
    with atomic_write(tmp_path / "a") as file:
        file.write_text("written all the same")
