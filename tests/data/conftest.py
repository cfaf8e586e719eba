"""Clips made by code: each frame tells its number by its grey level, and a red corner tells which way is up."""

import shutil
import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from PIL import Image

RED = (255, 0, 0)
GRAYS = tuple(range(40, 240, 20))
"""The grey level of frame i is GREYS[i]."""


def numbered(count=10, *, height=64, width=96):
    """frames_FCHW: the top left quarter is red, all the rest is the frame's grey level."""
    frames = torch.empty(count, 3, height, width, dtype=torch.uint8)
    frames[:] = torch.tensor(GRAYS[:count], dtype=torch.uint8)[:, None, None, None]
    frames[:, :, : height // 2, : width // 2] = torch.tensor(RED, dtype=torch.uint8)[:, None, None]
    return frames


def numbers(frames_FCHW):
    """Which frames these are, told by the grey of their last quarter."""
    _, _, height, width = frames_FCHW.shape
    level = frames_FCHW[:, :, -height // 4 :, -width // 4 :].float().mean((1, 2, 3))
    return (level[:, None] - torch.tensor(GRAYS)).abs().argmin(1).tolist()


def red_corner(frames_FCHW):
    """Where the red corner is."""
    _, _, height, width = frames_FCHW.shape
    for row, vertical in ((height // 4, "top"), (3 * height // 4, "bottom")):
        for column, horizontal in ((width // 4, "left"), (3 * width // 4, "right")):
            red, green, blue = frames_FCHW[0, :, row, column].tolist()
            if red > 200 and green < 60 and blue < 60:
                return f"{vertical} {horizontal}"
    return None


def encode(
    path: Path, frames_FCHW, *, codec="libx264", pixels="yuv420p", fps=8, aspect=None, container=None, **options
):
    """Writes a clip with plain PyAV, not with the project's writer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"crf": "4"} | options if codec == "libx264" else options
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=Fraction(fps), options=options)
        stream.height, stream.width = frames_FCHW.shape[2:]
        stream.pix_fmt = pixels
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        output.start_encoding()
        for image in frames_FCHW.permute(0, 2, 3, 1).contiguous().numpy():
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def turn(path: Path, matrix):
    """Writes a display matrix (a, b, c, d) into the track header of an mp4, as a phone does."""
    content = bytearray(path.read_bytes())
    offset = content.index(b"tkhd") + 4 + 40
    assert struct.unpack(">9i", content[offset : offset + 36])[8] == 1 << 30
    a, b, c, d = (value << 16 for value in matrix)
    content[offset : offset + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def save_images(folder: Path, frames_FCHW, *, pattern="{:05d}.png", first=1):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(frames_FCHW.permute(0, 2, 3, 1).numpy(), start=first):
        Image.fromarray(image).save(folder / pattern.format(number))
    return folder


def animate(path: Path, frames_FCHW, *, milliseconds=100):
    """Writes an animated WebP, PNG or GIF, without loss."""
    images = [Image.fromarray(image) for image in frames_FCHW.permute(0, 2, 3, 1).numpy()]
    options = {"lossless": True} if path.suffix == ".webp" else {}
    images[0].save(path, save_all=True, append_images=images[1:], duration=milliseconds, **options)
    return path


def encode_audio(path: Path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return path


def available(codec: str) -> bool:
    """Whether this build of PyAV can encode with the codec."""
    try:
        av.Codec(codec, "w")
    except (av.FFmpegError, ValueError):
        return False
    return True


@pytest.fixture(scope="session")
def make():
    """The helpers above; test files cannot import each other."""
    helpers = (numbered, numbers, red_corner, encode, turn, save_images, animate, encode_audio, jester_rows, available)
    return SimpleNamespace(**{helper.__name__: helper for helper in helpers})


@pytest.fixture(scope="session")
def encoded(tmp_path_factory):
    """The ten numbered frames as an mp4, to be copied."""
    return encode(tmp_path_factory.mktemp("encoded") / "clip.mp4", numbered())


@pytest.fixture
def mp4(encoded, tmp_path):
    return Path(shutil.copy(encoded, tmp_path / "clip.mp4"))


@pytest.fixture
def portrait(encoded, tmp_path):
    """Filmed upright with a phone: stored 96 x 64, turned a quarter clockwise when shown."""
    return turn(Path(shutil.copy(encoded, tmp_path / "portrait.mp4")), (0, 1, -1, 0))


@pytest.fixture
def truncated(tmp_path):
    """A fast-start mp4 of which the last part was never downloaded."""
    noise = torch.randint(0, 256, (10, 3, 64, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    path = encode(tmp_path / "truncated.mp4", noise, container={"movflags": "+faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


LABELS = ["Swiping Down", "No gesture", "Doing other things", "Thumb Up"]


def jester_rows(count=4):
    """Ids of different lengths and their labels, `count` of each label."""
    return [(str(7 + 9 * number), LABELS[number % len(LABELS)]) for number in range(count * len(LABELS))]


@pytest.fixture
def jester_release(tmp_path):
    root = tmp_path / "jester"
    for id, _ in jester_rows():
        save_images(root / "20bn-jester-v1" / id, numbered(3, height=20, width=30), pattern="{:05d}.jpg")
    (root / "jester-v1-labels.csv").write_text("\n".join(LABELS) + "\n")
    for split in ("train", "validation"):
        rows = jester_rows() if split == "validation" else [("999", "Thumb Up")]
        (root / f"jester-v1-{split}.csv").write_text("".join(f"{id};{label}\n" for id, label in rows))
    (root / "jester-v1-test.csv").write_text("1234\n5678\n")
    return root


@pytest.fixture
def jester_mirror(tmp_path):
    root = tmp_path / "mirror"
    header = "video_id,label,frames,label_id,shape,format\n"
    for id, _ in jester_rows():
        save_images(root / "Validation" / id, numbered(3, height=20, width=30), pattern="{:05d}.jpg")
    rows = "".join(f'{id},{label},3,{13 - len(label)},"(100, 176)",jpg\n' for id, label in jester_rows())
    (root / "Validation.csv").write_text(header + rows)
    (root / "Train.csv").write_text(header + '999,Thumb Up,3,0,"(100, 176)",jpg\n')
    return root
