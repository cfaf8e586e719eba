"""Contact sheets: the clips that a run is trained on, and the videos of an evaluation, as one picture."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from vmc.data.clips import Clip
from vmc.data.frames import ClipTransform, typical_interval
from vmc.utils.files import atomic_write

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
