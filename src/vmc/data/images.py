"""Reading image files, and converting between RGB and the pixels of video files.

Axes: H rows, W columns, C color channels (red, green, blue), P the two chroma planes (blue, red difference); frames are
uint8, 0 to 255. A file that cannot be read is a VmcError that names it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from einops import reduce
from PIL import Image, ImageOps

from vmc.data.checks import check_regular, check_size, unreadable
from vmc.utils.errors import VmcError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Formats of an image file, whatever its suffix; Pillow knows others that start programs."""
_BACKGROUND = (255, 255, 255)
"""White, which shows through transparent pixels of stills and videos."""
_RED_LUMA, _BLUE_LUMA = 0.2126, 0.0722
"""Weights of red and blue in the luma of BT.709."""
BT709, _BT601 = 1, 5
LIMITED_RANGE, _FULL_RANGE = 1, 2


def to_yuv420p(frame_CHW: np.ndarray, factor: int) -> np.ndarray:
    """The planes of an enlarged frame stacked as PyAV takes them, uint8 (H * factor * 3/2, W * factor)."""
    # Not with swscale, whose chroma filter mixes neighboring pixels.
    red_HW, green_HW, blue_HW = frame_CHW.astype(np.float64) / 255
    luma_HW = _RED_LUMA * red_HW + (1 - _RED_LUMA - _BLUE_LUMA) * green_HW + _BLUE_LUMA * blue_HW
    chromas_PHW = np.stack([(blue_HW - luma_HW) / (2 - 2 * _BLUE_LUMA), (red_HW - luma_HW) / (2 - 2 * _RED_LUMA)])
    if factor == 1:
        chromas_PHW = reduce(chromas_PHW, "p (h 2) (w 2) -> p h w", "mean")
    luma_HW = (16 + 219 * luma_HW).round().repeat(factor, 0).repeat(factor, 1)
    chroma_factor = max(1, factor // 2)
    chromas_PHW = (128 + 224 * chromas_PHW).round().repeat(chroma_factor, 1).repeat(chroma_factor, 2)
    planes = np.concatenate([luma_HW.reshape(-1), chromas_PHW.reshape(-1)])
    return planes.reshape(-1, luma_HW.shape[1]).astype(np.uint8)


def shown_width(frame: VideoFrame, aspect: Fraction | None) -> int:
    """The width in square pixels."""
    # Pixels within one percent of square come from cropping, not from an anamorphic camera.
    return round(frame.width * aspect) if aspect and abs(aspect - 1) > 0.01 else frame.width


def to_rgb(frame: VideoFrame, comment: str, aspect: Fraction | None) -> np.ndarray:
    """image_HWC of a decoded frame: square pixels, upright, at its size before `write_video` enlarged it."""
    # Older PyAV uses the frame's own matrix and range only if the destination's are given, too.
    colors: Any = {"src_colorspace": frame.colorspace, "src_color_range": frame.color_range}
    colors |= {"dst_colorspace": _BT601, "dst_color_range": _FULL_RANGE, "width": shown_width(frame, aspect)}
    if any(component.is_alpha for component in frame.format.components):
        image_HWC = _to_rgb8(Image.fromarray(frame.to_ndarray(format="rgba", **colors)))
    else:
        image_HWC = frame.to_ndarray(format="rgb24", **colors)
    if scaled := re.fullmatch(r"vmc_scale=(\d{1,5}) size=(\d{1,5})x(\d{1,5})", comment):
        factor, width, height = map(int, scaled.groups())
        # A file that was resized by another program may still carry the comment.
        if factor > 1 and image_HWC.shape[:2] == (height * factor, width * factor):
            # Integer sums, rows first, take a third of the time of a mean over both axes at once.
            rows_HX = image_HWC.reshape(height, factor, -1).sum(1, dtype=np.uint32)
            sums_HWC = rows_HX.reshape(height, width, factor, 3).sum(2, dtype=np.uint32)
            image_HWC = (sums_HWC.astype(np.float32) / factor**2).round().astype(np.uint8)
    return _upright(image_HWC, frame)


def _upright(image_HWC: np.ndarray, frame: VideoFrame) -> np.ndarray:
    """Apply the display matrix, with which phones turn or mirror their videos.

    Its nine numbers are a b u, c d v, x y w; the pixel (x, y) is shown at (a x + c y, b x + d y).
    """
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image_HWC
    right, b, _, c, down = np.frombuffer(matrix, np.int32)[:5].tolist()
    if abs(b) > abs(right):
        image_HWC, right, down = image_HWC.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image_HWC[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])


def load_image(file: Path) -> np.ndarray:
    """image_HWC, which may be read-only, of a still."""
    if (count := count_images(file)) > 1:
        raise VmcError(f"clip {file} is an animation of {count} frames in a folder of frames: move it out of there")
    return next(animation(file))[0]


def count_images(file: Path) -> int:
    """The number of frames in an image file, more than one if it is animated."""
    with _opened(file) as image:
        return len(_places(image))


def animation(file: Path) -> Iterator[tuple[np.ndarray, float]]:
    """The frames of an image file: image_HWC and the seconds that it is shown (0 for a still).

    The EXIF orientation of a still is applied, 16 bits are scaled to 8, and transparency shows white.
    """
    with _opened(file) as image:
        if len(places := _places(image)) == 1:
            ImageOps.exif_transpose(image, in_place=True)
            yield _to_rgb8(image), 0.0
            return
        for place in places:
            image.seek(place)
            image.load()  # WebP knows a frame's duration only then
            seconds = float(image.info.get("duration", 0.0)) / 1000
            # Browsers and FFmpeg replace delays that are too short to be seen by 0.1 s.
            yield _to_rgb8(image), seconds if seconds >= 0.02 else 0.1


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """Open an image and check its size before any pixels are decoded."""
    check_regular(file)
    try:
        with Image.open(file, formats=_FORMATS) as image:
            check_size(file, *image.size)
            if image.format == "TIFF" and (pages := getattr(image, "n_frames", 1)) > 1:
                raise VmcError(f"clip {file} has {pages} pages: save them as numbered images, or as a video")
            yield image
    except VmcError:
        raise
    except Exception as error:  # Pillow's decoders raise errors of many kinds for damaged files
        raise unreadable(file, error) from error


def _places(image: Image.Image) -> range:
    """The indices of an image's frames; further pictures in an MPO are previews of the photograph, not frames."""
    if image.format not in ("WEBP", "PNG", "GIF"):
        return range(1)
    # The first picture of an APNG may be no part of the animation, but for programs that show stills.
    first, total = int(getattr(image, "default_image", False)), int(getattr(image, "n_frames", 1))
    return range(first, total) if total > first else range(1)


def _to_rgb8(image: Image.Image) -> np.ndarray:
    """image_HWC of a picture of any mode; a ValueError if its range of values is unknown."""
    if image.mode.startswith("I"):
        gray_HW = np.asarray(image).astype(np.int64)
        if gray_HW.min() < 0 or gray_HW.max() > 65535:
            raise ValueError("grey of 32 bits, of which nobody says what is white")
        return np.repeat(((gray_HW + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("grey in floating point, of which nobody says what is white")
    # Converting copies an image, of up to 150 MB, even if it has the mode already.
    mode = "RGBA" if image.has_transparency_data else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    if mode == "RGBA":
        image, pasted = Image.new("RGB", image.size, _BACKGROUND), image
        image.paste(pasted, mask=pasted.getchannel("A"))
    return np.asarray(image)
