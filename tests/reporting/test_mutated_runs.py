"""Small run folders of which one file is changed at random: the project's own error, or a run that is left out."""

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from vmc.data.prompts import Prompt
from vmc.data.video import write_video
from vmc.evaluation import score as evaluations
from vmc.evaluation.score import Evaluation
from vmc.metrics.quality import Quality
from vmc.metrics.scores import read_scores
from vmc.metrics.suite import Evaluator
from vmc.reporting.gallery import places
from vmc.reporting.reading import find_runs
from vmc.reporting.report import Report
from vmc.utils.errors import VmcError

LONGEST = 10.0
"""Seconds within which an answer must come."""


def cut_off(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def flipped(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 8))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def garbage_inside(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content))
    return content[:place] + draw.randbytes(draw.choice((1, 20, 400))) + content[place:]


def lines_changed(content: bytes, draw: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    place = draw.randrange(len(lines))
    return b"".join(lines[:place] + draw.choice(([], [lines[place]] * 3, [b"\n"], [b",,,,\n"])) + lines[place + 1 :])


def number_changed(content: bytes, draw: random.Random) -> bytes:
    digits = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
    place = draw.choice(digits or [0])
    word = draw.choice((b"-1", b"NaN", b"1e999", b'"', b"null", b"9" * 5000, b"[]", b"\x00", b"= 1"))
    return content[:place] + word + content[place + 1 :]


def other_content(content: bytes, draw: random.Random) -> bytes:
    return draw.choice((b"", b"\x00" * 64, b"[" * 50_000, b"{}", b"null", b"\xff\xfe{\x00", b'"' * 301, b"\r" * 99))


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(cut_off, flipped, garbage_inside, lines_changed, number_changed, other_content),
)
REPORTED = ("evaluation/000100/scores.csv", "evaluation/000100/summary.json", "train.csv", "clips.csv", "run.json")
RESUMED = ("scores.csv", "summary.json", ".rows-0.json")


def mutations(names: Sequence[str]) -> list[tuple[str, Callable[[bytes, random.Random], bytes]]]:
    return [(name, mutate) for name in names for mutate in MUTATIONS]


@pytest.fixture(scope="module")
def reported(lasting, scored) -> Iterator[Path]:
    made = lasting()
    for arm in ("method", "lora"):
        path = made.run(
            arm,
            steps=100,
            evaluations={
                step: scored(appearance=appearance, correct=(1, 0, 0, 0), copied=(1, 0, 0, 0))
                for step, appearance in ((0, 0.3), (100, 0.2))
            },
        )
        (path / "clips.csv").write_text("role,path,caption\nexemplar,clip0.mp4,a sign\nexemplar,clip1.mp4,a sign\n")
    yield made.root


@pytest.mark.parametrize(("name", "mutate"), mutations(REPORTED))
def test_a_report_answers_whatever_became_of_a_file(reported, tmp_path, name, mutate):
    shutil.copytree(reported, tmp_path / "runs")
    file = tmp_path / "runs/lora/swiping_down/seed0" / name
    file.write_bytes(mutate(file.read_bytes(), random.Random(f"{name} {mutate.__name__}")))
    begun = time.monotonic()
    try:
        report = Report(found=find_runs(tmp_path / "runs"))
    except VmcError as error:
        assert "do not belong in one table" in str(error) and name.endswith("summary.json")  # which holds the protocol
        return
    assert report.results["method"].matched
    assert report.texts and report.tables[-1][1].count("\n") >= 3
    assert places(report.results, report.found.controls)
    assert time.monotonic() - begun < LONGEST


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory) -> tuple[Path, Evaluation]:
    """An evaluation of which two videos are summed up, and four more are scored."""
    folder = tmp_path_factory.mktemp("interrupted")
    prompts = [Prompt(text=f"a man {number}", seed=number) for number in range(8)]
    own = Evaluation(
        prompts=prompts,
        evaluator=Evaluator([Quality()]),
        made_with={},
        videos=folder / "videos",
    )
    for number, name in enumerate(own.names):
        draw = torch.Generator().manual_seed(number)
        write_video(folder / "videos" / name, torch.randint(0, 256, (2, 3, 16, 16), generator=draw).byte(), fps=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluations, "AT_ONCE", 2)
        own.score(folder, lambda *_: iter(()), step=1, places=(0, 4))
        rows, seen = Evaluation._rows, []

        def cut(self, files, places):
            if len(seen) == 2:
                raise KeyboardInterrupt
            seen.append(files)
            return rows(self, files, places)

        patch.setattr(Evaluation, "_rows", cut)
        with pytest.raises(KeyboardInterrupt):
            own.score(folder, lambda *_: iter(()), step=1)
    assert len(read_scores(folder / "scores.csv")) == 2 and (folder / ".rows-0.json").is_file()
    return folder, own


@pytest.mark.parametrize(("name", "mutate"), mutations(RESUMED))
def test_an_evaluation_goes_on_whatever_became_of_a_file(interrupted, tmp_path, monkeypatch, name, mutate):
    folder, own = interrupted
    for kept in RESUMED:
        shutil.copyfile(folder / kept, tmp_path / kept)
    file = tmp_path / name
    file.write_bytes(mutate(file.read_bytes(), random.Random(f"{name} {mutate.__name__}")))
    monkeypatch.setattr(evaluations, "AT_ONCE", 2)
    begun = time.monotonic()
    try:
        own.score(tmp_path, lambda *_: iter(()), step=1)
    except VmcError as error:
        assert "another protocol" in str(error) and name == "summary.json"  # which says what the rows are of
        return
    finally:
        assert time.monotonic() - begun < LONGEST
    whole = read_scores(tmp_path / "scores.csv")
    assert [*whole["video"]] == own.names and whole["flicker"].notna().all()
    assert json.loads((tmp_path / "summary.json").read_text())["videos"] == 8
    assert not list(tmp_path.glob(".*"))
