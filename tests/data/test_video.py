from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from vmc.data import images
from vmc.data.video import check_clip, count_frames, enlargement, frame_rate, frame_times, read_frames, write_video
from vmc.utils.errors import VmcError

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


@pytest.fixture(params=[*KINDS, "folder"])
def clip(request, tmp_path, make):
    """The ten numbered frames, 96 x 64, in every kind of clip."""
    if request.param == "folder":
        return make.save_images(tmp_path / "frames", make.numbered())
    if not make.available(KINDS[request.param]["codec"]):
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
    converted = []
    real = images.to_rgb
    monkeypatch.setattr(images, "to_rgb", lambda frame, *rest: converted.append(frame.pts) or real(frame, *rest))
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
def test_rotation_metadata_is_honored(mp4, make, turned):
    matrix, corner, size = MATRICES[turned]
    frames_FCHW = read_frames(make.turn(mp4, matrix))
    assert frames_FCHW.shape[2:] == size
    assert make.red_corner(frames_FCHW) == corner


def test_exif_orientation_is_honored(tmp_path, make):
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


@pytest.mark.parametrize("name", ["a.webp", "a.png"])
def test_frames_of_animated_images_have_times_of_their_own(tmp_path, make, name):
    clip = make.animate(tmp_path / name, make.numbered(4), milliseconds=[100, 300, 0, 200])
    assert frame_times(clip) == pytest.approx([0, 0.1, 0.4, 0.5])
    assert frame_rate(clip) == pytest.approx(4 / 0.7)
    make.save_images(tmp_path, make.numbered(1), pattern="still.png")
    assert frame_times(tmp_path / "still.png") == [0]


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
    images = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
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


# Writing.


def colorful(count=8, height=64, width=64):
    """Squares of saturated colours that move, some of them one pixel wide."""
    generator = torch.Generator().manual_seed(0)
    squares = torch.randint(0, 2, (count, 3, height // 4 + 1, width // 4 + 1), generator=generator) * 255
    frames = squares.repeat_interleave(4, 2).repeat_interleave(4, 3)[:, :, :height, :width]
    frames[:, :, ::7] = torch.randint(0, 256, (count, 3, 1, width), generator=generator)
    return frames.to(torch.uint8)


@pytest.mark.parametrize("size", [(64, 64), (64, 48), (50, 33), (128, 96), (1, 5)])
def test_small_videos_read_back_as_they_were(tmp_path, size):
    frames = colorful(4, *size)
    write_video(tmp_path / "deep" / "out.mp4", frames, fps=8)
    back = read_frames(tmp_path / "deep" / "out.mp4")
    assert back.shape == frames.shape
    error = (back.float() - frames.float()).abs()
    assert error.mean() < 2 and error.max() < 16
    assert frame_rate(tmp_path / "deep" / "out.mp4") == 8.0


def test_large_videos_keep_size_and_color(tmp_path):
    frames = colorful(2, 64, 80).repeat_interleave(4, 2).repeat_interleave(4, 3)
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


@pytest.mark.parametrize("width", [64, 72, 80])  # 16, 18 and 20 macroblocks
def test_equal_frames_give_equal_bytes(tmp_path, width):
    frames = torch.randint(256, (6, 3, 64, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for place in range(6):
        write_video(tmp_path / f"{place}.mp4", frames, fps=8)
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 1


@pytest.mark.parametrize("frames", [torch.zeros(0, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, 3, 8, 8)])
def test_what_is_no_video_is_refused_and_nothing_is_left(tmp_path, frames):
    with pytest.raises(ValueError, match="F3HW uint8"):
        write_video(tmp_path / "out.mp4", frames, fps=8)
    assert not list(tmp_path.iterdir())


@pytest.mark.clips
@pytest.mark.skipif(not CLIPS.is_dir(), reason="the real clips do not lie beside this checkout")
@pytest.mark.parametrize(
    ("name", "rate"), [("car-turn", 10), ("man-skiing", 29.97), ("man-surfing", 24), ("rabbit-watermelon", 30)]
)
def test_real_clips(name, rate):
    clip = CLIPS / f"{name}.mp4"
    check_clip(clip)
    times = frame_times(clip)
    assert 72 <= len(times) <= 186 and frame_rate(clip) == pytest.approx(rate, abs=0.01)
    assert times == pytest.approx([number / rate for number in range(len(times))], abs=0.005)
    frames_FCHW = read_frames(clip, [0, len(times) - 1])
    assert 480 <= frames_FCHW.shape[2] == frames_FCHW.shape[3] <= 718
    assert (frames_FCHW[0].float() - frames_FCHW[1].float()).abs().mean() > 1
