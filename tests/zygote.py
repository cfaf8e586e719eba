"""Commands without their imports: a process that has imported what commands import forks for each that a test starts.

`Popen` and `run` are those of `subprocess`, for lines like `python -m vmc.train ...` or `python FILE ...`. What a test
gets is a child of its own process, with a group, streams, folder and environment as asked for, in which the module runs
as `__main__` from its first line and which ends as Python ends: it can be signalled, killed and waited for. Only that
its imports have been made is different, so what a test says about starting needs `subprocess` itself.

The process (this file as a program) is started at the first command. It forks twice: the first child ends at once, and
its own is handed to the nearest ancestor that asks for such (PR_SET_CHILD_SUBREAPER), the test's process. With
`ranks=True` a command gets such a process below itself, which forks the further commands that it starts. Where there
is no prctl (only Linux has it) everything is `subprocess`.
"""

import ctypes
import gc
import importlib
import json
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PRELOADED = ("vmc.config.build", "vmc.training.session", "vmc.evaluation.score", "vmc.evaluation.controls")
"""What all of it imports; what a command imports beside it is told at its end, and imported for the next."""
DIES_WITH_PARENT, ADOPTS = 1, 36  # <linux/prctl.h>

_place: str | None = None  # of the socket that requests go to


def set_process(option: int, value: int) -> None:
    """Linux's prctl, for this process."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def listen() -> socket.socket:
    """A socket for requests, under an abstract name of this process's own."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0vmc-tests-{os.getpid()}")
    listener.listen()
    return listener


def start() -> subprocess.Popen | None:
    """Start the process; None where there can be none."""
    global _place
    if sys.platform != "linux":
        return None
    with listen() as listener:
        own = subprocess.Popen([sys.executable, __file__, str(listener.fileno())], pass_fds=[listener.fileno()])
        _place = listener.getsockname().decode()
    return own


class Popen(subprocess.Popen):
    """As `subprocess.Popen`.

    Args:
        ranks: whether commands that the command starts are forked, too.
    """

    def __init__(self, args: Any, *, ranks: bool = False, **options: Any) -> None:
        self.ranks = ranks
        super().__init__(args, **options)

    def _execute_child(self, args: Any, *rest: Any) -> None:
        words = list(map(str, args)) if isinstance(args, (list, tuple)) else []
        if _place is None or words[:1] != [sys.executable] or not (words[1] == "-m" or words[1].endswith(".py")):
            super()._execute_child(args, *rest)
            return
        cwd, env, pipes, session = rest[4], rest[5], rest[9:15], rest[20]
        wanted = {"words": words, "cwd": os.fspath(cwd or Path.cwd()), "session": session, "ranks": self.ranks}
        wanted["environment"] = dict(os.environ if env is None else env)
        streams = [own if given == -1 else given for own, given in enumerate((pipes[0], pipes[3], pipes[5]))]
        set_process(ADOPTS, 1)
        try:
            self.pid = int(ask(wanted, streams))
        finally:
            set_process(ADOPTS, 0)
        self._child_created = True
        self._close_pipe_fds(*pipes)


def run(args: Any, *, capture_output: bool = False, timeout: float | None = None, **options: Any) -> Any:
    """As `subprocess.run`."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(args, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(args, process.returncode, out, err)


def ask(wanted: Any, streams: Any = ()) -> bytes:
    """Send a request; the answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(_place)
        content = json.dumps(wanted).encode()
        sent = socket.send_fds(connection, [content], list(streams)) if streams else 0
        connection.sendall(content[sent:])
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(64), b""))


def serve(listener: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Answer requests; returns in the children alone, each with its request and its three streams."""
    while True:
        connection, _ = listener.accept()
        content, streams, *_ = socket.recv_fds(connection, 1 << 16, 3)
        content += b"".join(iter(lambda connection=connection: connection.recv(1 << 16), b""))
        wanted = json.loads(content)
        if isinstance(wanted, list):
            for name in wanted:
                with suppress(Exception):  # what cannot be imported by itself costs no time either
                    importlib.import_module(name)
            gc.freeze()
        elif not (between := os.fork()):
            parent = os.getpid()
            if child := os.fork():
                connection.sendall(str(child).encode())
                os._exit(0)
            connection.close()
            listener.close()
            while os.getppid() == parent:
                time.sleep(0.001)
            return wanted, streams
        else:
            os.waitpid(between, 0)
        for stream in streams:
            os.close(stream)
        connection.close()


def become(wanted: dict[str, Any], streams: list[int]) -> None:
    """Be the process that was asked for, up to its first line."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if wanted["session"]:
        os.setsid()
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    random.seed()
    sys.orig_argv[:] = wanted["words"]
    set_process(DIES_WITH_PARENT, 0)


def serve_commands(listener: socket.socket) -> None:
    """Fork for commands; returns in the children alone, at the end of theirs."""
    global _place
    set_process(DIES_WITH_PARENT, signal.SIGKILL)
    wanted, streams = serve(listener)
    become(wanted, streams)
    if wanted["ranks"]:
        with listen() as below:
            if not os.fork():
                nowhere = os.open(os.devnull, os.O_RDWR)
                for number in range(3):
                    os.dup2(nowhere, number)
                return serve_commands(below)
            _place = below.getsockname().decode()
        subprocess.Popen = Popen  # type: ignore[misc]
    known, words = set(sys.modules), wanted["words"]
    try:
        if words[1] == "-m":
            sys.path[0], sys.argv[:] = "", words[2:]
            runpy.run_module(words[2], run_name="__main__", alter_sys=True)
        else:
            sys.path[0], sys.argv[:] = str(Path(words[1]).parent), words[1:]
            runpy.run_path(words[1], run_name="__main__")
    finally:
        if not wanted["ranks"]:
            ask(sorted(name for name in set(sys.modules) - known if name != "__mp_main__"))


if __name__ == "__main__":
    listener = socket.socket(fileno=int(sys.argv[1]))
    _place = listener.getsockname().decode()
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    serve_commands(listener)
