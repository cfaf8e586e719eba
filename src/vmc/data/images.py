"""Frames of image files: stills, and the animated WebP and PNG files that are videos.

Axes: H rows, W columns, C colour channels (red, green, blue); frames are uint8, 0 to 255.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from vmc.data.limits import check_regular, check_size, too_large
from vmc.errors import VmcError

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
        return _upright(image)


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
            yield _upright(image), 0.0
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


def _upright(image: Image.Image) -> np.ndarray:
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
