"""Every kind of clip goes all the way into training."""

import pandas as pd
import pytest

from vmc.data.folder import VideoFolder
from vmc.utils.errors import VmcError


def test_every_kind_of_clip_trains(train, make, portrait, tmp_path, caplog):
    folder = tmp_path / "kinds"
    folder.mkdir()
    portrait.rename(folder / "portrait.mp4")
    make.encode(folder / "one_frame.mp4", make.numbered(1))
    make.save_images(folder / "frames", make.numbered(9))
    make.save_images(folder / "odd", make.numbered(4))
    make.save_images(folder / "odd", make.numbered(1, height=32), first=5)
    for name in ("moving.gif", "moving.webp"):
        make.animate(folder / name, make.numbered(9))
    make.save_images(folder, make.numbered(1), pattern="still.png")
    settings = ["data.source.stills=true", "data.skip_bad=true"]
    run = train(f"data.path={folder}", "steps=4", "motion.caption=a {token} thing", *settings)
    table = pd.read_csv(run.path / "clips.csv")
    names = {path.rsplit("/", 1)[-1] for path in table.path}
    assert names == {"portrait.mp4", "one_frame.mp4", "frames", "moving.gif", "moving.webp", "still.png"}
    assert set(table.caption) == {"a sks thing"}
    assert run.weights(4).is_file()
    assert "one_frame.mp4 (one frame, 7 times)" in caplog.text
    assert "moving.gif (10 fps)" in caplog.text
    assert "skipped, 6 of 7 clips remain: frame" in caplog.text and "00005.png is 96x32" in caplog.text


def test_a_caption_whose_token_the_text_encoder_does_not_read_is_refused_before_training(train, tmp_path):
    with pytest.raises(VmcError, match=r"the caption of clip \S*clip0.mp4 .* has 1\d\d tokens, .* first 77, and"):
        train("motion.caption=" + "very " * 99 + "{token}", output=tmp_path / "run")
    assert not (tmp_path / "run" / "weights").exists()


def test_a_test_prompt_whose_token_the_text_encoder_does_not_read_is_refused_before_training(train, metrics, tmp_path):
    with pytest.raises(VmcError, match=r"prompt 1 '.*' has 1\d\d tokens"):
        train(*metrics, "motion.prompt={subject} " + "very " * 99 + "{token}", "evaluate_every=2")


@pytest.mark.clips
def test_the_real_clips_come_with_captions(real_clips):
    clips = VideoFolder(real_clips).exemplars(label=None, caption=None, seed=0)
    assert len(clips) == 4
    assert {clip.path.name: clip.caption for clip in clips}["man-skiing.mp4"] == "a man is skiing"
