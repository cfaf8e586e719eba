"""Processes of a sweep: what each computes on, how a signal reaches it, how it ends, and one writer per folder."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vmc.runs.lock import LOCK, holder, remove_stale_lock, run_lock
from vmc.utils.errors import VmcError
from vmc.utils.processes import handle_signals, run_module

WORKER = """
import os, sys
from pathlib import Path
from vmc.config.sweep_workers import take_place
number = take_place(Path(sys.argv[1]), int(sys.argv[2]), threads=None, gpus=int(sys.argv[3]))
assert take_place(Path(sys.argv[1]), int(sys.argv[2]), threads=None, gpus=int(sys.argv[3])) == number
print(number, os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.readline()
"""


def workers(folder: Path, count: int, gpus: int, **environment: str) -> list[str]:
    """What so many workers at a time have taken."""
    line = [sys.executable, "-c", WORKER, str(folder), str(count), str(gpus)]
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": {**os.environ, **environment}}
    begun = [subprocess.Popen(line, **options) for _ in range(count)]
    said = [process.stdout.readline().strip() for process in begun]
    for process in begun:
        process.communicate("\n", timeout=30)
    return sorted(said)


def test_each_worker_has_gpus_of_its_own_and_leaves_them_to_the_next(tmp_path):
    for _ in range(2):
        assert workers(tmp_path, 2, 2, CUDA_VISIBLE_DEVICES="3,5,7,9") == ["0 3,5", "1 7,9"]
    assert workers(tmp_path, 2, 1, CUDA_VISIBLE_DEVICES="4") == ["0 4", "1 4"], "fewer GPUs than workers"
    assert workers(tmp_path, 1, 0, CUDA_VISIBLE_DEVICES="4") == ["0 4"], "none is asked for"


def test_gpus_are_asked_of_the_system(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf 'GPU-a\\nGPU-b\\n'\n")
    program.chmod(0o755)
    places = {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    assert workers(tmp_path, 2, 1, **places) == ["0 GPU-a", "1 GPU-b"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be pinned here")
def test_each_worker_has_cores_of_its_own_where_there_are_enough(monkeypatch):
    from vmc.config import sweep_workers
    from vmc.utils import processes

    pinned = []
    monkeypatch.setattr(processes, "_cores_of_all", None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5, 6, 7})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: pinned.append(cores))
    sweep_workers._pin_cores(1, 2, 2)
    sweep_workers._pin_cores(0, 3, 2)
    sweep_workers._pin_cores(0, 2, None)
    assert pinned == [[6, 7]]
    assert processes.cores_of_all() == {4, 5, 6, 7}, "what all of them wait for is made on the cores of all"


MODULE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
open("ready", "w").close()
while True: time.sleep(0.05)
"""


@pytest.fixture
def module(tmp_path, monkeypatch) -> Path:
    """A module that waits for SIGTERM and then ends with exit code 3."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "waits.py").write_text(MODULE)
    return tmp_path


def test_a_signal_is_handed_on_and_told_when_the_process_has_ended(module):
    heard = []
    sender = subprocess.Popen(
        ["sh", "-c", f"until test -e ready; do sleep 0.1; done; kill -TERM {os.getpid()}"], cwd=module
    )
    with handle_signals(lambda *_: heard.append(signal.SIGTERM), signal.SIGTERM):
        assert run_module("waits") == 3
    sender.wait()
    assert heard == [signal.SIGTERM]


def test_a_process_ends_with_the_one_that_started_it(module):
    (module / "follows.py").write_text("from vmc.utils.processes import end_with_parent\nend_with_parent()\n" + MODULE)
    code = "from vmc.utils.processes import run_module; run_module('follows')"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=module)
    while not (module / "ready").exists():
        time.sleep(0.05)
    (child,) = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    parent.kill()
    parent.wait()
    end = time.monotonic() + 20
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < end, "it goes on without its parent"
        time.sleep(0.05)


# --- one writer ------------------------------------------------------------------------------------------------------


def test_a_folder_has_one_writer_and_nothing_is_left_of_the_lock(tmp_path):
    folder = tmp_path / "a" / "b"
    with run_lock(folder):
        assert holder(folder) == (folder / LOCK).read_text().strip()
        with pytest.raises(VmcError, match=f"output is {folder}.*pid {os.getpid()}"), run_lock(folder):
            pass
        assert holder(folder), "who was refused has not taken it away"
    assert not (tmp_path / "a").exists()
    assert holder(folder) is None


def test_what_a_run_has_written_stays(tmp_path):
    with run_lock(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "run.json").write_text("{}")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["run.json"]


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(VmcError, match=f"output is {path}, which .*choose another folder"), run_lock(path):
            pass


def test_a_lock_that_a_killed_process_left_is_removed_and_a_living_ones_stays(tmp_path):
    (tmp_path / LOCK).write_text("pid 1 on a machine\n")
    remove_stale_lock(tmp_path)
    assert not (tmp_path / LOCK).exists()
    with run_lock(tmp_path):
        remove_stale_lock(tmp_path)
        assert (tmp_path / LOCK).exists()


@pytest.mark.parametrize(("given", "policy"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_threads_that_wait_sleep_unless_it_is_said_otherwise_before_torch_is_loaded(given, policy):
    script = "import os, sys, vmc; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"} | given
    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True).stdout
    assert said.split() == [policy, "False"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_large_blocks_that_were_freed_are_used_again():
    """Without it each of them is of pages that the system zeroes anew."""
    script = (
        "import resource; from vmc.utils.processes import keep_freed_memory; {}\n"
        "make = lambda: bytearray(b'1') * (40 * 2**20)\n"
        "make(); make(); before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(10): make()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    faults = [
        int(subprocess.run([sys.executable, "-c", script.format(call)], capture_output=True, check=True).stdout)
        for call in ("keep_freed_memory()", "")
    ]
    assert faults[0] < faults[1] / 10


SPAWNING = """
from concurrent.futures import ProcessPoolExecutor
from joblib import Parallel, delayed
from vmc.utils.processes import spawn_context

def powers():
    with ProcessPoolExecutor(2, mp_context=spawn_context()) as pool:
        return list(pool.map(pow, (2, 3), (3, 2)))

if __name__ == "__main__":
    print(Parallel(n_jobs=2)(delayed(powers)() for _ in range(2)))
"""


def test_a_worker_of_joblib_starts_processes_of_its_own(tmp_path):
    """The first arms of a sweep render clips."""
    pytest.importorskip("joblib")
    script = tmp_path / "spawning.py"
    script.write_text(SPAWNING)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[[8, 9], [8, 9]]", done.stderr
