"""Writes rendered webcam clips as a folder in Jester's own layout.

20bn-jester-v1/<id>/00001.jpg ...   frames at 12 a second, 100 pixels high
jester-v1-labels.csv                one name a line, unsorted as in the original
jester-v1-train.csv                 id;label
jester-v1-validation.csv            id;label
jester-v1-test.csv                  id
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from vmc.mini.world.gestures import LABELS, REGULARIZATION, TARGETS
from vmc.mini.world.hashing import renderer_hash
from vmc.mini.world.people import Pool, generator
from vmc.mini.world.renderer import render
from vmc.mini.world.specs import sample_clip
from vmc.utils.cache import only_process
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_folder, cache_root
from vmc.utils.processes import cores_of_all, spawn_context, use_cores

FRAME_SIZE = (100, 132)
"""Height and width of the written frames."""
CLIP_FRAMES = (28, 40)
"""Shortest and longest clip."""
JPEG_QUALITY = 95
LABEL_ORDER = (
    "Swiping Left",
    "Swiping Right",
    "Swiping Down",
    "Swiping Up",
    "Pushing Hand Away",
    "Pulling Hand In",
    "Sliding Two Fingers Left",
    "Sliding Two Fingers Right",
    "Sliding Two Fingers Down",
    "Sliding Two Fingers Up",
    "Pushing Two Fingers Away",
    "Pulling Two Fingers In",
    "Rolling Hand Forward",
    "Rolling Hand Backward",
    "Turning Hand Clockwise",
    "Turning Hand Counterclockwise",
    "Zooming In With Full Hand",
    "Zooming Out With Full Hand",
    "Zooming In With Two Fingers",
    "Zooming Out With Two Fingers",
    "Thumb Up",
    "Thumb Down",
    "Shaking Hand",
    "Stop Sign",
    "Drumming Fingers",
    "No gesture",
    "Doing other things",
)
"""The order of the labels file: not sorted, so that nothing may rely on it."""
_SPLITS = ("train", "validation", "test")
_PATIENCE = 2.0
"""Seconds before a progress bar appears."""


@dataclass(frozen=True)
class _Clip:
    """One clip to be written: its id, its label, its split, and which clip of which pool it is."""

    identity: int
    label: str
    split: str
    pool: Pool
    number: int


def write(
    folder: Path,
    *,
    per_class: int | Mapping[str, int] = 30,
    classes: Sequence[str] = LABELS,
    seed: int = 0,
    train_per_class: int = 2,
    test_clips: int = 4,
    workers: int | None = None,
) -> None:
    """Writes a folder in Jester's layout, whole or not at all.

    Persons of the validation and test clips come from the `exemplars` pool, those of the two regularization classes
    from the `regularization` pool, those of training clips from the `classifier` pool.

    Args:
        folder: where; it must not exist, or be empty.
        per_class: validation clips of every class, or of each by its name (a class left out has none).
        classes: labels to write.
        seed: another seed gives other persons and clips.
        train_per_class: training clips of every class.
        test_clips: clips without a label.
        workers: processes, by default one for each processor that this process may use.

    Raises:
        VmcError: the folder is not empty, a class does not exist, or a count is negative.
    """
    if unknown := sorted(set(classes) - set(LABELS)):
        raise VmcError(f"there is no gesture {unknown[0]!r}; choose from {', '.join(LABELS)}")
    counts = {label: per_class if isinstance(per_class, int) else per_class.get(label, 0) for label in classes}
    if min([*counts.values(), train_per_class, test_clips], default=0) < 0:
        raise VmcError(f"per_class is {per_class}; a count of clips cannot be negative")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VmcError(f"{folder} exists and is not empty; name a folder that does not exist yet, or empty it")
    clips = _plan(counts, seed=seed, train_per_class=train_per_class, test_clips=test_clips)
    with atomic_folder(folder) as temporary:
        _write_tables(temporary, clips)
        _write_clips(temporary / "20bn-jester-v1", clips, workers)


def default_folder() -> Path:
    """The miniature's own Jester folder, made on the first call and kept in the cache.

    Validation: 30 clips of every target, 100 of each regularization class, 10 of every other class.
    """
    folder = cache_root() / "mini" / f"jester-{renderer_hash('jester_folder')[:12]}"
    if not folder.is_dir():
        per_class = {label: 30 if label in TARGETS else 100 if label in REGULARIZATION else 10 for label in LABELS}
        # Arms side by side begin with the same clips: one process renders them, the others wait for it.
        with only_process(folder.with_suffix(".lock"), doing=f"renders {folder}"):
            if not folder.is_dir():
                write(folder, per_class=per_class)
    return folder


def _plan(counts: Mapping[str, int], *, seed: int, train_per_class: int, test_clips: int) -> list[_Clip]:
    """All clips with ids that are drawn, unsorted, as the original's are."""
    wanted: list[tuple[str, str]] = []
    for label, count in counts.items():
        wanted += [(label, "validation")] * count + [(label, "train")] * train_per_class
    wanted += [(sorted(counts)[index % len(counts)], "test") for index in range(test_clips if counts else 0)]
    identities = generator("jester", "identities", seed).permutation(max(9 * len(wanted), 1000))[: len(wanted)] + 1
    clips = []
    for index, ((label, split), identity) in enumerate(zip(wanted, identities.tolist(), strict=True)):
        pool: Pool = "regularization" if label in REGULARIZATION else "exemplars"
        # A train split is for classifiers; its persons must not be those whom exemplars are drawn from.
        pool = "classifier" if split == "train" else pool
        clips.append(_Clip(identity, label, split, pool, 1_000_000 * (seed + 1) + index))
    return clips


def _write_tables(folder: Path, clips: Iterable[_Clip]) -> None:
    rows: dict[str, list[str]] = {split: [] for split in _SPLITS}
    for clip in sorted(clips, key=lambda clip: clip.identity):
        rows[clip.split].append(str(clip.identity) if clip.split == "test" else f"{clip.identity};{clip.label}")
    for name, lines in (("labels", list(LABEL_ORDER)), *rows.items()):
        (folder / f"jester-v1-{name}.csv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_clips(folder: Path, clips: Sequence[_Clip], workers: int | None) -> None:
    folder.mkdir()
    # Arms side by side wait for these clips: they are rendered on the cores of all arms, not on this one's alone.
    cores = cores_of_all()
    count = min(workers or len(cores), len(clips))
    with tqdm(total=len(clips), desc="rendering clips", unit="clip", delay=_PATIENCE, disable=None, leave=False) as bar:
        if count <= 1:
            for clip in clips:
                _write_clip(folder, clip)
                bar.update()
        else:
            with ProcessPoolExecutor(
                count, mp_context=spawn_context(), initializer=use_cores, initargs=(cores,)
            ) as pool:
                for _ in pool.map(_write_clip, [folder] * len(clips), clips, chunksize=4):
                    bar.update()


def _write_clip(folder: Path, clip: _Clip) -> None:
    spec = sample_clip(clip.pool, clip.number, gestures=(clip.label,), framing="webcam", frames=CLIP_FRAMES)
    place = folder / str(clip.identity)
    place.mkdir()
    for index, frame_HWC in enumerate(render(spec, FRAME_SIZE), start=1):
        Image.fromarray(frame_HWC).save(place / f"{index:05d}.jpg", quality=JPEG_QUALITY, subsampling=0)
