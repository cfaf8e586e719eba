"""Runs whose W&B server refuses, fails or hangs, or whose W&B process is killed: they go on, and their process ends."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import wandb

from vmc.reporting.dashboard import save_dashboard
from vmc.runs import wandb_mirror as mirrors
from vmc.runs.wandb_mirror import WandbMirror, call_within
from vmc.utils.errors import VmcError

CONFIG = {"arm": "method", "motion": {"name": "shaking_hand"}, "seed": 0, "stack_name": "mini"}
PATIENCE = 4
SERVICE = "WANDB_SERVICE"
"""Variable by which a process uses the W&B process of another one."""
BUCKET = {"id": "b", "displayName": "", "description": "", "config": "{}", "sweepName": None, "historyLineCount": 0}
BUCKET |= {"project": {"id": "p", "name": "vmc", "entity": {"id": "e", "name": "me"}}}
FILES = {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": []}}


class Server(ThreadingHTTPServer):
    """W&B's server in as few answers as a run needs: it `works`, or from the moment that it knows a run it does not."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.mood, self.later = "works", "works"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        query = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
        if self.server.mood == "hangs":
            time.sleep(600)
        failing = self.server.mood == "fails" or (self.server.mood == "knows no run" and "RunResume" in query)
        content = {"data": FILES if "CreateRunFiles" in query else {}}
        if "UpsertBucket" in query:
            bucket = {**BUCKET, "name": json.loads(query)["variables"]["name"]}
            content = {"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}
            self.server.mood = self.server.later
        body = json.dumps(content).encode()
        self.send_response(500 if failing else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST


@pytest.fixture
def server(monkeypatch):
    """The server, to which the user of this process and of those that it starts is logged in."""
    one = Server()
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", one.url)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(mirrors, "BEGINNING", 3.0)
    wandb.teardown()  # whose settings are those of an earlier run
    yield one
    wandb.teardown()
    one.shutdown()
    one.server_close()


@pytest.mark.parametrize(
    ("mood", "told"),
    [
        ("refuses", "refused|reset|timed out|deadline"),
        ("hangs", "timed out|deadline"),
        ("knows no run", "HTTP 500|timed out|deadline"),
    ],
)
def test_a_server_that_does_not_answer_leaves_the_run_offline(server, mood, told, tmp_path, caplog, logged):
    server.mood = mood
    if mood == "refuses":
        server.shutdown()
        server.server_close()
    mirror, began = WandbMirror(), time.monotonic()
    with caplog.at_level(logging.WARNING):
        mirror.start(folder=tmp_path, config=CONFIG)
        mirror.log({"loss": 0.5}, step=1)
        mirror.finish(0)
    assert time.monotonic() - began < 60  # not its two and a half minutes
    (said,) = (record.message for record in caplog.records if record.name.startswith("vmc"))
    (place,) = (tmp_path / "wandb").glob("offline-run-*")
    assert said.startswith("W&B's server does not answer (")
    assert said.endswith(f"): the run is kept offline; later, wandb sync {place} uploads it")
    assert any(part in said for part in told.split("|"))
    assert any(record["type"] == "history" for record in logged(tmp_path))


SCRIPT = """
import logging, os, sys
from pathlib import Path
from vmc.runs.wandb_mirror import WandbMirror
logging.getLogger("vmc").addHandler(logging.StreamHandler(sys.stdout))  # asyncio's own warnings would cut a line in two
mirror = WandbMirror(patience={patience})
mirror.start(folder=Path("run"), config={config})
for step in range(1, 4):
    mirror.log({{"loss": 1.0}}, step=step)
    if {killed} and step == 1:
        from wandb.sdk import wandb_setup
        process = wandb_setup.singleton()._connection._proc._process
        process.kill()
        process.wait()
    print("step", step, flush=True)
mirror.finish(0)
print("END", flush=True)
"""


def ended(tmp_path: Path, *, killed: bool = False) -> tuple[float, subprocess.CompletedProcess]:
    """Seconds of a process that logs three steps, and how it ended."""
    code = SCRIPT.format(patience=PATIENCE, config=CONFIG, killed=killed)
    began, environment = time.monotonic(), {name: value for name, value in os.environ.items() if name != SERVICE}
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180)
    return time.monotonic() - began, done


@pytest.mark.slow
def test_a_server_that_works_gets_the_run(server, tmp_path):
    _, done = ended(tmp_path)
    assert (done.returncode, done.stdout) == (0, "step 1\nstep 2\nstep 3\nEND\n"), done.stderr
    assert done.stderr == ""


@pytest.mark.slow
def test_a_process_ends_where_the_server_begins_to_hang(server, tmp_path):
    server.later = "hangs"
    seconds, done = ended(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    *steps, said, end = done.stdout.splitlines()
    assert (steps, end) == (["step 1", "step 2", "step 3"], "END")
    (place,) = (tmp_path / "run" / "wandb").glob("run-*")
    assert said.startswith(f"W&B has not got the whole run (no upload in {PATIENCE} s); later, wandb sync {place} ")
    assert "Traceback" not in done.stderr
    assert seconds < 150  # not its six minutes


@pytest.mark.slow
def test_a_process_goes_on_and_ends_where_that_of_wandb_is_killed(tmp_path):
    seconds, done = ended(tmp_path, killed=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith(("step", "END"))] == [
        *("step 1", "step 2", "step 3", "END")
    ]
    assert done.stdout.count("the run goes on without it") == 1 and "wandb sync" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert seconds < 150  # not its six minutes


def test_a_dashboard_without_a_server_is_a_sentence():
    with pytest.raises(VmcError, match="the dashboard is not made, since W&B's server does not answer; run the same"):
        save_dashboard(entity=None, project="vmc")


def test_what_takes_too_long_is_left_alone():
    with pytest.raises(TimeoutError, match="no answer in 0 s"):
        call_within(0.05, lambda: time.sleep(30))
    with pytest.raises(SystemExit):
        call_within(5, lambda: sys.exit(3))
    assert call_within(5, os.getpid) == os.getpid()
