"""What a run says and shows of its clips, and `python -m vmc.prepare clips`."""

import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from vmc.data.augmentation import Augmentation
from vmc.data.clips import Clip
from vmc.data.frames import ClipTransform
from vmc.data.video import write_video
from vmc.prepare import main
from vmc.runs.contact_sheet import EXEMPLARS, FRAME, GAP, OTHERS, TEXT, write_clip_sheet

ROW = FRAME + TEXT

SORA = "In 'train': Could not find 'model/sora' Available options in 'model':"


def squares(frames: int, size: int = 64) -> torch.Tensor:
    """frames_FCHW of a white square that goes down a row of `frames` places."""
    video = torch.full((frames, 3, size, size), 40, dtype=torch.uint8)
    for index in range(frames):
        top = index * (size - 16) // max(frames - 1, 1)
        video[index, :, top : top + 16, 24:40] = 230
    return video


def row_of(sheet: Image.Image, number: int, frames: int) -> torch.Tensor:
    """frames_FCHW of a row of the sheet, as large as they are there."""
    pixels = pil_to_tensor(sheet)[:, number * ROW + TEXT : (number + 1) * ROW]
    return torch.stack([pixels[:, :, place * (FRAME + GAP) :][:, :, :FRAME] for place in range(frames)])


def text_of(sheet: Image.Image, number: int) -> torch.Tensor:
    return pil_to_tensor(sheet)[:, number * ROW : number * ROW + TEXT]


@pytest.fixture
def clip(tmp_path) -> Path:
    write_video(tmp_path / "clips" / "clip.mp4", squares(24), fps=12)
    return tmp_path / "clips" / "clip.mp4"


def test_a_row_shows_the_very_frames_and_the_one_below_what_becomes_of_them(clip, tmp_path):
    own = ClipTransform(frames=8, fps=6.0, size=64, augmentation=Augmentation(rotate=12), mirror=True)
    others = ClipTransform(frames=8, fps=6.0, size=64)
    clips = [Clip(path=clip, caption="a square", role=role) for role in ("exemplar", "regularization")]
    write_clip_sheet(tmp_path / "clips.png", clips, [own, others])
    with Image.open(tmp_path / "clips.png") as sheet:
        assert sheet.size == (8 * (FRAME + GAP), 3 * ROW)
        plain, augmented = own.plain_and_finished(clip, variant=0)
        for number, frames_FCHW in enumerate((plain, augmented, others(clip, variant=0))):
            enlarged = frames_FCHW.repeat_interleave(2, 2).repeat_interleave(2, 3)
            assert torch.equal(row_of(sheet, number, 8), enlarged), number
            assert (text_of(sheet, number) < 128).any(), "a line stands above each row"


def test_of_many_clips_some_are_shown_the_first_and_the_last_among_them(clip, tmp_path):
    transform = ClipTransform(frames=2, fps=6.0, size=64)
    clips = [Clip(path=clip, caption=str(number), role="exemplar") for number in range(3 * EXEMPLARS)]
    clips += [Clip(path=clip, caption=str(number), role="regularization") for number in range(50)]
    write_clip_sheet(tmp_path / "clips.png", clips, [transform] * len(clips))
    with Image.open(tmp_path / "clips.png") as sheet:
        assert sheet.height == (EXEMPLARS + OTHERS) * ROW


@pytest.mark.parametrize("caption", ["two\nlines", "", "日本語 ü", "long " * 200])
def test_any_caption_can_be_shown(caption, clip, tmp_path):
    clips = [Clip(path=clip, caption=caption, role="exemplar")]
    write_clip_sheet(tmp_path / "clips.png", clips, [ClipTransform(frames=2, fps=6.0, size=64)])
    assert (tmp_path / "clips.png").is_file()


def test_ten_exemplars_are_drawn_within_two_seconds(tmp_path):
    for number in range(10):
        write_video(tmp_path / "clips" / f"{number}.mp4", squares(36), fps=12)
    transform = ClipTransform(frames=8, fps=3.0, size=64, augmentation=Augmentation())
    clips = [Clip(path=path, caption="a square", role="exemplar") for path in sorted((tmp_path / "clips").iterdir())]
    before = time.process_time()
    write_clip_sheet(tmp_path / "clips.png", clips, [transform] * 10)
    took = time.process_time() - before
    print(f"clips.png of ten exemplars: {took:.2f} s")
    assert took < 10, "about one second where nothing else runs"


def test_every_run_says_what_its_windows_cover_and_shows_its_clips(train, clips, tmp_path, caplog):
    """Also where the caches hold all that is read: it is said of the clips, not by who encodes them."""
    write_video(tmp_path / "own" / "short.mp4", squares(5), fps=12)
    write_video(tmp_path / "own" / "whole.mp4", squares(12), fps=12)
    settings = (
        f"data.path={tmp_path / 'own'}",
        "regularization=real",
        f"regularization.path={clips.parent / 'related'}",
        f"cache={tmp_path / 'cache'}",
        "data.fps=6",
        "steps=1",
    )
    said = []
    for name in ("cold", "warm"):
        caplog.clear()
        with caplog.at_level("INFO"):
            run = train(*settings, output=tmp_path / name)
        said.append([record.message for record in caplog.records])
        with Image.open(run.path / "clips.png") as sheet:
            assert sheet.size == (8 * (FRAME + GAP), (2 * 2 + 2) * ROW)
    for messages in said:
        assert "8 frames at 6 fps: 1.3 s, the whole of clips of 0.42 to 1.0 s" in messages
        shorter = "shorter than 8 frames at 6 fps, their last frame repeated (2 of 2):"
        assert f"exemplars {shorter} short.mp4 (0.42 s, 5 times), whole.mp4 (1.0 s, 2 times)" in messages
        names = ", ".join(f"clip{number}.mp4 (1.0 s, 2 times)" for number in (3, 4))
        assert f"regularization clips {shorter} {names}" in messages


# --- python -m vmc.prepare clips -------------------------------------------------------------------------------------


def prepare(*words, capsys) -> tuple[int, list[str]]:
    status = main(["clips", *map(str, words)])
    out, err = capsys.readouterr()
    return status, (out + err).splitlines()


def test_clips_are_shown_without_training(clip, tmp_path, capsys):
    picture = tmp_path / "look" / "at.png"
    status, lines = prepare(clip.parent, "--caption", "a {token} square", "--output", picture, capsys=capsys)
    assert (status, lines) == (
        0,
        [
            f"DIR: 1 clip of 1 file in {clip.parent}",
            "8 frames at 3 fps: 2.7 s, the whole of clips of 2.0 s",
            "exemplars shorter than 8 frames at 3 fps, their last frame repeated (1 of 1): clip.mp4 (2.0 s, 2 times)",
            f"wrote {picture}",
        ],
    )
    with Image.open(picture) as sheet:
        assert sheet.size == (8 * (FRAME + GAP), 2 * ROW)


def test_clips_without_captions_are_shown_and_what_is_left_out_is_named(clip, tmp_path, capsys):
    """Captions are written after a look as well as before it."""
    Image.new("RGB", (64, 64)).save(clip.parent / "cover.jpg")
    words = [clip.parent, "--output", tmp_path / "clips.png"]
    status, lines = prepare(*words, capsys=capsys)
    beside = "cover.jpg (an image beside clips, see data.source.stills)"
    assert (status, lines[0]) == (0, f"DIR: 1 clip of 2 files in {clip.parent}; left out 1: {beside}")
    status, lines = prepare(*words, "--stills", capsys=capsys)
    assert (status, lines[0]) == (0, f"DIR: 2 clips of 2 files in {clip.parent}")
    with Image.open(tmp_path / "clips.png") as sheet:
        assert sheet.height == 4 * ROW
    assert prepare(tmp_path / "gone", capsys=capsys) == (
        2,
        [f"DIR is {tmp_path / 'gone'}, which does not exist: give a folder of clips or a video file"],
    )


def test_a_model_gives_the_window_and_each_part_can_be_given(clip, tmp_path, capsys):
    words = [clip, "--caption", "x", "--output", tmp_path / "clips.png", "--model", "zeroscope"]
    _, lines = prepare(*words, "--size", 64, capsys=capsys)
    assert lines[1] == "16 frames at 12 fps: 1.3 s of clips of 2.0 s; data.fps=8 would cover them"
    _, lines = prepare(*words, "--size", 64, "--fps", 8, capsys=capsys)
    assert lines[1] == "16 frames at 8 fps: 2.0 s, the whole of clips of 2.0 s"
    _, lines = prepare(*words, "--size", 64, "--frames", 4, capsys=capsys)
    assert lines[1].startswith(
        "4 frames at 12 fps: 0.33 s of clips of 2.0 s, less than half of the median clip (2.0 s)"
    )


def test_the_rate_of_folders_of_frames_can_be_given(tmp_path, capsys):
    folder = tmp_path / "clips" / "frames"
    folder.mkdir(parents=True)
    for number, image in enumerate(squares(24).permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    words = [tmp_path / "clips", "--caption", "x", "--output", tmp_path / "clips.png"]
    assert prepare(*words, capsys=capsys)[1][1] == "8 frames at 3 fps: 2.7 s, the whole of clips of 2.0 s"
    _, lines = prepare(*words, "--frame-folder-fps", 4, capsys=capsys)
    assert lines[1] == "8 frames at 3 fps: 2.7 s of clips of 6.0 s, less than half of the median clip (6.0 s);" + (
        " data.fps=1.3 would cover them"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--fps", "0"], "data.fps is 0.0; it must be a number greater than 0, in frames a second, for example 12"),
        (["--fps", "nan"], "data.fps is nan; it must be a number greater than 0, in frames a second, for example 12"),
        (["--frames", "0"], "data.frames is 0; it must be a whole number from 1 to 1000"),
        (["--size", "4"], "data.size is 4; it must be a whole number from 8 to 8192, in pixels"),
        (["--model", "sora"], f"{SORA} animatediff mini modelscope tune_a_video wan zeroscope"),
        (["--output", "clips.mp4"], "--output is clips.mp4; the picture is a PNG: name it FILE.png"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_sentence(words, sentence, clip, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert prepare(clip, "--caption", "x", *words, capsys=capsys) == (2, [sentence])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips"]


def test_a_clip_that_cannot_be_read_and_a_picture_that_cannot_be_written(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, lines = prepare(clip, "--caption", "x", "--output", clip / "clips.png", capsys=capsys)
    assert status == 2 and lines[-1].startswith(f"{clip / 'clips.png'} cannot be written (")
    (clip.parent / "broken.mp4").write_bytes(b"no video")
    status, lines = prepare(clip.parent, "--caption", "x", capsys=capsys)
    assert status == 2 and lines[0] == f"DIR: 2 clips of 2 files in {clip.parent}"
    assert "broken.mp4 cannot be read" in lines[1]
    assert not (tmp_path / "clips.png").exists()
