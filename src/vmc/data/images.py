"""Image files to frames, and the pixels of video files to upright RGB images of the size that was meant.

Axes: H rows, W columns, C colour channels (red, green, blue), P the two chroma planes (blue, red difference).

Axes: H rows, W columns, C colour channels (red, green, blue); frames are uint8, 0 to 255.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from einops import reduce
from PIL import Image, ImageOps

from vmc.data.limits import check_regular, check_size, too_large
from vmc.utils.errors import VmcError

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


IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""What such a file may hold whatever its suffix: Pillow knows formats that start other programs."""
BACKGROUND = (255, 255, 255)
"""White, as a page behind it: what shows through transparent pixels of stills and videos."""


def load_image(file: Path, *, coarse: bool = False) -> np.ndarray:
    """Read a still, turned as its EXIF orientation says, 16 bit scaled to 8, transparency over `BACKGROUND`.

    Args:
        file: of one picture.
        coarse: decode a JPEG at an eighth, which is faster and reads all of its bytes.

    Returns:
        image_HWC, which may be read-only.

    Raises:
        VmcError: no such file, damaged, too large, or of several pictures.
    """
    with _opened(file) as image:
        if coarse:
            image.draft("RGB", (1, 1))
        return _upright_image(image)


def check_image(file: Path) -> tuple[int, int]:
    """Decode a frame of a folder, a JPEG coarsely; give its width and height in pixels as they are shown.

    Raises:
        VmcError: as `load_image`, or it is an animation.
    """
    with _opened(file) as image:
        if (count := len(_places(image))) > 1:
            raise VmcError(f"clip {file} is an animation of {count} frames in a folder of frames: move it out of there")
        width, height = image.size
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        image.draft("RGB", (1, 1))
        to_rgb8(image)
        return (height, width) if turned else (width, height)


def count_images(file: Path) -> int:
    """How many frames an image file has: more than one where it is animated.

    Raises:
        VmcError: as `load_image`.
    """
    with _opened(file) as image:
        return len(_places(image))


def animation(file: Path) -> Iterator[tuple[np.ndarray, float]]:
    """The frames of an image file, one by one: image_HWC, and for how many seconds it is shown (0 for a still).

    Raises:
        VmcError: as `load_image`.
    """
    with _opened(file) as image:
        places = _places(image)
        if len(places) == 1:
            yield _upright_image(image), 0.0
            return
        for place in places:
            image.seek(place)
            image.load()  # WebP tells a frame's duration only then
            seconds = float(image.info.get("duration", 0.0)) / 1000
            # Browsers and FFmpeg take a delay that nobody could see for one that was left out.
            yield to_rgb8(image), seconds if seconds >= 0.02 else 0.1


def image_times(file: Path) -> list[float]:
    """When each frame of an image file is shown, in seconds from the first: 0 alone for a still.

    Raises:
        VmcError: as `load_image`.
    """
    seconds = [shown for _, shown in animation(file)]
    return [0.0, *accumulate(seconds[:-1])]


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """The image, its size checked before any of its pixels are decoded."""
    check_regular(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `check_size` is stricter
            image = Image.open(file, formats=_FORMATS)
        with image:
            check_size(file, *image.size)
            if image.format == "TIFF" and (pages := getattr(image, "n_frames", 1)) > 1:
                raise VmcError(f"clip {file} has {pages} pages: save them as numbered images, or as a video")
            yield image
    except (VmcError, GeneratorExit):
        raise
    except Image.DecompressionBombError as error:
        raise too_large(file, "hundreds of millions of") from error
    except Exception as error:  # on damaged files Pillow's decoders raise nearly everything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise VmcError(f"clip {file} cannot be read ({reason}): replace or re-encode it, or remove it") from error


def _places(image: Image.Image) -> range:
    """The frames of an animation; those beside a photograph in an MPO are its previews, not frames."""
    if image.format not in ("WEBP", "PNG", "GIF"):
        return range(1)
    # The first picture of an APNG may stand beside the animation, for programs that show stills.
    first = int(bool(getattr(image, "default_image", False)))
    total = int(getattr(image, "n_frames", 1))
    return range(first, total) if total > first else range(1)


def _upright_image(image: Image.Image) -> np.ndarray:
    ImageOps.exif_transpose(image, in_place=True)
    return to_rgb8(image)


def to_rgb8(image: Image.Image) -> np.ndarray:
    """image_HWC of a picture of any mode.

    Raises:
        ValueError: its numbers have no known white.
    """
    if image.mode.startswith("I;16") or image.mode == "I":
        grey_HW = np.asarray(image).astype(np.int64)
        if grey_HW.min() < 0 or grey_HW.max() > 65535:
            raise ValueError("grey of 32 bits, of which nobody says what is white")
        return np.repeat(((grey_HW + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("grey in floating point, of which nobody says what is white")
    if image.has_transparency_data:
        colors = _converted(image, "RGBA")
        over = Image.new("RGB", image.size, BACKGROUND)
        over.paste(colors, mask=colors.getchannel("A"))
        return np.asarray(over)
    return np.asarray(_converted(image, "RGB"))


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """Without the copy that Pillow makes of an image that has the mode already: it may have 150 MB."""
    return image if image.mode == mode else image.convert(mode)
