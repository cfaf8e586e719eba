"""Reading the frames of all kinds of clips, and writing frames as a video that reads back the same.

A clip is a video file, an animated image, a folder of frames or a still image, a clip of one frame. One that is
missing, unreadable, without frames or too large is a VmcError that names it.

Axes: F frames, C color channels (red, green, blue), H rows, W columns; frames are uint8, 0 to 255.
"""

import logging
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from torch import Tensor

from vmc.data import checks, images
from vmc.data.checks import check_regular, check_size, explain_permissions, find_irregularity, is_cut_off, unreadable
from vmc.data.images import IMAGE_SUFFIXES
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write

logger = logging.getLogger(__name__)

SHORTER_SIDE = 256
"""Least px of a written video's shorter side, so that 4:2:0 chroma loses nothing and people can see it."""
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif", ".3gp", ".3g2", ".wmv", ".asf"),
    *(".ts", ".mts", ".m2ts", ".flv", ".mpg", ".mpeg", ".ogv", ".mxf"),
)
FOLDER_RATE = 12.0
"""Frames per second of folders of frames, which do not say: Jester's."""
_DEMUXERS = "mov,matroska,webm,avi,gif,asf,mpegts,mpeg,flv,ogg,mxf,mpegvideo,h264,hevc,m4v,ivf,obu,av1,dv,apng"
"""Accepted formats of video files; others of FFmpeg's are playlists, which open the files that they name."""
# Titles in an invalid encoding must not prevent reading a clip. PyAV 19 never raises for them and has no option.
OPENING: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}


def read_frames(path: Path, indices: Sequence[int] | None = None) -> Tensor:
    """frames_FCHW, uint8 RGB, of a clip, turned as its metadata says; only the wanted frames are held in memory.

    Args:
        path: a video file, an animated image, a folder of frames or a still image.
        indices: indices of the frames in the order wanted, with repeats if any; None for all.

    Raises:
        VmcError: the clip cannot be read, has no such frame, or its frames differ in size.
    """
    if indices is not None and (not indices or min(indices) < 0):
        raise VmcError(f"frames {list(indices)} of clip {path} cannot be read: ask for one or more, from 0 on")
    wanted, last = (None, None) if indices is None else (set(indices), max(indices))
    found: dict[int, np.ndarray] = {}
    index = -1
    for index, (_, image) in enumerate(_frames(path)):
        if wanted is None or index in wanted:
            found[index] = image()
            _check_equal(path, index, found[index].shape[1::-1], next(iter(found.values())).shape[1::-1])
        if index == last:  # the rest is not decoded
            break
    order = sorted(found) if indices is None else indices
    if missing := [wanted for wanted in order if wanted > index]:
        raise VmcError(f"clip {path} has no frame {min(missing)}, it has {index + 1}: ask for frames below that number")
    # Filled frame by frame, because stacking and then transposing would hold all frames three times.
    frames_FCHW = np.empty((len(order), 3, *found[order[0]].shape[:2]), np.uint8)
    for place, index in enumerate(order):
        frames_FCHW[place] = found[index].transpose(2, 0, 1)
    return torch.from_numpy(frames_FCHW)


def count_frames(path: Path) -> int:
    """The number of frames that decoding a clip gives; what containers state cannot be trusted."""
    return sum(1 for _ in _frames(path))


def frame_rate(path: Path) -> float | None:
    """Frames per second: `FOLDER_RATE` for a folder of frames, None for a still or a video that does not say."""
    if path.is_dir():
        return FOLDER_RATE
    if path.suffix.lower() in IMAGE_SUFFIXES:
        seconds = [shown for _, shown in images.animation(path)]
        return len(seconds) / sum(seconds) if sum(seconds) else None
    with _opened(path) as (_, stream):
        rate = stream.average_rate or stream.guessed_rate
        return float(rate) if rate else None


def frame_times(path: Path, *, folder_rate: float = FOLDER_RATE) -> list[float]:
    """The times of a clip's frames in seconds from the first, by its timestamps; if these are missing or do not
    increase, evenly at the clip's average rate, or `folder_rate` for a folder.
    """
    stamps = [stamp for stamp, _ in _frames(path)]
    times = [stamp for stamp in stamps if stamp is not None]
    if len(times) < len(stamps) or any(later <= earlier for earlier, later in pairwise(times)):
        rate = folder_rate if path.is_dir() else frame_rate(path) or FOLDER_RATE
        return [index / rate for index in range(len(stamps))]
    return [time - times[0] for time in times]


@explain_permissions()
def check_clip(path: Path) -> None:
    """Decode all of a clip to find what is broken or missing; a gap in the numbers of a folder's frames is a warning.

    A VmcError where it cannot be read, is cut off or damaged in any frame, or its frames differ in size.
    """
    if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
        _check_video(path)
        return
    sizes = [image().shape[1::-1] for _, image in _frames(path)]
    for index, size in enumerate(sizes):
        _check_equal(path, index, size, sizes[0])
    if path.is_dir() and (reason := find_irregularity(frame_files(path))):
        logger.warning(f"clip {path} {reason}: its frames are taken as they follow each other")


def write_video(path: Path, frames_FCHW: Tensor, *, fps: float) -> None:
    """Write an H.264 mp4 (4:2:0, BT.709) that `read_frames` reads back almost exactly; equal frames give equal bytes.

    A video whose shorter side is below 256 pixels, or whose sides are odd, is enlarged by the smallest even factor that
    is enough (nearest neighbor), so that every chroma sample covers a single source pixel. The file's comment holds the
    factor, and `read_frames` undoes it.

    Args:
        path: the file, written atomically; its folder is created.
        frames_FCHW: uint8 RGB, at least one frame.
        fps: frames per second.
    """
    if frames_FCHW.dtype != torch.uint8 or frames_FCHW.ndim != 4 or frames_FCHW.shape[1] != 3 or not len(frames_FCHW):
        raise ValueError(f"frames are {tuple(frames_FCHW.shape)} {frames_FCHW.dtype}; they must be F3HW uint8, F > 0")
    height, width = frames_FCHW.shape[2:]
    factor = enlargement(height, width)
    rate = Fraction(fps).limit_denominator(1001)
    with atomic_write(path) as temporary, av.open(temporary, "w", "mp4", options={"movflags": "+faststart"}) as file:
        file.metadata["comment"] = f"vmc_scale={factor} size={width}x{height}"  # see `images.to_rgb`
        # One thread, because x264's output depends on their number. Its macroblock tree reads uninitialized memory if
        # the number of macroblocks in a row is no multiple of 8.
        options = {"crf": "10", "threads": "1"} | ({"mbtree": "0"} if -(-width * factor // 16) % 8 else {})
        stream: Any = file.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width * factor, height * factor, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.color_range = images.LIMITED_RANGE
        for name in ("colorspace", "color_primaries", "color_trc"):
            setattr(stream.codec_context, name, images.BT709)
        for index, frame_CHW in enumerate(frames_FCHW.cpu().numpy()):
            frame = VideoFrame.from_ndarray(images.to_yuv420p(frame_CHW, factor), format="yuv420p")
            frame.pts, frame.time_base = index, 1 / rate
            frame.color_range, frame.colorspace = images.LIMITED_RANGE, images.BT709
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def natural_order(name: str) -> tuple[list[str | int], str]:
    """A sorting key by which `frame_2` comes before `frame_10`."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


@explain_permissions()
def frame_files(folder: Path) -> list[Path]:
    """The images directly in a folder, in natural order, without hidden ones."""
    files = [file for file in folder.iterdir() if is_visible(file) and file.suffix.lower() in IMAGE_SUFFIXES]
    return sorted((file for file in files if not file.is_dir()), key=lambda file: natural_order(file.name))


def is_visible(path: Path) -> bool:
    """Whether a file or folder is not hidden (`.DS_Store`, `._clip.mp4`)."""
    return not path.name.startswith(".")


def _frames(path: Path) -> Iterator[tuple[float | None, Callable[[], np.ndarray]]]:
    """The time of each frame of a clip in seconds, if that is known, and a function that gives its image_HWC."""
    with explain_permissions():
        is_folder, suffix = path.is_dir(), path.suffix.lower()
    if is_folder:
        if not (files := frame_files(path)):
            raise VmcError(f"clip {path} is a folder without frames: put {', '.join(IMAGE_SUFFIXES)} files into it")
        yield from ((None, partial(images.load_image, file)) for file in files)
    elif suffix in IMAGE_SUFFIXES:
        time = 0.0
        for image_HWC, seconds in images.animation(path):
            yield time, partial(np.asarray, image_HWC)
            time += seconds
    elif suffix in VIDEO_SUFFIXES:
        with _opened(path) as (container, stream):
            for frame in _decoded(path, container, stream):
                yield frame.time, partial(_rgb, path, frame, container, stream)
    else:
        check_regular(path)
        known = ", ".join(VIDEO_SUFFIXES + IMAGE_SUFFIXES)
        raise VmcError(f"clip {path} has the suffix {path.suffix!r}: convert it to one of {known}")


def _rgb(path: Path, frame: VideoFrame, container: InputContainer, stream: VideoStream) -> np.ndarray:
    aspect = stream.sample_aspect_ratio
    check_size(path, images.shown_width(frame, aspect), frame.height)
    try:
        return images.to_rgb(frame, container.metadata.get("comment", ""), aspect)
    except (av.FFmpegError, ValueError) as error:  # a ValueError for pixels that PyAV does not know
        raise unreadable(path, error) from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file and its first video stream that is no cover; sizes are checked before any decoding."""
    check_regular(path)
    limits = {"max_pixels": str(checks.MAX_PIXELS)}
    try:
        with path.open("rb") as file:
            start = file.read(10)
        if start[:6] in (b"GIF87a", b"GIF89a") and len(start) == 10:  # opening a GIF already decodes a frame
            check_size(path, *struct.unpack("<2H", start[6:]))
        container = av.open(str(path), options={"format_whitelist": _DEMUXERS} | limits, **OPENING)
    except (av.FFmpegError, OSError) as error:
        raise unreadable(path, error) from error
    with container:
        streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not streams:
            raise VmcError(f"clip {path} has no video stream: replace it by a file with pictures, or remove it")
        stream = streams[0]
        if stream.codec_context is None:
            raise VmcError(f"clip {path} is in a format that cannot be decoded here: convert it to mp4, or remove it")
        if stream.width and stream.height:
            check_size(path, stream.width, stream.height)
        stream.codec_context.options = limits
        stream.thread_type = "AUTO"
        yield container, stream


def _decoded(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    frame = None
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:  # the last packet of a truncated file
                raise _damaged(path, "is cut off or damaged")
            for frame in packet.decode():
                check_size(path, frame.width, frame.height)
                yield frame
    except av.FFmpegError as error:
        raise unreadable(path, error) from error
    if frame is None:
        raise VmcError(f"clip {path} has no frames: replace it, or remove it")


@explain_permissions()
def _check_video(path: Path) -> None:
    """Find what decoding does not: hidden damage, frames of different sizes, and truncation."""
    if is_cut_off(path):
        raise _damaged(path, "is cut off or damaged")
    with _opened(path) as (container, stream):
        stream.thread_type = "NONE"  # with several threads, a decoder reports damage only by chance
        if stream.codec_context.name == "hevc":  # whose decoder otherwise hides damage
            stream.codec_context.options |= {"err_detect": "explode"}
        seconds, index = 0.0, 0
        for index, frame in enumerate(_decoded(path, container, stream)):
            if index == 0:
                _rgb(path, first := frame, container, stream)
            if frame.is_corrupt:
                raise _damaged(path, f"is damaged in frame {index}")
            _check_equal(path, index, (frame.width, frame.height), (first.width, first.height))
            if frame.time is not None and first.time is not None:
                seconds = frame.time - first.time
        if len(container.streams) == 1 and container.duration and index:
            # Damage may lose frames, which the container's duration shows, though not precisely.
            stated, lasted = container.duration / av.time_base, seconds * (index + 1) / index  # with the last frame
            told = f"lasts {stated:.1f} s by its header and has frames for {lasted:.1f} s"
            if stated - lasted > max(0.5, stated / 10):
                if container.format.name in ("flv", "asf", "mxf", "ogg"):
                    raise _damaged(path, told)
                if container.format.name.startswith("matroska"):  # may include a last frame that is shown for long
                    logger.warning(f"clip {path} {told}: it may be damaged")


def _check_equal(path: Path, index: int, size: Sequence[int], first: Sequence[int]) -> None:
    if tuple(size) != tuple(first):
        name, remedy = f"{index} of clip {path}", "re-encode it in one size"
        if path.is_dir():
            name = str(frame_files(path)[index])
            remedy = (
                "make the frames equal in size, or, where they are photographs, give them names that differ in more"
                " than a number, and captions of their own or data.source.stills=true"
            )
        raise VmcError(f"frame {name} is {size[0]}x{size[1]} and the first one is {first[0]}x{first[1]}: {remedy}")


def _damaged(path: Path, told: str) -> VmcError:
    return VmcError(f"clip {path} {told}: copy or download it again, or remove it")


def enlargement(height: int, width: int) -> int:
    """The whole factor by which `write_video` enlarges a video of this size: 1, or an even number."""
    if min(height, width) >= SHORTER_SIDE and height % 2 == width % 2 == 0:
        return 1
    return 2 * max(1, -(-SHORTER_SIDE // (2 * min(height, width))))
