"""A contact sheet: a row of frames a video, with its prompt, as one PNG."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from vmc.files import written_whole

FRAME = 128  # px of a frame's longer side
SHOWN = 8  # frames a row
TEXT = 22  # px of the line above a row


def contact_sheet(
    path: Path, videos: Iterable[Tensor], captions: Sequence[str], *, shown: int = SHOWN, gap: int = 0
) -> None:
    """Write the sheet; each video is frames_FCHW uint8, of which up to `shown` evenly spaced frames are shown.

    A caption of several lines is shown in one; `gap` px of white stand between frames.
    """
    rows = [_strip(frames_FCHW, shown, gap) for frames_FCHW in videos]
    width = max(row.width for row in rows)
    sheet = Image.new("RGB", (width, sum(row.height + TEXT for row in rows)), "white")
    draw, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(size=14), 0
    for row, caption in zip(rows, captions, strict=True):
        draw.text((4, top + 2), _fitted(" ".join(caption.split()), draw, font, width - 8), fill="black", font=font)
        sheet.paste(row, (0, top + TEXT))
        top += row.height + TEXT
    with written_whole(path) as temporary:
        sheet.save(temporary)


def _strip(frames_FCHW: Tensor, shown: int, gap: int) -> Image.Image:
    count = min(shown, len(frames_FCHW))
    chosen = torch.linspace(0, len(frames_FCHW) - 1, count).round().long()
    shown_FCHW = frames_FCHW[chosen]
    height, width = shown_FCHW.shape[-2:]
    scale = FRAME / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    mode = "nearest-exact" if scale >= 1 else "area"
    enlarged = F.interpolate(shown_FCHW.float(), size=size, mode=mode).round().to(torch.uint8)
    enlarged = F.pad(enlarged, (0, gap), value=255)
    return Image.fromarray(rearrange(enlarged, "f c h w -> h (f w) c").numpy())


def _fitted(text: str, draw: ImageDraw.ImageDraw, font: Any, width: int) -> str:
    if draw.textlength(text, font=font) <= width:
        return text
    while text and draw.textlength(text + "…", font=font) > width:
        text = text[:-1]
    return text + "…"
