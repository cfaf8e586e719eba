"""Reading clips of every kind into frames, and writing frames as a video that reads back as it was.

A clip is a video file, an animated image, a folder of frames or a still image, which is a clip of one frame.

Axes: F frames, C colour channels (red, green, blue), H rows, W columns; frames are uint8, 0 to 255.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import torch
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from einops import rearrange
from torch import Tensor

from vmc.data.completeness import gif_size, irregularity, is_cut_off
from vmc.data.images import (
    BT709,
    IMAGE_SUFFIXES,
    LIMITED_RANGE,
    animation,
    check_image,
    count_images,
    enlargement,
    image_times,
    load_image,
    scale_mark,
    shown_width,
    to_rgb,
    to_yuv420p,
)
from vmc.data.limits import MAX_PIXELS, check_regular, check_size, entries, is_folder
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif", ".3gp", ".3g2", ".wmv", ".asf"),
    *(".ts", ".mts", ".m2ts", ".flv", ".mpg", ".mpeg", ".ogv", ".mxf"),
)
FOLDER_RATE = 12.0
"""Frames per second of a folder of frames, which does not say: Jester's."""


def read_frames(path: Path, indices: Sequence[int] | None = None) -> Tensor:
    """The wanted frames of a clip, upright as its rotation metadata says; only these are held in memory.

    Args:
        path: a video file, an animated image, a folder of frames or a still image.
        indices: frames in the order wanted, counted from 0, repeats allowed; None for all.

    Returns:
        frames_FCHW, uint8 RGB.

    Raises:
        VmcError: the clip is missing, unreadable or without frames, has no such frame, or its frames differ in size.
    """
    wanted = None if indices is None else sorted(set(indices))
    if wanted is not None and (not wanted or wanted[0] < 0):
        raise VmcError(f"frames {list(indices or [])} of clip {path} cannot be read: ask for one or more, from 0 on")
    found: dict[int, np.ndarray] = {}
    for index, image_HWC in _images(path, wanted):
        if found and image_HWC.shape != (first := next(iter(found.values()))).shape:
            raise VmcError(
                f"frame {index} of clip {_frame_name(path, index)} is {_size(image_HWC)} and the first one is "
                f"{_size(first)}: make the frames equal in size"
            )
        found[index] = image_HWC
    if wanted is not None and (missing := [index for index in wanted if index not in found]):
        raise VmcError(
            f"clip {path} has no frame {missing[0]}, it has {count_frames(path)}: ask for frames below that number"
        )
    order = sorted(found) if indices is None else indices
    # Filled frame by frame: stacking and then turning the axes would hold all frames three times.
    frames_FCHW = np.empty((len(order), 3, *found[order[0]].shape[:2]), np.uint8)
    for place, index in enumerate(order):
        frames_FCHW[place] = rearrange(found[index], "h w c -> c h w")
    return torch.from_numpy(frames_FCHW)


def count_frames(path: Path) -> int:
    """How many frames a clip gives when it is decoded; what containers say of themselves is not to be trusted.

    Raises:
        VmcError: the clip is missing, unreadable or without frames.
    """
    match _kind(path):
        case "folder":
            return len(frame_files(path))
        case "image":
            return count_images(path)
    with _opened(path) as (container, stream):
        return sum(1 for _ in _decoded(path, container, stream))


def frame_rate(path: Path) -> float | None:
    """Frames per second: `FOLDER_RATE` for a folder of frames, None for a still and a video that does not say."""
    match _kind(path):
        case "folder":
            return FOLDER_RATE
        case "image":
            seconds = [shown for _, shown in animation(path)]
            return len(seconds) / sum(seconds) if sum(seconds) else None
    with _opened(path) as (_, stream):
        rate = stream.average_rate or stream.guessed_rate
        return float(rate) if rate else None


def frame_times(path: Path, *, folder_rate: float = FOLDER_RATE) -> list[float]:
    """When each frame that `read_frames` gives is shown, in seconds from the first, by the clip's own timestamps.

    Where these are absent or do not increase, frames are taken to be evenly spaced at the clip's average rate.

    Args:
        path: a video file, a folder of frames or a still image.
        folder_rate: frames per second of a folder of frames, which does not say.

    Raises:
        VmcError: the clip is missing, unreadable or without frames.
    """
    match _kind(path):
        case "folder":
            return [index / folder_rate for index in range(len(frame_files(path)))]
        case "image":
            stamps, rate = image_times(path), FOLDER_RATE
        case "video":
            with _opened(path) as (container, stream):
                stamps = [frame.time for frame in _decoded(path, container, stream)]
                rate = float(stream.average_rate or stream.guessed_rate or FOLDER_RATE)
    times = [stamp for stamp in stamps if stamp is not None]
    if len(times) < len(stamps) or any(later <= earlier for earlier, later in pairwise(times)):
        return [index / rate for index in range(len(stamps))]
    return [time - times[0] for time in times]


def check_clip(path: Path) -> None:
    """Decode all of a clip to find what is broken or missing; a gap in the numbers of a folder's frames is a warning.

    Raises:
        VmcError: the clip is missing, unreadable, cut off, damaged in any frame or without frames, or its frames differ
            in size.
    """
    match _kind(path):
        case "folder":
            _check_folder(path)
        case "image":
            for _ in animation(path):
                pass
        case "video":
            _check_video(path)


def _check_folder(path: Path) -> None:
    files = frame_files(path)
    sizes = [check_image(file) for file in files]
    for file, (width, height) in zip(files, sizes, strict=True):
        if (width, height) != sizes[0]:
            raise VmcError(
                f"frame {file} is {width}x{height} and the first one is {sizes[0][0]}x{sizes[0][1]}: make the frames "
                "equal in size, or set data.source.stills=true where they are photographs"
            )
    if reason := irregularity(files):
        logger.warning(f"clip {path} {reason}: its frames are taken as they follow each other")


def _check_video(path: Path) -> None:
    """Besides what the decoder refuses: damage that it hides, other sizes, and an end before the one stated."""
    try:
        if is_cut_off(path):
            raise VmcError(f"clip {path} is cut off or damaged: copy or download it again, or remove it")
    except OSError as error:
        raise _unreadable(path, error) from error
    with _opened(path) as (container, stream):
        if stream.codec_context.name == "hevc":  # whose decoder tells of hidden damage in no other way
            stream.codec_context.options |= {"err_detect": "explode"}
        first: VideoFrame | None = None
        seconds, index = 0.0, 0
        for index, frame in enumerate(_decoded(path, container, stream)):
            if first is None:
                first = frame
                _rgb(path, frame, container, stream)
            if frame.is_corrupt:
                raise VmcError(f"clip {path} is damaged in frame {index}: copy or download it again, or remove it")
            if (frame.width, frame.height) != (first.width, first.height):
                raise VmcError(
                    f"frame {index} of clip {path} is {frame.width}x{frame.height} and the first one is "
                    f"{first.width}x{first.height}: re-encode it in one size"
                )
            if frame.time is not None and first.time is not None:
                seconds = frame.time - first.time
        if len(container.streams) == 1 and container.duration and index:
            lasted = seconds * (index + 1) / index  # with the last frame
            _check_duration(path, container.format.name, stated=container.duration / av.time_base, seconds=lasted)


def _check_duration(path: Path, container: str, *, stated: float, seconds: float) -> None:
    """Damage may swallow frames: a container's duration tells, though not to the frame.

    In Matroska it may also count a last frame that is shown for long.
    """
    if stated - seconds <= max(0.5, stated / 10):
        return
    told = f"clip {path} lasts {stated:.1f} s by its header and has frames for {seconds:.1f} s"
    if container in ("flv", "asf", "mxf", "ogg"):
        raise VmcError(f"{told}: copy or download it again, or remove it")
    if container.startswith("matroska"):
        logger.warning(f"{told}: it may be damaged")


def natural_order(name: str) -> tuple[list[str | int], str]:
    """A sorting key by which `frame_2` comes before `frame_10`."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def frame_files(folder: Path) -> list[Path]:
    """The images directly in a folder, in natural order, without hidden ones; empty when there are none."""
    files = [file for file in entries(folder) if is_visible(file) and file.suffix.lower() in IMAGE_SUFFIXES]
    return sorted((file for file in files if not is_folder(file)), key=lambda file: natural_order(file.name))


def is_visible(path: Path) -> bool:
    """Whether a file or folder is not hidden (`.DS_Store`, `._clip.mp4`)."""
    return not path.name.startswith(".")


def write_video(path: Path, frames_FCHW: Tensor, *, fps: float) -> None:
    """Writes an H.264 mp4 (4:2:0, BT.709) that `read_frames` gives back nearly exactly; equal frames, equal bytes.

    A video whose shorter side is under 256 pixels, or whose sides are not even, is enlarged by the smallest even
    factor that reaches them (nearest neighbour). So every chroma sample covers one source pixel alone. The factor
    stands in the file's comment and `read_frames` undoes it.

    Args:
        path: where to write; its folder is made, and the file appears whole or not at all.
        frames_FCHW: uint8 RGB, one frame or more.
        fps: frames per second.
    """
    if frames_FCHW.dtype != torch.uint8 or frames_FCHW.ndim != 4 or frames_FCHW.shape[1] != 3 or not len(frames_FCHW):
        raise ValueError(f"frames are {tuple(frames_FCHW.shape)} {frames_FCHW.dtype}; they must be F3HW uint8, F > 0")
    height, width = frames_FCHW.shape[2:]
    factor = enlargement(height, width)
    rate = Fraction(fps).limit_denominator(1001)
    with atomic_write(path) as temporary, av.open(temporary, "w", "mp4", options={"movflags": "+faststart"}) as file:
        file.metadata["comment"] = scale_mark(factor, height, width)
        # One thread: x264 decides by its number of threads what it writes.
        stream: Any = file.add_stream("libx264", rate=rate, options={"crf": "10", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = width * factor, height * factor, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.color_range = LIMITED_RANGE
        for name in ("colorspace", "color_primaries", "color_trc"):
            setattr(stream.codec_context, name, BT709)
        for index, frame_CHW in enumerate(frames_FCHW.cpu().numpy()):
            frame = VideoFrame.from_ndarray(to_yuv420p(frame_CHW, factor), format="yuv420p")
            frame.pts, frame.time_base = index, 1 / rate
            frame.color_range, frame.colorspace = LIMITED_RANGE, BT709
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def _kind(path: Path) -> Literal["video", "folder", "image"]:
    if is_folder(path):
        if not frame_files(path):
            raise VmcError(f"clip {path} is a folder without frames: put {', '.join(IMAGE_SUFFIXES)} files into it")
        return "folder"
    check_regular(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return "image"
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return "video"
    known = ", ".join(VIDEO_SUFFIXES + IMAGE_SUFFIXES)
    raise VmcError(f"clip {path} has the suffix {path.suffix!r}: convert it to one of {known}")


def _images(path: Path, wanted: list[int] | None) -> Iterator[tuple[int, np.ndarray]]:
    """Index and image_HWC of each wanted frame, in order; frames that do not exist are left out."""
    kind = _kind(path)
    if kind == "folder":
        files = frame_files(path)
        for index in range(len(files)) if wanted is None else wanted:
            if index < len(files):
                yield index, load_image(files[index])
        return
    keep = None if wanted is None else set(wanted)
    for index, image_HWC in _shown(path, keep) if kind == "video" else enumerate(image for image, _ in animation(path)):
        if image_HWC is not None and (keep is None or index in keep):
            yield index, image_HWC
        if wanted is not None and index >= wanted[-1]:
            return


def _shown(path: Path, keep: set[int] | None) -> Iterator[tuple[int, np.ndarray | None]]:
    """Index and image_HWC of a video's frames; None for those that nobody wants, which are not converted."""
    with _opened(path) as (container, stream):
        for index, frame in enumerate(_decoded(path, container, stream)):
            yield index, _rgb(path, frame, container, stream) if keep is None or index in keep else None


def _rgb(path: Path, frame: VideoFrame, container: InputContainer, stream: VideoStream) -> np.ndarray:
    aspect = stream.sample_aspect_ratio
    check_size(path, shown_width(frame, aspect), frame.height)
    try:
        return to_rgb(frame, container.metadata.get("comment", ""), aspect)
    except (av.FFmpegError, ValueError) as error:  # a ValueError for pixels that PyAV does not know
        raise _unreadable(path, error) from error


# Titles in no valid encoding must not keep a clip from being read. PyAV 19 never raises for them and has no option.
OPENING: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}


_DEMUXERS = "mov,matroska,webm,avi,gif,asf,mpegts,mpeg,flv,ogg,mxf,mpegvideo,h264,hevc,m4v,ivf,obu,av1,dv,apng"
"""What a video file may be: others of FFmpeg's are playlists, which open files that they name."""


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    check_regular(path)
    try:
        # Opening decodes frames where a header does not say all, so sizes are bounded before.
        if size := gif_size(path):
            check_size(path, *size)
        limits = {"max_pixels": str(MAX_PIXELS)}
        container = av.open(str(path), options={"format_whitelist": _DEMUXERS} | limits, **OPENING)
    except (av.FFmpegError, OSError) as error:
        raise _unreadable(path, error) from error
    with container:
        # A cover in a file of sound is a video stream of one picture.
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


def _packets(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[Any]:
    """The stream's packets; a file that was cut off ends in one that is marked corrupt."""
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise VmcError(f"clip {path} is cut off or damaged: copy or download it again, or remove it")
            yield packet
    except av.FFmpegError as error:
        raise _unreadable(path, error) from error


def _decoded(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    empty = True
    for packet in _packets(path, container, stream):
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            raise _unreadable(path, error) from error
        for frame in frames:
            empty = False
            check_size(path, frame.width, frame.height)
            yield frame
    if empty:
        raise VmcError(f"clip {path} has no frames: replace it, or remove it")


def _unreadable(path: Path, error: Exception) -> VmcError:
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())
    return VmcError(f"clip {path} cannot be read ({reason}): replace or re-encode it, or remove it")


def _size(image_HWC: np.ndarray) -> str:
    return f"{image_HWC.shape[1]}x{image_HWC.shape[0]}"


def _frame_name(path: Path, index: int) -> Path:
    return frame_files(path)[index] if path.is_dir() else path
