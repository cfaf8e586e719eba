import os
import random
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from vmc.data.pixels import enlargement
from vmc.data.video import check_clip, count_frames, frame_rate, read_frames, write_video
from vmc.errors import VmcError

CLIPS = Path(__file__).parents[2].parent / "shared" / "clips"

KINDS = {
    "mp4": {"codec": "libx264"},
    "m4v": {"codec": "libx264"},
    "mov": {"codec": "mjpeg", "pixels": "yuvj420p", "qmin": "1", "qmax": "2"},
    "webm": {"codec": "libvpx-vp9", "crf": "10", "b": "2M"},
    "avi": {"codec": "mpeg4", "qmin": "1", "qmax": "2"},
    "mkv": {"codec": "ffv1", "pixels": "bgr0"},
    "gif": {"codec": "gif", "pixels": "rgb8"},
    "3gp": {"codec": "libx264"},
    "wmv": {"codec": "wmv2", "qmin": "1", "qmax": "2"},
    "ts": {"codec": "libx264"},
    "m2ts": {"codec": "libx264"},
    "flv": {"codec": "libx264"},
    "mpg": {"codec": "mpeg2video", "qmin": "1", "qmax": "2", "fps": 25},
    "ogv": {"codec": "libtheora", "qscale": "10", "global_quality": "1000"},
    "mxf": {"codec": "mpeg2video", "qmin": "1", "qmax": "2", "fps": 25},
}


def available(codec):
    try:
        av.Codec(codec, "w")
    except (av.FFmpegError, ValueError):
        return False
    return True


@pytest.fixture(params=[*KINDS, "folder"])
def clip(request, tmp_path, make):
    """The ten numbered frames, 96 x 64, in every kind of clip."""
    if request.param == "folder":
        return make.save_images(tmp_path / "frames", make.numbered())
    if not available(KINDS[request.param]["codec"]):
        pytest.skip(f"this build of PyAV has no {KINDS[request.param]['codec']}")
    return make.encode(tmp_path / f"clip.{request.param.upper()}", make.numbered(), **KINDS[request.param])


def test_every_kind_of_clip_gives_its_frames(clip, make):
    frames_FCHW = read_frames(clip)
    assert frames_FCHW.dtype == torch.uint8 and frames_FCHW.shape == (10, 3, 64, 96)
    assert frames_FCHW.is_contiguous()
    assert make.numbers(frames_FCHW) == list(range(10)) and make.red_corner(frames_FCHW) == "top left"
    assert count_frames(clip) == 10
    check_clip(clip)


def test_wanted_frames_come_in_the_order_wanted(clip, make):
    assert make.numbers(read_frames(clip, [7, 2, 2, 9])) == [7, 2, 2, 9]
    assert torch.equal(read_frames(clip, [3]), read_frames(clip)[3:4])


def test_unwanted_frames_are_not_decoded(monkeypatch, mp4):
    """Frames behind the last wanted one stay undecoded, the others before it unconverted."""
    from vmc.data import video

    converted = []
    real = video.to_rgb
    monkeypatch.setattr(video, "to_rgb", lambda frame, *rest: converted.append(frame.pts) or real(frame, *rest))
    read_frames(mp4, [1, 4, 1])
    assert len(converted) == 2


@pytest.mark.parametrize("indices", [[10], [3, 12], [-1], []])
def test_frames_that_do_not_exist_are_refused_by_name(mp4, indices):
    with pytest.raises(VmcError, match=str(mp4)):
        read_frames(mp4, indices)


MATRICES = {
    "a quarter clockwise": ((0, 1, -1, 0), "top right", (96, 64)),
    "half": ((-1, 0, 0, -1), "bottom right", (64, 96)),
    "a quarter counterclockwise": ((0, -1, 1, 0), "bottom left", (96, 64)),
    "mirrored": ((-1, 0, 0, 1), "top right", (64, 96)),
    "transposed": ((0, 1, 1, 0), "top left", (96, 64)),
}


@pytest.mark.parametrize("turned", MATRICES)
def test_rotation_metadata_is_honoured(mp4, make, turned):
    matrix, corner, size = MATRICES[turned]
    frames_FCHW = read_frames(make.turn(mp4, matrix))
    assert frames_FCHW.shape[2:] == size
    assert make.red_corner(frames_FCHW) == corner


def test_exif_orientation_is_honoured(tmp_path, make):
    still = tmp_path / "still.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter clockwise
    Image.fromarray(make.numbered(1)[0].permute(1, 2, 0).numpy()).save(still, exif=exif, quality=95)
    frames_FCHW = read_frames(still)
    assert frames_FCHW.shape == (1, 3, 96, 64) and make.red_corner(frames_FCHW) == "top right"
    assert count_frames(still) == 1 and frame_rate(still) is None


def test_anamorphic_video_gets_square_pixels(tmp_path, make):
    clip = make.encode(tmp_path / "wide.mp4", make.numbered(2, height=64, width=64), aspect=Fraction(3, 2))
    assert read_frames(clip).shape[2:] == (64, 96)


def test_frames_of_a_folder_come_in_natural_order(tmp_path, make):
    frames = make.numbered(10)
    for number in range(10):
        make.save_images(tmp_path / "clip", frames[number : number + 1], pattern=f"frame-{number + 2}.png")
    (tmp_path / "clip" / ".hidden.png").write_bytes(b"")
    (tmp_path / "clip" / "notes.txt").write_text("not a frame")
    assert make.numbers(read_frames(tmp_path / "clip")) == list(range(10))
    assert frame_rate(tmp_path / "clip") == 12.0


def transparent(opacity):
    return Image.new("RGBA", (8, 8), (10, 20, 30, opacity))


@pytest.mark.parametrize(("opacity", "shown"), [(0, [255] * 3), (255, [10, 20, 30]), (51, [206, 208, 210])])
@pytest.mark.parametrize("name", ["a.png", "a.webp", "palette.png"])
def test_transparent_images_are_shown_on_white(tmp_path, name, opacity, shown):
    """Colours that a program left under pixels nobody sees do not show."""
    image = transparent(opacity)
    image = image.quantize() if name == "palette.png" else image
    image.save(tmp_path / name, **({"lossless": True, "exact": True} if name == "a.webp" else {}))
    assert read_frames(tmp_path / name)[0, :, 0, 0].tolist() == pytest.approx(shown, abs=2)


@pytest.mark.parametrize(("opacity", "shown"), [(0, [255] * 3), (255, [10, 20, 30]), (51, [206, 208, 210])])
def test_transparent_video_is_shown_on_white(tmp_path, opacity, shown):
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("qtrle", rate=8)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "argb"
        pixels = np.full((8, 8, 4), [opacity, 10, 20, 30], np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="argb")))
        container.mux(stream.encode(None))
    assert read_frames(tmp_path / "a.mov")[0, :, 0, 0].tolist() == pytest.approx(shown, abs=2)


def test_images_of_16_bits_are_scaled(tmp_path):
    levels = np.array([[0, 257, 32896, 65535]], np.uint16)
    for name in ("a.png", "a.tif"):
        Image.fromarray(levels).save(tmp_path / name)
        assert read_frames(tmp_path / name)[0, 0, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.gif"])
def test_animated_images_give_all_their_frames(tmp_path, make, name):
    clip = make.animate(tmp_path / name, make.numbered(), milliseconds=200)
    assert count_frames(clip) == 10 and frame_rate(clip) == pytest.approx(5)
    assert make.numbers(read_frames(clip)) == list(range(10))
    assert make.numbers(read_frames(clip, [7, 2, 2])) == [7, 2, 2]
    check_clip(clip)


def test_the_cover_of_an_animated_png_is_no_frame(tmp_path, make):
    cover, *frames = [Image.fromarray(image) for image in make.numbered(5).permute(0, 2, 3, 1).numpy()]
    cover.save(tmp_path / "a.png", save_all=True, append_images=frames, default_image=True, duration=100)
    assert make.numbers(read_frames(tmp_path / "a.png")) == [1, 2, 3, 4]


def test_pages_of_a_tiff_are_not_taken_for_one_still(tmp_path):
    pages = [Image.new("L", (8, 8), level) for level in (0, 255)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(VmcError, match=r"a.tif has 2 pages: save them as numbered images"):
        read_frames(tmp_path / "a.tif")


def test_photographs_with_previews_are_stills(tmp_path):
    images = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    images[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=images[1:])
    assert count_frames(tmp_path / "a.jpg") == 1 and read_frames(tmp_path / "a.jpg")[0, 0].min() > 200


def test_frame_rate_of_a_video(tmp_path, make):
    clip = make.encode(tmp_path / "clip.mp4", make.numbered(), fps=Fraction(30000, 1001))
    assert frame_rate(clip) == pytest.approx(29.97, abs=0.01)


# Bad input: every message names the clip.


@pytest.mark.parametrize("read", [read_frames, count_frames, check_clip, frame_rate])
def test_a_missing_clip_is_named(tmp_path, read):
    with pytest.raises(VmcError, match=r"clip \S*gone.mp4 does not exist"):
        read(tmp_path / "gone.mp4")


def test_an_mp4_without_its_index_is_named(mp4):
    mp4.write_bytes(mp4.read_bytes()[: mp4.stat().st_size // 2])
    with pytest.raises(VmcError, match=r"clip.mp4 cannot be read \(Invalid data"):
        count_frames(mp4)


def test_text_called_mp4_is_named(tmp_path):
    (tmp_path / "text.mp4").write_text("hello " * 100)
    with pytest.raises(VmcError, match=r"text.mp4 cannot be read"):
        read_frames(tmp_path / "text.mp4")


@pytest.mark.parametrize("read", [read_frames, count_frames, check_clip])
def test_a_clip_that_was_cut_off_is_named(truncated, read):
    with pytest.raises(VmcError, match=r"truncated.mp4 (is cut off|cannot be read)"):
        read(truncated)


def test_sound_alone_is_named(tmp_path, make):
    with pytest.raises(VmcError, match=r"sound.mp4 has no video stream"):
        read_frames(make.encode_audio(tmp_path / "sound.mp4"))


def test_a_video_without_frames_is_named(tmp_path, make):
    clip = make.encode(tmp_path / "none.avi", make.numbered()[:0], codec="mpeg4")
    with pytest.raises(VmcError, match=r"none.avi (has no frames|cannot be read|has no video stream)"):
        read_frames(clip)


def test_a_folder_without_frames_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(VmcError, match=r"empty is a folder without frames"):
        count_frames(tmp_path / "empty")


def test_an_unknown_suffix_is_named(tmp_path):
    (tmp_path / "clip.txt").write_text("")
    with pytest.raises(VmcError, match=r"clip.txt has the suffix '.txt'"):
        read_frames(tmp_path / "clip.txt")


def test_frames_of_differing_sizes_are_named(tmp_path, make):
    make.save_images(tmp_path / "clip", make.numbered(2))
    make.save_images(tmp_path / "clip", make.numbered(1, height=32), pattern="odd-{}.png")
    with pytest.raises(VmcError, match=r"odd-1.png is 96x32 and the first one is 96x64"):
        read_frames(tmp_path / "clip")


def test_a_broken_frame_is_named_by_the_check_wherever_it_lies(tmp_path, make):
    folder = make.save_images(tmp_path / "clip", make.numbered(3), pattern="{}.jpg")
    content = (folder / "3.jpg").read_bytes()
    (folder / "3.jpg").write_bytes(content[: len(content) // 2])
    assert len(read_frames(folder, [0, 1])) == 2
    with pytest.raises(VmcError, match=r"3.jpg cannot be read"):
        check_clip(folder)


CUT = {
    "webm": {"codec": "libvpx-vp9", "b": "2M"},
    "mkv": {"codec": "libx264"},
    "gif": {"codec": "gif", "pixels": "rgb8"},
    "avi": {"codec": "mpeg4"},
    "mp4": {"codec": "libx264", "container": {"movflags": "frag_keyframe+empty_moov"}, "g": "2"},
    "flv": {"codec": "libx264", "g": "2"},
    "ts": {"codec": "libx264"},
    "wmv": {"codec": "wmv2"},
}


def noise(count=24, size=64):
    return torch.randint(0, 256, (count, 3, size, size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.mark.parametrize("suffix", CUT)
def test_half_a_download_is_refused_whatever_the_container(tmp_path, make, suffix):
    clip = make.encode(tmp_path / f"half.{suffix}", noise(), **CUT[suffix])
    check_clip(clip)
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) // 2 + 1])
    with pytest.raises(VmcError, match=rf"half.{suffix} "):
        check_clip(clip)


def test_a_live_recording_that_states_no_length_is_whole(tmp_path, make):
    check_clip(make.encode(tmp_path / "a.webm", noise(), codec="libvpx", container={"live": "1"}))


DAMAGED = {
    "h264.mp4": {"codec": "libx264"},
    "hevc.mp4": {"codec": "libx265", "x265-params": "log-level=none:pools=none:frame-threads=1"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg2.mpg": {"codec": "mpeg2video", "fps": 25},
    "mjpeg.mov": {"codec": "mjpeg", "pixels": "yuvj420p"},
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_that_a_decoder_hides_is_refused(tmp_path, make, name):
    """Bytes flipped in the middle of a file, which all these decoders cover up with what they have.

    Damage inside the pixels of HEVC and VP9 alone is told by none; so much of it loses whole frames.
    """
    if not available(DAMAGED[name]["codec"]):
        pytest.skip(f"this build of PyAV has no {DAMAGED[name]['codec']}")
    clip = make.encode(tmp_path / name, noise(), **DAMAGED[name])
    check_clip(clip)
    content = bytearray(clip.read_bytes())
    draw = random.Random(0)
    for _ in range(1000 if name == "hevc.mp4" else 60):
        content[len(content) // 3 + draw.randrange(len(content) // 3)] ^= 1 << draw.randrange(8)
    clip.write_bytes(content)
    with pytest.raises(VmcError, match=rf"{name} (is damaged in frame \d+|is cut off or damaged|cannot be read)"):
        check_clip(clip)


def test_a_video_that_changes_its_size_is_refused(tmp_path, make):
    with av.open(str(tmp_path / "both.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        for place, size in enumerate((64, 64, 96)):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = size, size, "yuvj420p", Fraction(1, 8)
            image = noise(1, size)[0].permute(1, 2, 0).contiguous().numpy()
            (packet,) = encoder.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuvj420p"))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, place, place, Fraction(1, 8)
            container.mux(packet)
    with pytest.raises(VmcError, match=r"frame 2 of clip \S*both.avi is 96x96 and the first one is 64x64"):
        check_clip(tmp_path / "both.avi")


def test_a_gap_in_the_numbers_of_a_folder_is_said(tmp_path, make, caplog):
    folder = make.save_images(tmp_path / "clip", make.numbered(5))
    check_clip(folder)
    assert not caplog.records
    make.save_images(folder, make.numbered(4), first=15)
    check_clip(folder)
    assert "clip jumps from 00005.png to 00015.png" in caplog.text


def test_a_folder_whose_frames_differ_in_size_is_refused_by_the_check(tmp_path, make):
    folder = make.save_images(tmp_path / "clip", make.numbered(3))
    make.save_images(folder, make.numbered(1, height=32), first=4)
    assert len(read_frames(folder, [0, 1])) == 2
    with pytest.raises(VmcError, match=r"00004.png is 96x32 and the first one is 96x64: make .*data.source.stills"):
        check_clip(folder)


def test_an_animation_among_frames_is_refused(tmp_path, make):
    folder = make.save_images(tmp_path / "clip", make.numbered(3))
    make.animate(folder / "00004.png", make.numbered(3))
    with pytest.raises(VmcError, match=r"00004.png is an animation of 3 frames in a folder of frames"):
        check_clip(folder)


# Sizes and files that would take the machine down.


def gif_header(width, height):
    picture = b"\x2c" + struct.pack("<4HB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<2H3B", width, height, 0x80, 0, 0) + bytes(6) + picture + b"\x3b"


def png_header(width, height):
    head = b"IHDR" + struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">2I", zlib.crc32(head), 4) + b"IDAT"


@pytest.mark.parametrize("side", [8193, 16_000, 65_000])
@pytest.mark.parametrize(("name", "header"), [("a.gif", gif_header), ("a.png", png_header)])
@pytest.mark.parametrize("read", [read_frames, count_frames, check_clip, frame_rate])
def test_huge_frames_are_refused_before_they_are_decoded(tmp_path, side, name, header, read):
    (tmp_path / name).write_bytes(header(side, side))
    with pytest.raises(VmcError, match=rf"{name} has .* pixels, 8192 a side and 50 million in all are read"):
        read(tmp_path / name)


def test_a_huge_size_in_the_header_of_an_mp4_is_refused(tmp_path, make):
    clip = make.encode(tmp_path / "a.mp4", noise(2))
    content = bytearray(clip.read_bytes())
    place = content.index(b"avc1", content.index(b"stsd")) + 4 + 24
    assert content[place : place + 4] == struct.pack(">2H", 64, 64)
    content[place : place + 4] = struct.pack(">2H", 65_280, 65_280)
    clip.write_bytes(content)
    try:
        assert read_frames(clip).shape == (2, 3, 64, 64)  # the stream's own size counts
    except VmcError as error:
        assert "65280x65280" in str(error)


def test_a_codec_that_nobody_knows_is_named(tmp_path, make):
    clip = make.encode(tmp_path / "a.mp4", noise(2))
    clip.write_bytes(clip.read_bytes().replace(b"avc1\0\0", b"zzzz\0\0").replace(b"avcC", b"zzzC"))
    with pytest.raises(VmcError, match=r"a.mp4 (is in a format that cannot be decoded here|cannot be read|has no)"):
        read_frames(clip)


def test_pixels_that_are_told_to_be_wide_are_refused(tmp_path, make):
    clip = make.encode(tmp_path / "a.mp4", make.numbered(2, width=1024), aspect=Fraction(10, 1))
    with pytest.raises(VmcError, match=r"a.mp4 has frames of 10240x64 pixels"):
        read_frames(clip)


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "a.gif"])
@pytest.mark.parametrize("read", [read_frames, count_frames, check_clip, frame_rate])
def test_a_pipe_is_not_waited_for(tmp_path, name, read):
    os.mkfifo(tmp_path / name)
    with pytest.raises(VmcError, match=rf"{name} is no regular file"):
        read(tmp_path / name)


def test_a_playlist_does_not_open_what_it_names(tmp_path, make):
    make.encode(tmp_path / "secret.ts", noise(2))
    (tmp_path / "a.mp4").write_text("ffconcat version 1.0\nfile secret.ts\n")
    (tmp_path / "b.mp4").write_text("#EXTM3U\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n")
    for name in ("a.mp4", "b.mp4"):
        with pytest.raises(VmcError, match=rf"{name} cannot be read"):
            read_frames(tmp_path / name)


# Writing.


def colourful(count=8, height=64, width=64):
    """Squares of saturated colours that move, some of them one pixel wide."""
    generator = torch.Generator().manual_seed(0)
    squares = torch.randint(0, 2, (count, 3, height // 4 + 1, width // 4 + 1), generator=generator) * 255
    frames = squares.repeat_interleave(4, 2).repeat_interleave(4, 3)[:, :, :height, :width]
    frames[:, :, ::7] = torch.randint(0, 256, (count, 3, 1, width), generator=generator)
    return frames.to(torch.uint8)


@pytest.mark.parametrize("size", [(64, 64), (64, 48), (50, 33), (128, 96), (1, 5)])
def test_small_videos_read_back_as_they_were(tmp_path, size):
    frames = colourful(4, *size)
    write_video(tmp_path / "deep" / "out.mp4", frames, fps=8)
    back = read_frames(tmp_path / "deep" / "out.mp4")
    assert back.shape == frames.shape
    error = (back.float() - frames.float()).abs()
    assert error.mean() < 2 and error.max() < 16
    assert frame_rate(tmp_path / "deep" / "out.mp4") == 8.0


def test_large_videos_keep_size_and_colour(tmp_path):
    frames = colourful(2, 64, 80).repeat_interleave(4, 2).repeat_interleave(4, 3)
    write_video(tmp_path / "out.mp4", frames, fps=24)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert (container.streams.video[0].height, container.streams.video[0].width) == (256, 320)
    assert (read_frames(tmp_path / "out.mp4").float() - frames.float()).abs().mean() < 2


def test_other_programs_see_an_upright_enlarged_bt709_video(tmp_path, make):
    write_video(tmp_path / "out.mp4", make.numbered(3), fps=8)
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.height, context.width, context.pix_fmt) == (256, 384, "yuv420p")
        assert (context.colorspace, context.color_range) == (1, 1)
        assert next(container.decode(video=0)).format.name == "yuv420p"
    assert (tmp_path / "out.mp4").read_bytes().index(b"moov") < (tmp_path / "out.mp4").read_bytes().index(b"mdat")


def test_a_resized_copy_is_read_at_its_own_size(tmp_path, make):
    """Another program may keep the comment and change the size: then there is no enlargement to undo."""
    write_video(tmp_path / "out.mp4", make.numbered(2), fps=8)
    with av.open(str(tmp_path / "out.mp4")) as container:
        comment = container.metadata["comment"]
    with av.open(str(tmp_path / "copy.mp4"), "w") as container:
        container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
        image = make.numbered(1, height=128, width=192)[0].permute(1, 2, 0).contiguous().numpy()
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    assert read_frames(tmp_path / "copy.mp4").shape == (1, 3, 128, 192)


@pytest.mark.parametrize(
    ("size", "factor"),
    [((64, 64), 4), ((128, 160), 2), ((96, 96), 4), ((255, 400), 2), ((256, 256), 1), ((257, 300), 2), ((1, 1), 256)],
)
def test_enlargement_is_the_smallest_even_factor(size, factor):
    assert enlargement(*size) == factor


def test_equal_frames_give_equal_bytes(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, colourful(), fps=8)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("frames", [torch.zeros(0, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, 3, 8, 8)])
def test_what_is_no_video_is_refused_and_nothing_is_left(tmp_path, frames):
    with pytest.raises(ValueError, match="F3HW uint8"):
        write_video(tmp_path / "out.mp4", frames, fps=8)
    assert not list(tmp_path.iterdir())


@pytest.mark.clips
@pytest.mark.skipif(not CLIPS.is_dir(), reason="the real clips do not lie beside this checkout")
@pytest.mark.parametrize("name", ["car-turn", "man-skiing", "man-surfing", "rabbit-watermelon"])
def test_real_clips(name):
    clip = CLIPS / f"{name}.mp4"
    total = count_frames(clip)
    assert 72 <= total <= 186 and 10 <= frame_rate(clip) <= 30
    frames_FCHW = read_frames(clip, [0, total - 1])
    assert 480 <= frames_FCHW.shape[2] == frames_FCHW.shape[3] <= 718
    assert (frames_FCHW[0].float() - frames_FCHW[1].float()).abs().mean() > 1
    with pytest.raises(VmcError, match="has no frame"):
        read_frames(clip, [total])
