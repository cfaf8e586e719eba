"""Damaged clips and texts either read or are told of in a sentence, within seconds and a gigabyte."""

import json
import random
import subprocess
import sys

import pytest

EACH = 8
"""Mutations of each kind of file."""
SECONDS, MEGABYTES = 10, 1024

READER = """
import faulthandler, json, logging, re, resource, sys, time
from pathlib import Path
import torch
from vmc.data.clips import Clip, check_readable
from vmc.data.folder import VideoFolder
from vmc.data.prompts import read_prompts
from vmc.data.video import check_clip, count_frames, frame_rate, read_frames
from vmc.utils.errors import VmcError

logging.disable()
torch.set_num_threads(1)
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))

def clip(path):
    read_frames(path, [0])
    count_frames(path)
    frame_rate(path)
    check_clip(path)

def captions(path):
    VideoFolder(path.parent).exemplars(caption=None)

def prompts(path):
    read_prompts(path, template="{subject} doing {token}", token="sks", seeds=[0])

for line in sys.stdin:
    kind, name = json.loads(line)
    faulthandler.dump_traceback_later(60, exit=True)
    start = time.perf_counter()
    try:
        {"clip": clip, "captions": captions, "prompts": prompts}[kind](Path(name))
        said = "read"
    except VmcError:
        said = "refused"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - start
    # Not ru_maxrss, which begins with that of the process that started this one.
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
    print("@", json.dumps([name, said, seconds, peak]), flush=True)
"""


@pytest.fixture
def originals(tmp_path, make):
    """A small clip or text of each kind: how it is read, and its bytes."""
    frames, clips = make.numbered(6), tmp_path / "whole"
    make.encode(clips / "a.mp4", frames)
    make.encode(clips / "b.webm", frames, codec="libvpx")
    make.encode(clips / "c.avi", frames, codec="mpeg4")
    for name in ("d.gif", "e.png", "f.webp"):
        make.animate(clips / name, frames)
    for pattern in ("g.png", "h.webp", "i.jpg", "j.tif", "k.bmp"):
        make.save_images(clips, frames[:1], pattern=pattern)
    kinds = {file.name: ("clip", file.read_bytes()) for file in sorted(clips.iterdir())}
    rows = "".join(f'{name},"a {{token}} thing, café"\n' for name in ("a.mp4", "b.webm"))
    kinds["captions.csv"] = ("captions", f"file,caption\n{rows}".encode("utf-16"))
    kinds["a.txt"] = ("captions", "a café {token}\n".encode())
    kinds["p.csv"] = ("prompts", "prompt,seed_1,subject\na {token},1,a man\nb {subject},2,a café\n".encode())
    kinds["p.txt"] = ("prompts", "a {token}\n\nb, café\n".encode())
    return kinds


def test_mutated_clips_and_texts_read_or_are_refused_in_a_sentence(tmp_path, originals, mutated, record_property):
    jobs = []
    for number, (name, (kind, content)) in enumerate(originals.items()):
        for seed in range(EACH):
            folder = tmp_path / f"{number}-{seed}"
            folder.mkdir()
            if kind == "captions":
                for clip in ("a.mp4", "b.webm") if name == "captions.csv" else ("a.mp4",):
                    (folder / clip).write_bytes(originals[clip][1])
            (folder / name).write_bytes(mutated(content, random.Random(f"{name} {seed}")))
            jobs.append((kind, str(folder / name)))
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input="".join(json.dumps(job) + "\n" for job in jobs),
        capture_output=True,
        text=True,
        timeout=300,
    )
    told = [json.loads(line[2:]) for line in done.stdout.splitlines() if line.startswith("@ ")]
    assert done.returncode == 0, f"after {told[-1:]}: {done.stderr[-2000:]}"
    assert len(told) == len(jobs) == EACH * len(originals)
    assert [(name, said) for name, said, _, _ in told if said not in ("read", "refused")] == []
    assert max(seconds for _, _, seconds, _ in told) < SECONDS
    assert max(peak for *_, peak in told) < MEGABYTES
    for outcome in ("read", "refused"):
        assert sum(said == outcome for _, said, _, _ in told) > len(jobs) / 10
