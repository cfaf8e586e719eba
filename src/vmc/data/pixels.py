"""Between the pixels of a video file and upright RGB images of the size that was meant.

Axes: H rows, W columns, C colour channels (red, green, blue), P the two chroma planes (blue, red difference).
"""

import re
from fractions import Fraction
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from einops import reduce

from vmc.data.images import BACKGROUND

SHORTER_SIDE = 256
"""Pixels that a written video has at least, so that 4:2:0 chroma loses nothing and people can see it."""

BT709, _BT601 = 1, 5
LIMITED_RANGE, _FULL_RANGE = 1, 2
_BT709_RED, _BT709_BLUE = 0.2126, 0.0722


def enlargement(height: int, width: int) -> int:
    """The whole factor by which `write_video` enlarges a video of this size: 1, or an even number."""
    if min(height, width) >= SHORTER_SIDE and height % 2 == width % 2 == 0:
        return 1
    return 2 * max(1, -(-SHORTER_SIDE // (2 * min(height, width))))


def scale_mark(factor: int, height: int, width: int) -> str:
    """The comment in a written file by which `to_rgb` knows how to undo the enlargement."""
    return f"vmc_scale={factor} size={width}x{height}"


def to_yuv420p(frame_CHW: np.ndarray, factor: int) -> np.ndarray:
    """The planes of an enlarged frame one below the other, as PyAV wants them: uint8 (H * factor * 3/2, W * factor).

    Done here and not by swscale, whose chroma filter reaches into neighbouring pixels.
    """
    red_HW, green_HW, blue_HW = frame_CHW.astype(np.float64) / 255
    luma_HW = _BT709_RED * red_HW + (1 - _BT709_RED - _BT709_BLUE) * green_HW + _BT709_BLUE * blue_HW
    chromas_PHW = np.stack([(blue_HW - luma_HW) / (2 - 2 * _BT709_BLUE), (red_HW - luma_HW) / (2 - 2 * _BT709_RED)])
    if factor == 1:
        chromas_PHW = reduce(chromas_PHW, "p (h 2) (w 2) -> p h w", "mean")
    luma_HW = (16 + 219 * luma_HW).round().repeat(factor, 0).repeat(factor, 1)
    chroma_factor = max(1, factor // 2)
    chromas_PHW = (128 + 224 * chromas_PHW).round().repeat(chroma_factor, 1).repeat(chroma_factor, 2)
    planes = np.concatenate([luma_HW.reshape(-1), chromas_PHW.reshape(-1)])
    return planes.reshape(-1, luma_HW.shape[1]).astype(np.uint8)


def shown_width(frame: VideoFrame, aspect: Fraction | None) -> int:
    """Width in pixels once they are square."""
    # Pixels within one per cent of square come from cropping, not from an anamorphic camera.
    return round(frame.width * aspect) if aspect and abs(aspect - 1) > 0.01 else frame.width


def to_rgb(frame: VideoFrame, comment: str, aspect: Fraction | None) -> np.ndarray:
    """image_HWC of a decoded frame: square pixels, upright, at the size it had before `write_video` enlarged it."""
    # Older PyAV follows the frame's own matrix and range only when the destination's are given too.
    colours: dict[str, Any] = {
        "src_colorspace": frame.colorspace,
        "src_color_range": frame.color_range,
        "dst_colorspace": _BT601,
        "dst_color_range": _FULL_RANGE,
    }
    width = shown_width(frame, aspect)
    if any(component.is_alpha for component in frame.format.components):
        image_HWC = _over_background(frame.to_ndarray(format="rgba", width=width, **colours))
    else:
        image_HWC = frame.to_ndarray(format="rgb24", width=width, **colours)
    if mark := re.fullmatch(r"vmc_scale=(\d{1,5}) size=(\d{1,5})x(\d{1,5})", comment):
        factor, width, height = map(int, mark.groups())
        # A file that was resized by another program may still carry the comment.
        if factor > 1 and image_HWC.shape[:2] == (height * factor, width * factor):
            mean_HWC = reduce(image_HWC.astype(np.float32), "(h a) (w b) c -> h w c", "mean", a=factor, b=factor)
            image_HWC = mean_HWC.round().astype(np.uint8)
    return _upright(image_HWC, frame)


def _over_background(image_HWA: np.ndarray) -> np.ndarray:
    """What shows of red, green, blue and opacity over the background that stills have too."""
    shown_HWC = np.empty((*image_HWA.shape[:2], 3), np.uint8)
    for top in range(0, len(image_HWA), 64):  # 16 bits for a whole large frame would take hundreds of megabytes
        rows = image_HWA[top : top + 64]
        opacity = rows[..., 3:].astype(np.uint16)
        mixed = rows[..., :3] * opacity + np.array(BACKGROUND, np.uint16) * (255 - opacity)
        shown_HWC[top : top + 64] = (mixed + 127) // 255
    return shown_HWC


def _upright(image_HWC: np.ndarray, frame: VideoFrame) -> np.ndarray:
    """Applies the display matrix, by which phones turn or mirror what they filmed.

    The matrix is nine numbers a b u, c d v, x y w: the pixel (x, y) is shown at (a x + c y, b x + d y).
    """
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image_HWC
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    right, down = a, d
    if abs(b) > abs(a):
        image_HWC = image_HWC.transpose(1, 0, 2)
        right, down = c, b
    if right < 0:
        image_HWC = image_HWC[:, ::-1]
    return np.ascontiguousarray(image_HWC[::-1] if down < 0 else image_HWC)
