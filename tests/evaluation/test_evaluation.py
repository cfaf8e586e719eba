"""An evaluation that is cut off anywhere and begun again ends as the undisturbed one, to the last bit."""

import contextlib
import hashlib
import json
import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from vmc.data.prompts import Prompt
from vmc.data.video import write_video
from vmc.diffusion.sampling import Sampler
from vmc.evaluation import generation
from vmc.evaluation import score as evaluations
from vmc.evaluation.generation import VideoGenerator
from vmc.evaluation.score import Evaluation, Interrupted, Ranks
from vmc.metrics.appearance import Appearance
from vmc.metrics.base import Metric
from vmc.metrics.quality import Quality
from vmc.metrics.scores import read_scores, write_scores
from vmc.metrics.suite import Evaluator
from vmc.training.hardware import Hardware
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write

PROMPTS = [Prompt(text=f"a man {number}", seed=number, subject="a man") for number in range(9)]
SUBSET = (0, 3, 6)


class Company(Metric):
    """Scores a video by all those that it is scored beside: a wrong batch shows in every digit."""

    name = "company"
    columns = Appearance.columns[:1]

    def score(self, frames_BFCHW, records):
        """One value for each."""
        seen = hashlib.sha256(frames_BFCHW.contiguous().numpy().tobytes()).digest()
        return {"appearance": [(seen[0] + index) / 1000 for index in range(len(records))]}

    def describe(self):
        """Nothing."""
        return {"toy": 1}


class Generator(VideoGenerator):
    """Draws videos that hang on every prompt of their batch."""

    def latents(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """frames_BFCHW, uint8, which need no decoding."""
        mark = int(hashlib.sha256(repr([prompt.text for prompt in prompts]).encode()).hexdigest()[:8], 16)
        draw = torch.Generator().manual_seed(mark)
        coarse = torch.randint(0, 256, (len(prompts), 3, 3, 4, 4), generator=draw, dtype=torch.uint8)
        return coarse.repeat_interleave(16, 3).repeat_interleave(16, 4)

    def decode(self, latents_BCFHW: torch.Tensor) -> torch.Tensor:
        """As they are."""
        return latents_BCFHW


def generator() -> Generator:
    model = SimpleNamespace(device=torch.device("cpu"), fps=3)
    return Generator(
        model=model,
        denoiser=model,
        autoencoder=model,
        encode=None,
        sampler=Sampler(steps=1, guidance=1.0),
        hardware=Hardware(),
        batch_size=2,
    )


def evaluation(**more) -> Evaluation:
    return Evaluation(
        prompts=PROMPTS,
        evaluator=Evaluator([Quality(), Company()]),
        made_with={"sampler": 1},
        threshold=0.2,
        **more,
    )


def score(folder: Path, **more) -> dict:
    """A subset, then the whole test set, as a run's last evaluation may be."""
    made, own = generator().write, evaluation(**more)
    own.score(folder, made, step=5, places=SUBSET)
    return own.score(folder, made, step=5)


def contents(folder: Path) -> dict[str, str]:
    """Every file of a folder by its digest."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def means(scores, *, columns):
    """A summary without its intervals, which take longest."""
    values = {name: [row[name] for row in scores if row[name] is not None] for name in ("valid", "appearance")}
    return {name: {"value": sum(part) / len(part), "low": None, "high": None} for name, part in values.items()}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few videos at a time."""
    monkeypatch.setattr(evaluations, "AT_ONCE", 4)
    monkeypatch.setattr(evaluations, "summarize", means)


@pytest.fixture
def few(monkeypatch):
    """Five videos, two at a time: the writes of each kind still come first, in the middle and last."""
    monkeypatch.setitem(globals(), "PROMPTS", PROMPTS[:5])
    monkeypatch.setitem(globals(), "SUBSET", SUBSET[:2])
    monkeypatch.setattr(evaluations, "AT_ONCE", 2)


@pytest.fixture
def undisturbed(tmp_path, monkeypatch) -> dict[str, str]:
    """The files of an evaluation that nothing cut off; its videos are not encoded, which would take longest."""

    def write(path, frames_FCHW, *, fps):
        with atomic_write(path) as temporary:
            temporary.write_bytes(frames_FCHW.numpy().tobytes())

    def read(path):
        return torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8).view(3, 3, 64, 64)

    monkeypatch.setattr(generation, "write_video", write)
    monkeypatch.setattr(evaluations, "read_frames", read)
    folder = tmp_path / "undisturbed"
    score(folder)
    found = contents(folder)
    assert set(found) == {"scores.csv", "summary.json", *(f"videos/{file.name}" for file in folder.glob("videos/*"))}
    return found


class Killed(BaseException):
    """The process is gone."""


class Killer:
    """Ends the process, as it were, before or after a text or a video is written, renamed or removed."""

    def __init__(self, monkeypatch) -> None:
        self.left, self.after, self.seen = None, False, 0
        for name in ("write_text", "write_bytes", "replace", "unlink"):
            monkeypatch.setattr(Path, name, self._hooked(getattr(Path, name)))

    def _hooked(self, act):
        def hooked(path, *arguments, **options):
            if self.left is None:  # dead, or not armed: what `finally` clauses do, a killed process does not
                return act(path, *arguments, **options) if not self.seen else None
            self.left -= 1
            if self.left < 0 and not self.after:
                self._die()
            done = act(path, *arguments, **options)
            if self.left < 0:
                self._die()
            return done

        return hooked

    def _die(self):
        self.left, self.seen = None, 1
        raise Killed

    def arm(self, number: int, *, after: bool) -> None:
        """Die at the write with this number, from 0 on."""
        self.left, self.after, self.seen = number, after, 0

    def disarm(self) -> bool:
        """Live on; whether it had died."""
        died, self.left, self.seen = bool(self.seen), None, 0
        return died


def test_killed_before_and_after_every_write_it_ends_as_the_undisturbed_one(few, undisturbed, tmp_path, monkeypatch):
    killer, kills = Killer(monkeypatch), 0
    for number in range(1000):
        folder, died = tmp_path / f"{number:06d}", False
        for after in (False, True):
            killer.arm(number, after=after)
            with contextlib.suppress(Killed):
                score(folder / str(after))
            died = killer.disarm()
            score(folder / str(after))
            assert contents(folder / str(after)) == undisturbed, f"killed at write {number}, after it: {after}"
            kills += died
        if not died:
            break
    assert kills >= 60, kills


def test_asked_to_stop_after_every_video_it_ends_as_the_undisturbed_one(undisturbed, tmp_path):
    asked = []

    def make(prompts, files) -> Iterator[Path]:
        for file in generator().write(prompts, files):
            yield file
            asked.append(file)
            return

    for places in (SUBSET, None):
        for _ in range(len(PROMPTS)):
            own, before = evaluation(), len(asked)
            own.interrupted = lambda before=before: len(asked) > before
            try:
                own.score(tmp_path / "cut", make, step=5, places=places)
                break
            except Interrupted:
                continue
    assert len(asked) == 4  # in each batch of two; behind the last video nobody asks for more
    assert contents(tmp_path / "cut") == undisturbed


def test_two_processes_that_are_cut_off_share_the_videos_as_before(tmp_path):
    def both(folder, make):
        barrier = threading.Barrier(2)

        def work(rank):
            own = evaluation(ranks=Ranks(rank, 2, barrier.wait))
            own.interrupted = lambda: make is cut
            with contextlib.suppress(Interrupted):
                own.score(folder, make, step=5)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, (0, 1)))

    def whole(prompts, files):
        return generator().write(prompts, files)

    def cut(prompts, files):
        yield from list(whole(prompts, files))[:1]

    both(tmp_path / "whole", whole)
    both(tmp_path / "cut", cut)
    assert not (tmp_path / "cut" / "scores.csv").exists()
    sorted((tmp_path / "cut" / "videos").glob("*.mp4"))[0].unlink()
    both(tmp_path / "cut", whole)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_summary_of_fewer_rows_is_brought_to_what_the_table_says(tmp_path):
    """As an earlier version leaves it that was killed between the two renames."""
    whole = score(tmp_path)
    file = tmp_path / "summary.json"
    stale = {key: part for key, part in whole.items() if not key.endswith("sha256")} | {"videos": 3}
    stale["stop"] = {"appearance": 0.2, "reached": not whole["stop"]["reached"]}
    file.write_text(json.dumps(stale))
    found = evaluation().score(tmp_path, generator().write, step=5, places=SUBSET)
    assert (found["videos"], found["stop"]) == (9, whole["stop"])
    assert found == whole == json.loads(file.read_text())


@pytest.mark.parametrize("name", ["scores.csv", "summary.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"protocol": 3}'])
def test_a_damaged_file_is_made_again_from_the_videos(tmp_path, caplog, name, content):
    score(tmp_path)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("videos/*")}
    (tmp_path / name).write_bytes(content)
    evaluation().score(tmp_path, generator().write, step=5)
    rows = read_scores(tmp_path / "scores.csv")
    assert len(rows) == 9 and len(caplog.messages) == 1 and "scored again" in caplog.messages[0]
    assert name in caplog.messages[0]
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("videos/*")} == before


def test_a_flipped_digit_in_the_table_is_not_taken_for_a_score(tmp_path, caplog):
    score(tmp_path)
    file = tmp_path / "scores.csv"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b",a man,0,", b",a man,7,", 1).replace(b"0.", b"1.", 1))
    assert file.read_bytes() != whole
    evaluation().score(tmp_path, generator().write, step=5)
    assert "not as it was written" in caplog.text
    assert list(read_scores(file)["seed"]) == list(range(9))


def test_another_threshold_is_another_stop(tmp_path):
    assert score(tmp_path)["stop"] == {"appearance": 0.2, "reached": True}
    own = evaluation()
    own.threshold = 0.001
    assert own.score(tmp_path, generator().write, step=5)["stop"] == {"appearance": 0.001, "reached": False}


def test_what_killed_writers_left_is_removed_and_what_others_write_stays(tmp_path):
    score(tmp_path)
    for name in (".scores.csv-abc12345.tmp", ".rows-0.json-abc12345.tmp", "videos/.1.mp4-abc12345.tmp"):
        (tmp_path / name).mkdir()
    with atomic_write(tmp_path / "sheet.png") as written:
        written.write_text("")
        evaluation().score(tmp_path, generator().write, step=5)
    assert {file.name for file in tmp_path.iterdir()} == {"scores.csv", "summary.json", "videos", "sheet.png"}
    assert not list((tmp_path / "videos").glob(".*"))


# --- videos that somebody else has made ------------------------------------------------------------------------------


def given(folder: Path, scores: Path, **more) -> dict:
    own = evaluation(videos=folder, names=[f"{number}.mp4" for number in range(9)], **more)

    def nothing(prompts, files):
        raise AssertionError("no video is made")

    return own.score(scores, nothing, step=0)


def draw(folder: Path, number: int, *, seed: int, size: int = 64) -> None:
    frames = torch.randint(0, 256, (3, 3, 4, 4), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    pixels = frames.repeat_interleave(size // 4, 2).repeat_interleave(size // 4, 3)
    write_video(folder / f"{number}.mp4", pixels, fps=3)


def test_a_video_that_was_replaced_is_scored_again(tmp_path, caplog):
    for number in range(9):
        draw(tmp_path / "made", number, seed=number)
    given(tmp_path / "made", tmp_path / "scores")
    before = read_scores(tmp_path / "scores" / "scores.csv")
    draw(tmp_path / "made", 4, seed=40)
    with caplog.at_level(logging.WARNING):
        given(tmp_path / "made", tmp_path / "scores")
    after = read_scores(tmp_path / "scores" / "scores.csv")
    assert "1 videos have changed since they were scored (4.mp4)" in caplog.text
    changed = [one != two for one, two in zip(before["flicker"], after["flicker"], strict=True)]
    assert changed == [number == 4 for number in range(9)]
    caplog.clear()
    given(tmp_path / "made", tmp_path / "scores")
    assert not caplog.text  # and is now known as it is


def test_a_table_of_an_earlier_version_is_read_as_it_was(tmp_path):
    for number in range(9):
        draw(tmp_path / "made", number, seed=number)
    given(tmp_path / "made", tmp_path / "scores")
    file = tmp_path / "scores" / "summary.json"
    earlier = {key: part for key, part in json.loads(file.read_text()).items() if not key.endswith("sha256")}
    file.write_text(json.dumps(earlier, indent=2))
    rows = read_scores(tmp_path / "scores" / "scores.csv")
    rows.loc[4, "flicker"] = 0.125
    write_scores(tmp_path / "scores" / "scores.csv", rows)
    given(tmp_path / "made", tmp_path / "scores")
    assert read_scores(tmp_path / "scores" / "scores.csv").loc[4, "flicker"] == 0.125


def test_a_video_of_another_size_is_scored_at_its_own(tmp_path, caplog):
    for number in range(9):
        draw(tmp_path / "made", number, seed=number, size=32 if number == 4 else 64)
    summary = given(tmp_path / "made", tmp_path / "scores")
    assert summary["metrics"]["valid"]["value"] == 1
    rows = read_scores(tmp_path / "scores" / "scores.csv")
    assert rows["flicker"].notna().all() and rows["appearance"].notna().all()
    assert "4.mp4 is 32 x 32 px, the first video 64 x 64" in caplog.text


def test_scores_that_are_missing_in_the_end_are_an_error(tmp_path):
    own = evaluation()
    with pytest.raises(VmcError, match=r"has no scores of 9 videos \(0000-"):
        own.score(tmp_path, lambda prompts, files: iter(()), step=5)
    assert not (tmp_path / "scores.csv").exists()
