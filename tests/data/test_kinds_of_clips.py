"""Every kind of clip goes all the way into training."""

import pandas as pd
import pytest
from PIL import Image

from vmc.data.clips import check_readable
from vmc.data.folder import VideoFolder


def test_every_kind_of_clip_trains(train, make, portrait, tmp_path, caplog):
    folder = tmp_path / "kinds"
    folder.mkdir()
    portrait.rename(folder / "portrait.mp4")
    make.encode(folder / "one_frame.mp4", make.numbered(1))
    make.save_images(folder / "frames", make.numbered(9))
    frames = [Image.fromarray(image) for image in make.numbered(9).permute(0, 2, 3, 1).numpy()]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:], duration=100)
    frames[0].save(folder / "still.png")
    run = train(f"data.path={folder}", "steps=12", "motion.caption=a {token} thing")
    table = pd.read_csv(run.path / "clips.csv")
    names = {path.rsplit("/", 1)[-1] for path in table.path}
    assert names == {"portrait.mp4", "one_frame.mp4", "frames", "moving.gif", "still.png"}
    assert set(table.caption) == {"a sks thing"}
    assert run.weights(12).is_file()
    assert "one_frame.mp4 (one frame, 7 times)" in caplog.text
    assert "moving.gif (10 fps)" in caplog.text


@pytest.mark.clips
def test_the_real_clips_train(train, real_clips):
    run = train(f"data.path={real_clips}", "motion.caption=a video of the {token} ride", "steps=2", "data.variants=1")
    assert len(pd.read_csv(run.path / "clips.csv")) == 4
    assert run.weights(2).is_file()


@pytest.mark.clips
def test_the_real_clips_come_with_captions(real_clips):
    clips = VideoFolder(real_clips).exemplars(label=None, caption=None, seed=0)
    assert len(check_readable(clips, skip_bad=False)) == 4
    assert {clip.path.name: clip.caption for clip in clips}["man-skiing.mp4"] == "a man is skiing"
