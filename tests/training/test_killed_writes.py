"""A run that is killed at one of its writes and begun again is the undisturbed run, to the bit; nothing is left over.

How it works. A server process (this file, called as a program) forks a child for each run; the child calls the command
line's own entry point. `os.rename`, `os.replace`, `os.unlink`, `os.mkdir`, `os.rmdir` and `shutil.copyfile` are wrapped
in the child: those on a path below the watched folder (which holds the run and its caches) are counted, and before or
after the one that is asked for the child sends itself SIGKILL. The same command is then given again, without a kill,
and everything below the folder is compared with what an undisturbed run leaves there. Once a first child has told which
modules a run imports, the server imports them too, so that a run costs a second or two.

The default is a few moments, spread over the run. `VMC_KILLS=all` takes every one, `VMC_KILLS=60` so many.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

FEW = 6
"""Moments of each scenario where nobody asks for more."""
SCENARIOS = {
    "training": ["evaluate_every=0"],
    "evaluated": ["evaluate_every=2", "evaluate_subset=2", "stop.appearance=-0.9", "generation_batch=2"],
}
WATCHED = ("rename", "replace", "unlink", "remove", "mkdir", "rmdir")


# --- the server ------------------------------------------------------------------------------------------------------


def serve() -> None:
    """Answer requests, a JSON line each: fork, run, tell the exit status and what the child told."""
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
        writes = _watch(Path(request["folder"]), request["kill"], request["side"])
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


def _watch(folder: Path, kill: int | None, side: str) -> list[str]:
    """Wrap the calls that write; the list of those below the folder, which grows as they come."""
    writes: list[str] = []

    def wrapped(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def watched(path: Any, *arguments: Any, **options: Any) -> Any:
            # A path relative to an open folder (shutil.rmtree) is taken for one of ours: only ours are removed so.
            relative = options.get("dir_fd") is not None
            if isinstance(path, int) or not (relative or Path(os.fsdecode(path)).absolute().is_relative_to(folder)):
                return call(path, *arguments, **options)
            writes.append(f"{name} {os.fsdecode(path)}")
            due = kill == len(writes)
            if due and side == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            done = call(path, *arguments, **options)
            if due:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return watched

    for name in WATCHED:
        setattr(os, name, wrapped(getattr(os, name), name))
    copyfile = shutil.copyfile
    shutil.copyfile = lambda source, target, **options: wrapped(  # type: ignore[assignment]
        lambda path, **rest: copyfile(source, path, **rest), "copy"
    )(target, **options)
    return writes


class Server:
    """Runs commands in children of one warm process."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(
        self, overrides: Sequence[str], folder: Path, *, kill: int | None = None, side: str = "before"
    ) -> dict[str, Any]:
        """`status`, and for a run that came to its end `writes`, what it wrote below `folder`."""
        assert self.process.stdin and self.process.stdout
        request = {
            "overrides": [*overrides, f"output={folder / 'run'}", f"cache={folder / 'cache'}"],
            "folder": str(folder),
            "kill": kill,
            "side": side,
            "log": str(folder) + ".log",
            "told": str(self.place / "told.json"),
            "environment": {"VMC_CACHE": str(folder / "cache"), "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1"},
        }
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if answer["status"] not in (0, -signal.SIGKILL):
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
            found[name] = {key: tensor.tolist() for key, tensor in load_file(file).items()}
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


def moments(writes: int) -> list[tuple[int, str]]:
    """Which kills are tried, of those before and after each write."""
    every = [(number, side) for number in range(1, writes + 1) for side in ("before", "after")]
    asked = os.environ.get("VMC_KILLS", str(FEW))
    count = len(every) if asked == "all" else min(int(asked), len(every))
    return [every[round((index + 0.5) * len(every) / count - 0.5)] for index in range(count)]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_run_killed_at_a_write_and_begun_again_is_the_undisturbed_one(
    server, blank, clips, metrics, tmp_path, scenario
):
    overrides = [
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
        "steps=4",
        "checkpoint_every=1",
        "stop.appearance=null",
        *metrics,
        *SCENARIOS[scenario],
    ]
    whole = server(overrides, tmp_path / "whole")
    expected = left_by(tmp_path / "whole")
    tried = moments(len(whole["writes"]))
    assert len(tried) >= FEW
    wrong = {}
    for number, side in tried:
        folder = tmp_path / f"{number}-{side}"
        assert server(overrides, folder, kill=number, side=side)["status"] == -signal.SIGKILL
        again = server(overrides, folder)
        found = left_by(folder)
        different = [name for name in expected.keys() | found.keys() if expected.get(name, 0) != found.get(name, 0)]
        if again["status"] or different:
            wrong[f"{side} write {number}, {whole['writes'][number - 1]}"] = sorted(different)
        shutil.rmtree(folder)
    print(f"{scenario}: {len(tried)} kills of {2 * len(whole['writes'])} moments, {len(wrong)} wrong")
    assert not wrong


if __name__ == "__main__":
    serve()
