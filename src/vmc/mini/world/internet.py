"""Writes the stand-ins of the paper's motions from anywhere (Fig. 4), in the layouts in which those are published.

- `gesture_clips`: six videos of a gesture that the base model has not seen, as from the internet;
- `other_clips`: a hundred captioned videos of other things as WebVid has them, with its table and a `captions.csv`;
- `co3d_folder`: sequences of objects that turn before the camera, as CO3D has them;
- `object_test_set`: objects to ask for, of kinds that no sequence shows.
"""

import csv
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from vmc.data.co3d import with_article
from vmc.data.video import write_video
from vmc.mini.world.captions import caption
from vmc.mini.world.gestures import KNOWN
from vmc.mini.world.hashing import renderer_hash
from vmc.mini.world.objects import OBJECTS, ObjectSpec, render_object
from vmc.mini.world.people import generator
from vmc.mini.world.renderer import FPS
from vmc.mini.world.specs import sample_clip
from vmc.mini.world.unseen import render_unseen
from vmc.mini.world.vocabulary import COLORS
from vmc.utils.files import atomic_folder, atomic_write, cache_root

FRAME_SIZE = (96, 128)
"""Height and width of the written videos."""
LENGTHS = (28, 40)
"""Frames of the shortest and the longest video."""
EXEMPLARS = 6
"""Videos of a gesture; the paper has five or six."""
OTHERS = 100
"""Videos of other things; the paper's number."""
HELD_OUT = ("cone", "cup", "lamp")
"""Objects that no sequence shows, but videos of other things do, at rest."""
TURNING = tuple(name for name in OBJECTS if name not in HELD_OUT)
PAINTS = tuple(name for name in COLORS if name not in ("white", "grey", "tan"))
"""Colors of objects, all of which differ from their second color."""
SEQUENCES = 4
"""Of each of the objects; ten of all are drawn."""
TURN_FRAMES = 48
"""Of a sequence, one turn; CO3D's have about 200."""
PORTRAITS = ((128, 96), (120, 80), (132, 100), (112, 84))
"""Heights and widths of the sequences' images, upright and of several sizes as CO3D's are."""
FIRST = 50_000
"""Number of the first person; those of the other stand-ins have smaller ones."""


def _made(name: str, write: Callable[[Path], None]) -> Path:
    """A folder in the cache, written when it is not there."""
    folder = cache_root() / "mini" / f"{name}-{renderer_hash('internet', 'objects', 'unseen')[:12]}"
    if not folder.is_dir():
        with atomic_folder(folder) as temporary:
            write(temporary)
    return folder


def _write(path: Path, frames_FHWC: NDArray[np.uint8]) -> None:
    write_video(path, torch.from_numpy(frames_FHWC).permute(0, 3, 1, 2), fps=FPS)


# --- gestures ---------------------------------------------------------------------------------------------------------


def gesture_clips(gesture: str, *, first: int = 0, count: int = EXEMPLARS) -> Path:
    """A folder of videos of one gesture of `vmc.mini.world.unseen`, made on the first call.

    Args:
        gesture: its name.
        first: which person is the first; the exemplars are 0 to 5, others are held out.
        count: how many videos.
    """

    def write(folder: Path) -> None:
        for number in range(first, first + count):
            spec = sample_clip("exemplars", FIRST + number, gestures=(gesture,), framing="web", frames=LENGTHS)
            _write(folder / f"{number:03d}.mp4", render_unseen(spec, FRAME_SIZE))

    return _made(f"{gesture.lower().replace(' ', '_')}-{first}-{count}", write)


def other_clips(*, objects: bool = False) -> Path:
    """A folder of captioned videos of other things, made on the first call: people who do known gestures before a
    camera that drifts and, with `objects`, half of them objects at rest.
    """

    def write(folder: Path) -> None:
        rows = []
        shown = tqdm(range(OTHERS), desc="rendering videos", unit="video", delay=2.0, disable=None, leave=False)
        for number in shown:
            identity, page = str(1_000_000 + 7919 * number), f"{number // 50:06d}_{number // 50 + 50:06d}"
            still = objects and number % 2 == 0
            text, frames_FHWC = _object_at_rest(number) if still else _person(number)
            _write(folder / page / f"{identity}.mp4", frames_FHWC)
            rows.append((identity, page, text, len(frames_FHWC) / FPS))
        _table(folder / "results.csv", "contentUrl,duration,page_dir,videoid,name", _webvid_rows(rows))
        named = ((f"{page}/{identity}.mp4", text) for identity, page, text, _ in rows)
        _table(folder / "captions.csv", "file,caption", named)

    return _made(f"others-{'objects' if objects else 'people'}", write)


def _person(number: int) -> tuple[str, NDArray[np.uint8]]:
    spec = sample_clip("regularization", FIRST + number, gestures=KNOWN, framing="web", frames=LENGTHS)
    return caption(spec, number, rare_share=0.0), render_unseen(spec, FRAME_SIZE)


def _object_at_rest(number: int) -> tuple[str, NDArray[np.uint8]]:
    random = generator("object at rest", number)
    category, color = tuple(OBJECTS)[number // 2 % len(OBJECTS)], PAINTS[int(random.integers(len(PAINTS)))]
    if category in HELD_OUT and color in asked_colors(category):
        color = next(name for name in PAINTS if name not in asked_colors(category))
    zoom = float(random.uniform(0.85, 1.2))
    spec = ObjectSpec(category=category, color=color, turn=0.0, frames=30, zoom=zoom, seed=1000 + number)
    said = f"{with_article(f'{color} {category}')} on a table" if random.random() < 0.7 else with_article(category)
    return said, render_object(spec, FRAME_SIZE)


def _webvid_rows(rows: Sequence[tuple[str, str, str, float]]) -> Iterator[Sequence[str]]:
    for identity, page, text, seconds in rows:
        yield f"https://example.org/{identity}.mp4", f"PT00H00M{seconds:02.0f}S", page, identity, text


def _table(file: Path, header: str, rows: Iterator[Sequence[str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)


# --- objects ----------------------------------------------------------------------------------------------------------


def co3d_folder() -> Path:
    """Sequences of objects in CO3D's layout, made on the first call: a folder of each category with its annotations."""

    def write(folder: Path) -> None:
        for category in TURNING:
            write_category(folder, category)

    return _made("co3d", write)


def write_category(root: Path, category: str, *, sequences: int = SEQUENCES, frames: int = TURN_FRAMES) -> None:
    """Write a category's folder: `CATEGORY/SEQUENCE/images/frame000001.jpg` and the tables of CO3D."""
    folder, of_sequences, of_frames = root / category, [], []
    for number in range(sequences):
        seed = 10 * tuple(OBJECTS).index(category) + number
        name = f"{100 + seed}_{2000 + 37 * seed}_{4000 + 91 * seed}"
        color = PAINTS[int(generator("object color", seed).integers(len(PAINTS)))]
        size = PORTRAITS[seed % len(PORTRAITS)]
        frames_FHWC = render_object(ObjectSpec(category=category, color=color, frames=frames, seed=seed), size)
        images = folder / name / "images"
        images.mkdir(parents=True)
        of_sequences.append({"sequence_name": name, "category": category, "viewpoint_quality_score": 1.0})
        for place, frame_HWC in enumerate(frames_FHWC, start=1):
            file = images / f"frame{place:06d}.jpg"
            Image.fromarray(frame_HWC).save(file, quality=95, subsampling=0)
            image = {"path": file.relative_to(root).as_posix(), "size": list(size)}
            of_frames.append({"sequence_name": name, "frame_number": place, "image": image})
    for table, content in (("sequence", of_sequences), ("frame", of_frames)):
        packed = gzip.compress(json.dumps(content).encode(), mtime=0)
        (folder / f"{table}_annotations.jgz").write_bytes(packed)


def asked_colors(category: str) -> tuple[str, ...]:
    """Colors in which the test set asks for an object: eight that no still video of it has."""
    start = HELD_OUT.index(category)
    return tuple(PAINTS[(start + 3 * place) % len(PAINTS)] for place in range(8))


def object_test_set() -> Path:
    """A table of objects that no sequence shows, eight colors of each, with three seeds, made on the first call."""
    file = cache_root() / "mini" / f"objects-{renderer_hash('internet', 'objects', 'unseen')[:12]}.csv"
    if not file.is_file():
        random = generator("objects", "seeds")
        rows = ((with_article(f"{color} {name}"), *map(str, random.integers(1, 10**6, 3))) for name, color in _asked())
        with atomic_write(file) as temporary:
            _table(temporary, "subject,seed_1,seed_2,seed_3", rows)
    return file


def _asked() -> list[tuple[str, str]]:
    return [(name, color) for name in HELD_OUT for color in asked_colors(name)]
