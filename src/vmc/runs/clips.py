"""The clips that a run is trained on, as a table and as a picture; and contact sheets of videos."""

import csv
import io
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from vmc.data.clips import Clip
from vmc.data.frames import ClipTransform, typical_interval
from vmc.runs.folder import RunFolder
from vmc.runs.resuming import left_nothing
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write, csv_text, fingerprint, write_text

log = logging.getLogger(__name__)

NAME = "clips.csv"
COLUMNS = ("role", "path", "caption", "sha256")
Row = Mapping[str, str]


def clip_rows(clips: Sequence[Clip]) -> list[dict[str, str]]:
    """A row of the table for each clip; `sha256` is that of the file, or of all frames of a folder."""
    return [
        {"role": clip.role, "path": str(clip.path), "caption": clip.caption, "sha256": fingerprint(Path(clip.path))}
        for clip in clips
    ]


def write_clips(rows: Sequence[Row], folder: Path) -> None:
    """Write the table of a run's clips."""
    write_text(folder / NAME, csv_text(COLUMNS, rows))


def differing_clips(rows: Sequence[Row], folder: Path) -> list[str]:
    """Phrases that say how clips differ from those that the run in a folder was started with, paths aside.

    A missing or damaged table is logged, and there is no difference then.
    """
    earlier = _read(folder / NAME)
    known = [key for key in COLUMNS if key != "path" and all(row.get(key) for row in earlier)]

    def by_name(rows: Sequence[Row]) -> dict[str, list[list[str]]]:
        found: dict[str, list[list[str]]] = {}  # several folders may hold files of one name
        for row in rows:
            found.setdefault(Path(row["path"]).name, []).append([row[key] for key in known])
        return {name: sorted(contents) for name, contents in found.items()}

    if not earlier or [[row[key] for key in known] for row in earlier] == [[row[key] for key in known] for row in rows]:
        return []
    before, now = by_name(earlier), by_name(rows)
    changed = [f"{name} is changed" for name in before if name in now and before[name] != now[name]]
    gone = [f"{name} is gone" for name in before if name not in now]
    new = [f"{name} is new" for name in now if name not in before]
    return changed + gone + new or ["their order is another"]


def check_clips(rows: Sequence[Row], run: RunFolder) -> str:
    """How clips differ from those that a run was started with; a VmcError where it has been trained on them."""
    different = ", ".join(differing_clips(rows, run.path))
    if different and not left_nothing(run):
        raise VmcError(
            f"output is {run.path}, whose run was begun with other clips ({different}); put them back as they were, or"
            " choose another output"
        )
    return different


def _read(file: Path) -> list[dict[str, str]]:
    """Read the rows of a table; none where there is no run yet, or the table is missing or damaged."""
    if not (file.parent / "config.yaml").is_file():
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(file.read_bytes().decode("utf-8"), newline="")))
        fault = "" if rows and all(row.get("role") and row.get("path") for row in rows) else "is damaged"
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        fault = "is gone" if isinstance(error, FileNotFoundError) else f"does not read ({error})"
    if fault:
        log.warning("%s %s; it is written anew, and the clips are taken for those of before", file, fault)
    return [] if fault else rows


FRAME = 128  # px of a frame's longer side
SHOWN = 8  # frames a row
TEXT = 22  # px of the line above a row


def contact_sheet(
    path: Path, videos: Iterable[Tensor], captions: Sequence[str], *, shown: int = SHOWN, gap: int = 0
) -> None:
    """Write a picture with a row for each video, frames_FCHW uint8, below its caption.

    Up to `shown` evenly spaced frames are shown, `gap` px apart. A caption is one line, cut off at the edge.
    """
    rows = [_strip(frames_FCHW, shown, gap) for frames_FCHW in videos]
    size = max(row.width for row in rows), sum(row.height + TEXT for row in rows)
    sheet, font, top = Image.new("RGB", size, "white"), ImageFont.load_default(size=14), 0
    for row, caption in zip(rows, captions, strict=True):
        ImageDraw.Draw(sheet).text((4, top + 2), " ".join(caption.split()), fill="black", font=font)
        sheet.paste(row, (0, top + TEXT))
        top += row.height + TEXT
    with atomic_write(path) as temporary:
        sheet.save(temporary, compress_level=3)  # a third of the time of the usual 6, a tenth larger


def _strip(frames_FCHW: Tensor, shown: int, gap: int) -> Image.Image:
    shown_FCHW = frames_FCHW[torch.linspace(0, len(frames_FCHW) - 1, min(shown, len(frames_FCHW))).round().long()]
    height, width = shown_FCHW.shape[-2:]
    scale = FRAME / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    mode = "nearest-exact" if scale >= 1 else "area"
    enlarged = F.interpolate(shown_FCHW.float(), size=size, mode=mode).round().to(torch.uint8)
    enlarged = F.pad(enlarged, (0, gap), value=255)
    return Image.fromarray(rearrange(enlarged, "f c h w -> h (f w) c").numpy())


CLIP_SHEET = "clips.png"
EXEMPLARS, STILLS, OTHERS = 24, 8, 4  # most clips that are shown; of more, as many evenly spaced ones
FRAMES = 16  # most frames that are shown of a window
GAP = 2  # px between frames, whose borders a still background would hide


def write_clip_sheet(path: Path, clips: Sequence[Clip], transforms: Sequence[ClipTransform]) -> None:
    """Write a contact sheet of a run's clips with their captions and seconds, for each of which there is a transform.

    Exemplars come first, then stills of a subject, then regularization clips. Clips that are augmented have a row for
    an augmented variant.
    """
    pairs = list(zip(clips, transforms, strict=True))
    counts = (("exemplar", EXEMPLARS), ("subject", STILLS), ("regularization", OTHERS))
    parts = [_spaced([pair for pair in pairs if pair[0].role == role], count) for role, count in counts]
    shown, captions = [pair for part in parts for pair in part], []
    for clip, transform in shown:
        role, said = f"{clip.role}: " * (clip.role != "exemplar"), " ".join(clip.caption.split())
        captions.append(f"{role}{clip.name}, {_seconds(clip, transform)}: {said}")
        captions += ["  the same window, augmented"] * (transform.augmentation is not None)

    def videos() -> Iterator[Tensor]:  # one at a time: all together would take hundreds of megabytes
        for clip, transform in shown:
            plain, finished = transform.plain_and_finished(clip.path, variant=0)
            yield from (plain, finished) if transform.augmentation is not None else (plain,)

    contact_sheet(path, videos(), captions, shown=FRAMES, gap=GAP)


def _seconds(clip: Clip, transform: ClipTransform) -> str:
    """The window of a clip, as in `0.3 to 1.6 of 2.5 s`, and how often its last frame is repeated."""
    times, taken = transform.times(clip.path), transform.window(clip.path, variant=0)
    interval = typical_interval(times)
    if not interval:
        return "one frame"
    length, first, last = times[-1] + interval, times[taken.indices[0]], times[taken.indices[-1]]
    end = min(length, last + max(interval, 1 / transform.fps))
    padded = f", last frame repeated {taken.padded} time{'s' * (taken.padded != 1)}" if taken.padded else ""
    return f"{first:.2f} to {end:.2f} of {length:.2f} s{padded}"


def _spaced(items: Sequence[tuple[Clip, ClipTransform]], count: int) -> list[tuple[Clip, ClipTransform]]:
    places = range(len(items)) if len(items) <= count else (n * (len(items) - 1) // (count - 1) for n in range(count))
    return [items[place] for place in places]
