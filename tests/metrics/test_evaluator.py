"""Rows of valid and invalid videos, their table on disk and the summary of it."""

import math

import pandas as pd
import pytest
import torch

from vmc.metrics.base import Record, RunContext
from vmc.metrics.copying import COPY_THRESHOLD
from vmc.metrics.motion import MotionAccuracy
from vmc.metrics.networks.classifiers import class_index
from vmc.metrics.quality import Quality, problem
from vmc.metrics.scores import COLUMNS as DECLARED
from vmc.metrics.scores import MEASURES, known_columns, read_scores, write_scores
from vmc.metrics.statistics import intervals_of_run
from vmc.metrics.suite import Evaluator
from vmc.utils.errors import VmcError

COLUMNS = tuple(column.name for column in DECLARED)


def summarize(scores, *, threshold=COPY_THRESHOLD):
    """Every metric's value, None where it was not measured."""
    table = scores if isinstance(scores, pd.DataFrame) else pd.DataFrame(list(scores))
    found = {
        name: interval.value for name, interval in intervals_of_run(table, columns=known_columns(threshold)).items()
    }
    return dict.fromkeys(measure.name for measure in MEASURES) | found


class Says:
    """Says 'up' of every video, with the mean brightness as its probability."""

    labels = ("down", "up")

    def probabilities(self, frames_BFCHW: torch.Tensor) -> torch.Tensor:
        up = frames_BFCHW.float().mean((1, 2, 3, 4)) / 255
        return torch.stack([up - 1, up], dim=1)

    def describe(self):
        return {"kind": "says"}


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def record(place: int, **changes) -> Record:
    return Record(**{"video": f"{place}.mp4", "prompt": f"p{place}", "subject": "s", "seed": 1, **changes})


@pytest.fixture
def evaluator() -> Evaluator:
    return Evaluator([MotionAccuracy(classifier=Says()).begin(RunContext(target="up")), Quality()])


def black(frames: int = 4) -> torch.Tensor:
    return noise(frames, 3, 16, 16) % 3  # as compression leaves it


@pytest.mark.parametrize(
    ("video", "words"),
    [
        (black(), "0 of its 4 frames show anything"),
        (torch.full((4, 3, 16, 16), 128, dtype=torch.uint8), "0 of its 4"),
        (torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 16, 16) * 60, "0 of its 4"),  # flashing
        (torch.cat([noise(1, 3, 16, 16), black(3)]), "1 of its 4"),
        (noise(1, 3, 16, 16), "it has 1 frame"),
        (torch.zeros(0, 3, 16, 16, dtype=torch.uint8), "it has 0 frame"),
        (torch.rand(4, 3, 16, 16).where(torch.rand(4, 3, 16, 16) > 0.01, torch.nan), "not finite"),
        (torch.full((4, 3, 16, 16), math.inf), "not finite"),
        (None, "cannot be read"),
    ],
)
def test_videos_that_show_nothing(evaluator, video, words):
    assert words in problem(video)
    invalid, valid = rows = evaluator.score([video, noise(4, 3, 16, 16)], [record(0), record(1)])
    named = {"prompt": "p0", "subject": "s", "seed": 1, "video": "0.mp4"}
    assert invalid == dict.fromkeys(COLUMNS) | named | {"valid": False, "predicted": "", "motion_correct": False}
    assert valid["valid"] is True and valid["predicted"] == "up"
    summary = summarize(rows)
    assert summary["motion_accuracy"] == 0.5 and summary["valid"] == 0.5
    assert summary["flicker"] == valid["flicker"] and summary["copy_score"] is None


def test_a_frozen_or_dark_video_is_valid():
    assert problem(noise(1, 3, 16, 16).expand(4, -1, -1, -1)) is None
    assert problem(noise(4, 3, 16, 16) // 10) is None
    assert problem(torch.rand(4, 3, 16, 16)) is None


def test_rows_come_in_the_order_of_the_videos(evaluator):
    videos = [noise(frames, 3, 16, 16, seed=frames) // (frames - 2) for frames in (3, 5, 3, 4, 5)]
    videos.insert(2, black())
    rows = evaluator.score(videos, [record(place) for place in range(6)])
    assert [row["video"] for row in rows] == [f"{place}.mp4" for place in range(6)]
    assert [row["valid"] for row in rows] == [place != 2 for place in range(6)]
    for row, video in zip(rows, videos, strict=True):
        assert list(row) == list(COLUMNS)
        if row["valid"]:
            assert row["motion_probability"] == pytest.approx(video.float().mean().item() / 255, abs=1e-5)


def test_floats_are_scored_as_the_bytes_they_stand_for(evaluator):
    video = noise(4, 3, 16, 16)
    first, second = evaluator.score([video, video / 255], [record(0), record(1)])
    assert first == {**second, "video": "0.mp4", "prompt": "p0"}


def test_what_cannot_be_compared_is_refused(evaluator):
    with pytest.raises(VmcError, match="2 videos came with 1"):
        evaluator.score(noise(2, 4, 3, 16, 16), [record(1)])
    with pytest.raises(VmcError, match=r"torch\.int64"):
        evaluator.score([noise(4, 3, 16, 16).long()], [record(1)])


def test_videos_of_other_sizes_are_scored_at_their_own_and_that_is_said_once(evaluator, caplog):
    videos = [noise(4, 3, 16, 16), noise(4, 3, 16, 24), noise(4, 3, 16, 16, seed=1), noise(4, 3, 8, 8)]
    together = evaluator.score(videos, [record(place) for place in range(4)])
    assert [text.partition(";")[0] for text in caplog.messages] == ["1.mp4 is 24 x 16 px, the first video 16 x 16"]
    for place, video in enumerate(videos):
        assert evaluator.score([video], [record(place)]) == [together[place]]
    assert len(caplog.messages) == 1


def test_a_motion_without_a_class_stays_empty():
    evaluator = Evaluator([MotionAccuracy(classifier=Says()).begin(RunContext()), Quality()])
    rows = evaluator.score([black(), noise(4, 3, 16, 16)], [record(0), record(1)])
    assert [row["motion_correct"] for row in rows] == [None, None]
    assert [row["predicted"] for row in rows] == ["", "up"]
    assert summarize(rows)["motion_accuracy"] is None


def test_the_protocol_says_what_scores_depend_on(evaluator):
    protocol = evaluator.protocol()
    assert protocol["motion"] == {"classifier": {"kind": "says"}, "target": "up"}
    assert set(protocol) == {"validity", "motion", "quality"}
    assert class_index(Says.labels, "UP") == 1


def row(place: int, **changes) -> dict:
    values = dict.fromkeys(COLUMNS) | {"prompt": f"p{place}", "seed": place, "video": f"{place}.mp4", "valid": True}
    return values | changes


ROWS = [
    row(0, subject='a man, "old",\nin {braces}', predicted="Swiping Up", motion_correct=True, motion_probability=0.1),
    row(1, prompt="nan", subject="None", predicted="", valid=False, motion_correct=False),
    row(2, seed=2**40, appearance=1 / 3, copied=False, nearest_frame=12, nearest_clip="é.mp4", flicker=1e-17),
    row(3, seed=None, predicted="NA", copy_similarity_any=0.1 + 0.2, motion_correct=True, copied=True),
]


@pytest.mark.parametrize("as_table", [False, True])
def test_scores_are_read_back_exactly(tmp_path, as_table):
    file = tmp_path / "scores.csv"
    write_scores(file, pd.DataFrame(ROWS) if as_table else ROWS)
    assert file.read_text(encoding="utf-8").startswith(",".join(COLUMNS))
    found = read_scores(file).to_dict("records")
    expected = [{**row, "predicted": row["predicted"] or ""} for row in ROWS]
    assert found == expected
    assert [type(value) for row in found for value in row.values()] == [
        type(value) for row in expected for value in row.values()
    ]
    write_scores(file, read_scores(file))
    assert read_scores(file).to_dict("records") == found


def test_scores_that_do_not_fit_are_refused_and_the_file_stays(tmp_path):
    file = tmp_path / "scores.csv"
    write_scores(file, ROWS)
    before = file.read_bytes()

    def refused(rows, words):
        with pytest.raises(VmcError, match=words):
            write_scores(file, rows)
        assert file.read_bytes() == before
        assert list(tmp_path.iterdir()) == [file]

    refused([row(0), row(1, prompt="p0", seed=0)], "two rows of the prompt p0 with seed 0")
    refused([row(0), row(1, video="0.mp4")], r"two rows of the video 0\.mp4")
    refused([{"prompt": "p"}], "has the columns prompt; scores have prompt, subject")
    refused([row(0, valid="maybe")], "has 'maybe' under valid")
    refused([row(0, nearest_frame=1.5)], "has '1.5' under nearest_frame")
    refused([row(0, valid=None)], "has no valid")


def test_tables_that_do_not_read_are_refused(tmp_path):
    file = tmp_path / "scores.csv"
    with pytest.raises(VmcError, match="does not exist"):
        read_scores(file)

    def refused(text, words):
        file.write_text(text)
        with pytest.raises(VmcError, match=words):
            read_scores(file)

    write_scores(file, ROWS[1:])
    good = file.read_text()
    refused("", "does not read as a table")
    refused("prompt,seed\n", "has the columns prompt, seed")
    refused(good.replace("0.3333", "x.3333"), r"line 3, has 'x\.3333333333333\d*' under appearance")
    refused(good + good.splitlines()[-1] + "\n", "two rows")


def test_the_summary_averages_what_is_there():
    rows = [
        row(0, motion_correct=True, appearance=0.2, copied=True, copy_similarity_any=0.3),
        row(1, motion_correct=False, appearance=0.4, copied=False, copy_similarity_any=0.26),
        row(2, motion_correct=False, copied=False, copy_similarity_any=0.1),
        row(3, motion_correct=False, valid=False),
    ]
    found = summarize(rows)
    assert found["motion_accuracy"] == 0.25
    assert found["appearance"] == pytest.approx(0.3)
    assert found["copy_score"] == pytest.approx(1 / 3) and found["copy_score_any"] == pytest.approx(2 / 3)
    assert found["valid"] == 0.75 and found["text_alignment"] is None
    assert summarize(rows, threshold=0.28)["copy_score_any"] == pytest.approx(1 / 3)
