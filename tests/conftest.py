"""Fixtures shared by all tests: everything is made by code, nothing is shipped as binary."""

import gc
import json
import logging
import os
import random
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from vmc.config.build import build_session
from vmc.config.command import compose
from vmc.data.video import write_video
from vmc.metrics.networks.sscd import SSCDNetwork
from vmc.metrics.networks.trn import TRN, save_trn
from vmc.mini.makers.appearance.network import make_model, write_model
from vmc.mini.makers.blank import write_blank
from vmc.models.zeroscope import ZEROSCOPE, Sizes, UNet3D
from vmc.runs.folder import RunFolder
from vmc.training import session
from vmc.training.module import MotionModule

torch.set_num_threads(1)  # the models are tiny, and the tests may run side by side


def pytest_collection_modifyitems(items):
    """The longest files come first, so that none is left at the end for one worker alone."""
    seconds: Counter[Path] = Counter()
    for item in items:
        slow = any(mark.name in ("slow", "slurm") for mark in item.iter_markers())
        seconds[item.path] += 20 if slow else 3 if "train_into" in item.fixturenames else 0.2
    items.sort(key=lambda item: -seconds[item.path])  # stable: within a file the order stays


def pytest_collection():
    """What is imported stays: looking through it for garbage takes a sixth of the time that collecting takes."""
    gc.disable()


def pytest_collection_finish():
    """Nor is it looked through later: that takes a third of a second, several times a run."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def module(monkeypatch) -> dict[str, MotionModule]:
    """Keeps the module of the last run."""
    kept = {}

    def make(**parts):
        kept["module"] = MotionModule(**parts)
        return kept["module"]

    monkeypatch.setattr(session, "MotionModule", make)
    return kept


@pytest.fixture(scope="session", autouse=True)
def parsed_once() -> Iterator[None]:
    """A file that OmegaConf reads is parsed once and copied from then on: Hydra reads thirty of `conf/` each time."""
    parse = yaml.load
    kept: dict[str, Any] = {}

    def load(stream: Any, Loader: Any) -> Any:
        if Loader.__name__ != "OmegaConfLoader" or not hasattr(stream, "seek"):
            return parse(stream, Loader=Loader)
        text = stream.read()
        if text not in kept:
            stream.seek(0)  # the file itself, whose name is in the errors
            kept[text] = parse(stream, Loader=Loader)
        return deepcopy(kept[text])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "load", load)
        yield


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory) -> Path:
    """Caches of the tests are their own, in this process and in those it starts; nothing goes to a network."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ |= {"VMC_CACHE": str(folder), "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1"}
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # theirs; this process's are set above
    return folder


@pytest.fixture(autouse=True)
def every_number() -> None:
    """A run before has numbers below 1e-38 be 0 in this thread; Hypothesis refuses to draw among such."""
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def blank(tmp_path_factory) -> Path:
    """The small pipeline with random weights."""
    folder = tmp_path_factory.mktemp("model") / "blank"
    write_blank(folder)
    return folder


@pytest.fixture(scope="session")
def base(blank) -> UNet3D:
    return UNet3D(path=blank, frames=8, size=64, fps=3.0, attention="plain")


@pytest.fixture(scope="session")
def tiny() -> Sizes:
    """ZeroScope's layout in small: the same blocks and names, about a hundredth of its width."""
    unet = {"block_out_channels": (32, 32, 64, 64), "cross_attention_dim": 32, "attention_head_dim": 32}
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    changes = {"unet": unet, "vae": {"block_out_channels": (32, 32, 64, 64)}, "text_encoder": text}
    return Sizes(configs={part: {**config, **changes[part]} for part, config in ZEROSCOPE.configs.items()})


def moving_square(frames: int, *, size: int = 64, seed: int = 0) -> torch.Tensor:
    """frames_FCHW of a square that moves over a background of another colour."""
    colors = torch.randint(40, 216, (2, 3, 1, 1), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    video = colors[0].expand(frames, 3, size, size).clone()
    for index in range(frames):
        left = index * (size - 16) // max(frames - 1, 1)
        video[index, :, 16:32, left : left + 16] = colors[1]
    return video


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    """Three short clips with captions, and a folder `related` of two regularization clips."""
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(3):
        write_video(folder / f"clip{seed}.mp4", moving_square(12, seed=seed), fps=12)
    for seed in (3, 4):
        write_video(folder.parent / "related" / f"clip{seed}.mp4", moving_square(12, seed=seed), fps=12)
        (folder.parent / "related" / f"clip{seed}.txt").write_text("a square")
    return folder


@pytest.fixture(scope="session")
def metrics(tmp_path_factory) -> list[str]:
    """Overrides that choose the miniature's three metric networks with random weights, and a small test set."""
    folder = tmp_path_factory.mktemp("metrics")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_trn(TRN(arch="SmallResNet", classes=27), folder / "trn.pth.tar", arch="SmallResNet", epoch=0, accuracy=0.0)
        copying = SSCDNetwork(bottleneck=False, layers=[1, 1, 1, 1], width=32, stem=16)
        torch.save(copying.state_dict(), folder / "copying.torchvision.pt")
        write_model(make_model(0), folder / "appearance")
    (folder / "prompts.csv").write_text("subject,seed_1,seed_2\nA man,1,2\nA woman,3,4\nA robot,5,6\n")
    return [
        f"metrics.classifier.path={folder / 'trn.pth.tar'}",
        f"metrics.appearance.path={folder / 'appearance'}",
        f"metrics.copying.path={folder / 'copying.torchvision.pt'}",
        f"prompts.file={folder / 'prompts.csv'}",
        "motion.label=Swiping Down",
        "motion.language={subject} swiping hand down",
        "sampler.steps=1",
    ]


@pytest.fixture(scope="session")
def train_into(blank, clips) -> Callable[..., RunFolder]:
    """Train in this process with the overrides and parts of a session given, on the clips, into a folder, and return
    the run folder.
    """

    def run(output: Path, *overrides: str, **parts: Any) -> RunFolder:
        settings = [
            f"model.path={blank}",
            "data=videos",
            f"data.path={clips}",
            "data.variants=3",
            "model.size=32",  # px: a fourth of the time
            "data.fps=12",  # the clips' own rate: every frame is taken
            "motion=custom",
            "motion.name=custom",
            "motion.caption=a square doing the {token} sign",
            "regularization=none",
            "stop.appearance=null",  # the miniature's is of its own base model
            "evaluate_every=0",
            "logger=csv",
            "batch_size=2",
            "trainer.threads=1",
            "steps=3",
            f"output={output}",
        ]
        folder, session = _compose_session([*settings, *overrides])
        replace(session, **parts).train()
        return folder

    return run


@pytest.fixture
def train(train_into, tmp_path) -> Callable[..., RunFolder]:
    """As `train_into`, into a folder of the test's own where none is given."""
    return lambda *overrides, output=None, **parts: train_into(output or tmp_path / "run", *overrides, **parts)


def _compose_session(overrides: Sequence[str]) -> tuple[RunFolder, session.Session]:
    """The run folder and the session of a command line."""
    config = compose("train", overrides)
    folder = RunFolder(Path(config.output), config=OmegaConf.to_container(config, resolve=True))
    folder.check()
    return folder, build_session(config, folder)


@pytest.fixture(scope="session")
def compose_session() -> Callable[[Sequence[str]], tuple[RunFolder, session.Session]]:
    return _compose_session


@pytest.fixture(scope="session")
def logged() -> Callable[[Path], list[dict[str, Any]]]:
    """Reads the offline W&B runs below a folder back, record by record; skipped where W&B here cannot do it."""
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect"]
    if subprocess.run([*inspect, "--help"], capture_output=True).returncode:
        pytest.skip("this W&B has no `wandb leet inspect`")

    def read(folder: Path) -> list[dict[str, Any]]:
        logs = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
        said = [subprocess.run([*inspect, "--json", log], capture_output=True, text=True, check=True) for log in logs]
        return [json.loads(line) for one in said for line in one.stdout.splitlines()]

    return read


@pytest.fixture
def real_clips() -> Path:
    """Four real clips beside the checkout; the test is skipped where they are absent."""
    folder = Path(__file__).parents[2] / "shared" / "clips"
    if not folder.is_dir():
        pytest.skip("the real clips are not beside the checkout")
    return folder


class _Node(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def _write_archive(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """As OpenAI's files: a TorchScript archive in half precision with three numbers beside the weights."""
    root = _Node()
    for name, part in state.items():
        *modules, leaf = name.split(".")
        node = root
        for module in modules:
            if module not in dict(node.named_children()):
                node.add_module(module, _Node())
            node = node.get_submodule(module)
        node.register_parameter(leaf, torch.nn.Parameter(part.half()))
    for name in ("input_resolution", "context_length", "vocab_size"):
        root.register_buffer(name, torch.tensor(1))
    torch.jit.trace(root, torch.ones(1)).save(str(path))


@pytest.fixture(scope="session")
def openai_archive() -> Callable[[Mapping[str, torch.Tensor], Path], None]:
    """Writes CLIP weights as OpenAI's files hold them."""
    return _write_archive


def _mutated(content: bytes, draw: random.Random) -> bytes:
    """Bytes flipped, runs overwritten, numbers made huge, parts cut, doubled or left out."""
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 3, 20])):
        # Headers, where a byte says most, are hit half of the time.
        place = draw.randrange(min(len(changed), draw.choice([64, 1024, len(changed)])) or 1)
        match draw.randrange(7):
            case 0 | 1:
                changed[place : place + 1] = bytes([draw.randrange(256)])
            case 2:
                huge = draw.choice([0, 0x7FFFFFFF, 0xFFFFFFFF, 0xFF00FF00, 0x80000000])
                changed[place : place + 4] = struct.pack(draw.choice("<>") + "I", huge)
            case 3:
                changed[place : place + 2] = draw.choice([b"\xff\xff", b"\x00\x00", b"\xff\x00", b'"\n', b";{"])
            case 4:
                del changed[place : place + draw.randrange(1, 200)]
            case 5:
                changed[place:place] = changed[place : place + draw.randrange(1, 200)]
            case _ if draw.random() < 0.3:
                del changed[max(1, place) :]
    return bytes(changed)


@pytest.fixture(scope="session")
def mutated() -> Callable[[bytes, random.Random], bytes]:
    """Damages the content of a file, as disks, editors and broken downloads do."""
    return _mutated


class Entered:
    """Calls an entry point as the command line does, in this process and in an empty folder."""

    def __init__(self, monkeypatch, capfd, *, model: Path, clips: Path) -> None:
        self.monkeypatch, self.capfd, self.model, self.clips = monkeypatch, capfd, model, clips

    def __call__(self, main: Callable[[], None], *arguments: str) -> tuple[int, str]:
        """The exit code, and what was printed."""
        self.monkeypatch.setattr(sys, "argv", ["vmc", *arguments])
        self.capfd.readouterr()
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            root.handlers[:] = handlers  # Hydra's write to a stream that the test closes
            root.setLevel(level)
        out, err = self.capfd.readouterr()
        return status, out + err


@pytest.fixture
def entered(monkeypatch, capfd, tmp_path, blank, clips) -> Entered:
    """Entry points in an empty folder that holds a folder `occupied` with a file and one clip without a caption."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "notes.txt").write_text("mine")
    write_video(tmp_path / "clip.mp4", moving_square(4), fps=12)
    return Entered(monkeypatch, capfd, model=blank, clips=clips)
