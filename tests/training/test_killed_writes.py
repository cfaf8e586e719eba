"""A run that is killed at one of its writes and begun again is the undisturbed run, to the bit; nothing is left over.

How it works. A server process (this file, called as a program) forks a child for each run; the child calls the command
line's own entry point. `os.rename`, `os.replace`, `os.unlink`, `os.mkdir`, `os.rmdir`, `shutil.copyfile` and opening a
file for appending are wrapped in the child: those on a path below the watched folder (which holds the run and its
caches) are counted. Before or after the one that is asked for, the child sends itself SIGKILL; or from it on the disk
is full. The same command is then given again, undisturbed, and everything below the folder is compared with what an
undisturbed run leaves there. The server imports what a run needs, also what the first child tells that it missed, so
that a run costs a second or two.

The default is a few moments, spread over the run. `VMC_KILLS=all` takes every one, `VMC_KILLS=60` so many.
"""

import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

FEW = 2
"""Moments of each disturbance where nobody asks for more."""
KILLS = ("before", "after")
FULL = "full"
REMOVING = ("unlink", "remove", "rmdir")
WATCHED = ("rename", "replace", "mkdir", *REMOVING)


# --- the server ------------------------------------------------------------------------------------------------------


def serve() -> None:
    """Answer requests, a JSON line each: fork, run, tell the exit status and what the child told."""
    for name in ("vmc.train", "vmc.training.session", "vmc.config.build"):
        _import(name)
    for line in sys.stdin:
        request = json.loads(line)
        told = Path(request["told"])
        told.unlink(missing_ok=True)
        began = time.monotonic()
        child = os.fork()
        if not child:
            _run(request)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answer = json.loads(told.read_text()) if told.is_file() else {}
        for name in answer.pop("modules", []):
            _import(name)
        print(json.dumps({"status": status, "seconds": time.monotonic() - began, **answer}), flush=True)


def _import(name: str) -> None:
    import contextlib
    import importlib

    with contextlib.suppress(Exception):  # a module that cannot be imported by itself is none that costs time
        importlib.import_module(name)


def _run(request: dict[str, Any]) -> None:
    """In the child: run the command, killed where that is asked for. Never returns."""
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ |= request["environment"]
    status = 1
    try:
        import torch

        torch.set_num_threads(1)
        writes = _watch(Path(request["folder"]), request["at"], request["how"])
        sys.argv = ["vmc.train", *request["overrides"]]
        from vmc.train import main

        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        # `list`: under pytest's own name for this file nothing is imported twice
        told = {"writes": list(writes), "modules": sorted(name for name in sys.modules if name != "__main__")}
        Path(request["told"]).write_text(json.dumps(told))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _watch(folder: Path, at: int | None, how: str) -> list[str]:
    """Wrap the calls that write; the list of those below the folder, which grows as they come."""
    writes: list[str] = []

    def wrapped(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def watched(path: Any, *arguments: Any, **options: Any) -> Any:
            # A path relative to an open folder (shutil.rmtree) is taken for one of ours: only ours are removed so.
            relative = options.get("dir_fd") is not None
            if isinstance(path, int) or not (relative or Path(os.fsdecode(path)).absolute().is_relative_to(folder)):
                return call(path, *arguments, **options)
            writes.append(f"{name} {os.fsdecode(path)}")
            if at is not None and how == FULL and len(writes) >= at and name not in REMOVING:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            if at == len(writes) and how == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return call(path, *arguments, **options)
            finally:  # also where it is refused: making a folder that is there already
                if at == len(writes) and how == "after":
                    os.kill(os.getpid(), signal.SIGKILL)

        return watched

    for name in WATCHED:
        setattr(os, name, wrapped(getattr(os, name), name))
    opened, copied = io.open, shutil.copyfile
    append = wrapped(opened, "append")
    io.open = lambda file, mode="r", *rest, **options: (append if "a" in mode else opened)(file, mode, *rest, **options)
    copy = wrapped(lambda target, source, **options: copied(source, target, **options), "copy")
    shutil.copyfile = lambda source, target, **options: copy(target, source, **options)  # type: ignore[assignment]
    return writes


class Server:
    """Runs commands in children of one warm process."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(
        self, overrides: Sequence[str], folder: Path, *, at: int | None = None, how: str = "before"
    ) -> dict[str, Any]:
        """`status`, and for a run that came to its end `writes`, what it wrote below `folder`."""
        assert self.process.stdin and self.process.stdout
        request = {
            "overrides": [*overrides, f"output={folder / 'run'}", f"cache={folder / 'cache'}"],
            "folder": str(folder),
            "at": at,
            "how": how,
            "log": str(folder) + ".log",
            "told": str(self.place / "told.json"),
            "environment": {"VMC_CACHE": str(folder / "cache"), "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1"},
        }
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if answer["status"] not in (0, -signal.SIGKILL) and how != FULL:
            pytest.fail(Path(request["log"]).read_text()[-3000:])
        return answer

    def close(self) -> None:
        """End it."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=60)


# --- the test --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


def left_by(folder: Path) -> dict[str, Any]:
    """All that a run and its caches are, by path: what must be equal, whatever has happened on the way."""
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if file.is_dir():
            found[name] = None
        elif file.suffix == ".safetensors":
            tensors = sorted(load_file(file).items())
            found[name] = [(key, tensor.shape, sha256(tensor.numpy().tobytes()).digest()) for key, tensor in tensors]
        elif file.name == "train.csv":
            found[name] = [line.rpartition(",")[0] for line in file.read_text().splitlines()]
        elif file.name == "run.json":
            state = json.loads(file.read_text())
            found[name] = {key: state[key] for key in ("status", "reason", "step", "base_fingerprint")}
        elif file.suffix == ".ckpt":  # holds the seconds
            found[name] = None
        elif file.name == "config.yaml":  # holds the folders
            found[name] = file.read_text().replace(str(folder), "")
        else:
            found[name] = file.read_bytes()
    return found


def moments(writes: int, hows: Sequence[str]) -> list[tuple[int, str]]:
    """Which disturbances are tried, of all that there are at so many writes."""
    every = [(number, how) for number in range(1, writes + 1) for how in hows]
    asked = os.environ.get("VMC_KILLS", str(FEW))
    count = len(every) if asked == "all" else min(int(asked), len(every))
    return [every[round((index + 0.5) * len(every) / count - 0.5)] for index in range(count)]


@pytest.fixture(scope="module")
def command(blank, clips, metrics) -> list[str]:
    """Three steps with a checkpoint at each, scored before the first, after the second and at the end."""
    return [
        f"model.path={blank}",
        "data=videos",
        f"data.path={clips}",
        "data.variants=2",
        "motion=custom",
        "motion.caption=a square doing the {token} sign",
        "regularization=none",
        "logger=csv",
        "batch_size=1",
        "trainer.threads=1",
        "steps=3",
        "checkpoint_every=1",
        "evaluate_every=2",
        "evaluate_subset=2",
        "stop.appearance=-0.9",
        "generation_batch=2",
        *metrics,
        "prompts.limit=2",
    ]


@pytest.fixture(scope="module")
def undisturbed(server, command, tmp_path_factory) -> tuple[list[str], dict[str, Any]]:
    """The writes of a run that nothing disturbs, and what that leaves."""
    folder = tmp_path_factory.mktemp("undisturbed") / "whole"
    return server(command, folder)["writes"], left_by(folder)


@pytest.mark.slow
@pytest.mark.parametrize("hows", [KILLS, (FULL,)], ids=["killed", "full"])
def test_a_run_disturbed_at_a_write_and_begun_again_is_the_undisturbed_one(
    server, command, undisturbed, tmp_path, hows
):
    writes, expected = undisturbed
    tried = moments(len(writes), hows)
    assert len(tried) >= FEW
    wrong = {}
    for number, how in tried:
        folder = tmp_path / f"{number}-{how}"
        status = server(command, folder, at=number, how=how)["status"]
        said = Path(f"{folder}.log").read_text()
        if how == FULL:
            told = re.findall(r"^error: .* cannot be written \(No space left on device\); ", said, re.MULTILINE)
            # From the last writes on, a full disk changes nothing any more.
            fine = "Traceback" not in said and (status, len(told)) in [(1, 1), (0, 0)]
        else:
            fine = status == -signal.SIGKILL
        again = server(command, folder)
        found = left_by(folder)
        different = [name for name in expected.keys() | found.keys() if expected.get(name, 0) != found.get(name, 0)]
        if different or again["status"] or not fine:
            wrong[f"{how} write {number}, {writes[number - 1]}"] = sorted(different) or said[-2000:]
        shutil.rmtree(folder)
    print(f"{len(tried)} disturbances at {len(writes)} writes, {len(wrong)} wrong")
    assert not wrong


if __name__ == "__main__":
    serve()
