"""What is said of the clips' time at the beginning of a run."""

import logging
from pathlib import Path

import pytest

from vmc.data.clips import Clip
from vmc.data.frames import ClipTransform, TimedClip, log_timing, time_clip, timing_sentences


def timed(seconds, *, role="exemplar", rate=30.0, slow=False, padded=0, name="clip.mp4"):
    clip = Clip(path=Path("folder") / name, caption="", role=role)
    return TimedClip(clip=clip, seconds=seconds, rate=rate if seconds else None, slow=slow, padded=padded)


def said(*clips, frames=16, fps=12):
    return timing_sentences(clips, frames=frames, fps=fps)


@pytest.mark.parametrize(
    ("seconds", "level", "sentence"),
    [
        (
            (2.1, 2.5, 3.4),
            logging.INFO,
            "16 frames at 12 fps: 1.3 s of clips of 2.1 to 3.4 s; data.fps=4.7 would cover them",
        ),
        ((1.2, 0.9), logging.INFO, "16 frames at 12 fps: 1.3 s, the whole of clips of 0.9 to 1.2 s"),
        (
            (3.04, 8.0, 3.0, 6.2),
            logging.WARNING,
            "16 frames at 12 fps: 1.3 s of clips of 3.0 to 8.0 s, less than half of the median clip (4.6 s);"
            " data.fps=2 would cover them",
        ),
        (
            (40.0,),
            logging.WARNING,
            "16 frames at 12 fps: 1.3 s of clips of 40.0 s, less than half of the median clip (40.0 s);"
            " data.fps=0.4 would cover them",
        ),
    ],
)
def test_what_a_window_covers(seconds, level, sentence):
    assert said(*map(timed, seconds)) == [(level, sentence)]


def test_the_window_of_a_slow_clip_is_as_long_as_its_frames_last():
    ((_, sentence),) = said(timed(3.2, rate=5.0))
    assert sentence == "16 frames at 12 fps: 3.2 s, the whole of clips of 3.2 s"
    ((_, sentence),) = said(timed(4.0, rate=5.0), timed(3.0))
    assert sentence == "16 frames at 12 fps: 1.3 to 3.2 s of clips of 3.0 to 4.0 s; data.fps=4 would cover them"


def test_the_rate_that_is_named_does_cover_the_clips():
    for hundredths in range(140, 2000, 7):
        ((_, sentence),) = said(timed(hundredths / 100))
        rate = float(sentence.split("data.fps=")[1].split()[0])
        assert 16 / rate >= hundredths / 100 - 1e-9
        ((_, sentence),) = said(timed(hundredths / 100), fps=rate)
        assert "the whole of clips" in sentence


def test_padded_clips_are_counted_and_named():
    short = [timed(0.5, padded=number, name=f"{number}.mp4") for number in range(1, 8)]
    (level, sentence), *_ = said(timed(1.3), *short)[1:]
    assert level == logging.WARNING
    assert sentence == (
        "exemplars shorter than 16 frames at 12 fps, their last frame repeated (7 of 8): 1.mp4 (0.5 s, 1 time),"
        " 2.mp4 (0.5 s, 2 times), 3.mp4 (0.5 s, 3 times), 4.mp4 (0.5 s, 4 times), 5.mp4 (0.5 s, 5 times) and 2 more"
    )
    assert said(timed(None, padded=15, name="still.png")) == [
        (
            logging.WARNING,
            "exemplars shorter than 16 frames at 12 fps, their last frame repeated (1 of 1):"
            " still.png (one frame, 15 times)",
        )
    ]


def test_slow_clips_are_counted_and_named():
    slow = [timed(1.3, rate=rate, slow=True, role="regularization", name=f"{rate}.gif") for rate in (10.0, 7.5)]
    assert said(timed(1.3), *slow)[1:] == [
        (
            logging.WARNING,
            "regularization clips of fewer frames a second than data.fps=12, which are taken once each and play faster"
            " (2 of 2): 10.0.gif (10 fps), 7.5.gif (7.5 fps)",
        )
    ]


def test_a_clip_is_measured(mp4, tmp_path, make):
    transform = ClipTransform(frames=4, fps=12.0)
    clip = Clip(path=mp4, caption="", role="exemplar")
    measured = time_clip(clip, transform)  # ten frames at 8 a second
    assert (measured.seconds, measured.rate) == (pytest.approx(1.25), pytest.approx(8))
    assert (measured.slow, measured.padded) == (True, 0)
    measured = time_clip(clip, ClipTransform(frames=4, fps=2.0))
    assert (measured.slow, measured.padded) == (False, 1)
    still = make.save_images(tmp_path, make.numbered(1), pattern="still.png") / "still.png"
    measured = time_clip(Clip(path=still, caption="", role="exemplar"), transform)
    assert (measured.seconds, measured.rate, measured.slow, measured.padded) == (None, None, False, 3)


@pytest.mark.parametrize("rate", [11.99, 12, 12.5])
def test_a_rate_that_is_as_good_as_the_wanted_one_is_not_called_slow(rate, tmp_path, make):
    clip = make.encode(tmp_path / "clip.mp4", make.numbered(), fps=str(rate))
    assert not time_clip(Clip(path=clip, caption="", role="exemplar"), ClipTransform(frames=4, fps=12.0)).slow


def test_it_is_said_whatever_was_done_before(mp4, caplog):
    transform = ClipTransform(frames=16, fps=4.0)
    clip = Clip(path=mp4, caption="", role="exemplar")
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            log_timing([clip], [transform])
    whole = "16 frames at 4 fps: 4.0 s, the whole of clips of 1.2 s"
    short = "exemplars shorter than 16 frames at 4 fps, their last frame repeated (1 of 1): clip.mp4 (1.2 s, 11 times)"
    assert [record.message for record in caplog.records] == [whole, short] * 2
