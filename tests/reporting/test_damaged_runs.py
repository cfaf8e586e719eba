"""A report on many runs of which one is damaged, never evaluated or somebody else's: the others are reported on."""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from vmc.data.video import read_frames, write_video
from vmc.metrics.motion import MotionAccuracy
from vmc.report import main as report
from vmc.reporting.figures.common import DrawFigure
from vmc.reporting.figures.copies import figure8
from vmc.reporting.figures.curves import curve_of, figure7
from vmc.reporting.figures.strips import figure3
from vmc.reporting.formatting import to_csv
from vmc.reporting.gallery import link_videos, write_exemplars
from vmc.reporting.loaded_runs import FoundRun
from vmc.reporting.reading import find_runs
from vmc.reporting.report import Report
from vmc.reporting.writing import report_folder, write_report
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint

FAR_AWAY = "evaluation/000100/videos/0000.mp4"
FIGURES = {"figure3_strips": figure3, "figure7": figure7, "figure8_copies": figure8}


def write(made: Report, output: Path, runs: Path, **figures: DrawFigure) -> Path:
    write_report(made, output, runs=runs, figures=figures)
    return output


def picture(seed: int) -> torch.Tensor:
    """frames_FCHW of large squares."""
    coarse = torch.randint(0, 256, (4, 3, 4, 4), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return coarse.repeat_interleave(16, 2).repeat_interleave(16, 3)


@pytest.fixture
def two(made_up, scored):
    """Runs of two arms, with step 0, a step that is matched, and clips."""
    for arm in ("method", "lora"):
        path = made_up.run(
            arm,
            evaluations={
                step: scored(appearance=appearance, correct=(1, 0, 0, 0), copied=(1, 0, 0, 0))
                for step, appearance in ((0, 0.3), (100, 0.2))
            },
        )
        (path / "clips.csv").write_text("role,path,caption\nexemplar,clip0.mp4,a sign\n")
    return made_up


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("run.json", b"{", "run.json does not read"),
        ("run.json", b'{"status": 3}', "run.json has 3 as status"),
        ("run.json", b'{"status": "finished", "step": "ten"}', "run.json has 'ten' as step"),
        ("train.csv", b"\xff\xfe\x00\x01", "train.csv does not read as a table"),
        ("train.csv", b"step,seconds\nten,1.0\n", "train.csv holds something else than steps"),
        ("clips.csv", b"role,path\nexemplar,\xff\n", "clips.csv does not read as a table"),
        ("evaluation/000100/summary.json", b"[" * 100_000, "summary.json does not read"),
        ("evaluation/000100/summary.json", b'{"metrics": 3, "videos": 4, "protocol": {}}', "has 3 as metrics"),
        (
            "evaluation/000100/summary.json",
            b'{"metrics": {"appearance": {"value": 1e999}}, "videos": 4, "protocol": {}}',
            "has inf under appearance",
        ),
        (
            "evaluation/000000/summary.json",
            b'{"metrics": {}, "videos": 4, "protocol": {}, "scores_sha256": "aa"}',
            "summary.json is not of the scores.csv beside it",
        ),
    ],
)
def test_a_run_of_which_a_file_is_damaged_is_shown_so_and_the_others_are_reported(two, name, content, expected):
    path = two.root / "lora/swiping_down/seed0"
    (path / name).write_bytes(content)
    found = Report(found=find_runs(two.root))
    assert found.results["method"].matched and not found.results["lora"].matched
    assert found.results["lora"].status == "damaged"
    ((folder, reason),) = found.found.damaged
    assert folder == path and expected in reason
    (row,) = [row for row in found.texts[-1].rows if row[0] == "lora"]
    assert row[3] == "damaged" and expected in row[6]
    assert csv_rows(found)["lora"]["status"] == "damaged"


def csv_rows(found: Report) -> dict[str, dict[str, str]]:
    return {row["arm"]: row for row in csv.DictReader(io.StringIO(found.tables[-1][1]))}


@pytest.mark.parametrize(
    ("content", "expected"), [("a: [", "does not read as a config"), ("arm: lora\nseed: one\n", "has no motion")]
)
def test_a_run_of_which_the_config_is_damaged_is_listed_too(entered, two, content, expected):
    (two.root / "lora/swiping_down/seed0/config.yaml").write_text(content)
    status, said = entered(report, f"runs={two.root}", "output=out")
    assert status == 0, said
    assert "left out, damaged: " in said and expected in said and "1 runs of 1 arms" in said
    assert expected in Path("out/report.md").read_text()
    assert expected in Path("out/tables/runs.csv").read_text()
    assert "lora/swiping_down/seed0" in Path("out/tables/runs.md").read_text().replace("\\_", "_")


@pytest.mark.parametrize("step", ["000000", "000100"])
def test_damaged_scores_leave_out_what_needs_them(two, tmp_path, step):
    file = two.root / "lora/swiping_down/seed0/evaluation" / step / "scores.csv"
    file.write_bytes(b"\xff\xfe prompt")
    found = Report(found=find_runs(two.root))
    assert found.results["method"].matched
    assert not found.results["lora"].matched and str(file) in found.results["lora"].left_out[0][1]
    page = write(found, tmp_path / "out", two.root, **FIGURES) / "report.md"
    assert "scores.csv" in page.read_text()


def test_an_arm_is_drawn_by_the_runs_of_which_the_scores_read(two, scored, tmp_path):
    evaluations = {step: scored(appearance=0.3 - step / 1000, correct=(1, 1, 0, 0)) for step in (0, 100)}
    for seed in (0, 1):
        two.run("reg_none", seed=seed, evaluations=evaluations)
        (two.root / f"reg_none/swiping_down/seed{seed}/evaluation/000100/scores.csv").write_bytes(b"\xff\xfe prompt")
        if seed == 0:
            two.run("lora", seed=1, evaluations=evaluations)
            (two.root / "lora/swiping_down/seed0/evaluation/000100/scores.csv").write_bytes(b"\xff\xfe prompt")
    found = Report(found=find_runs(two.root))
    curves = {arm: curve_of([run for run in found.runs if run.arm == arm]) for arm in ("lora", "reg_none")}
    assert {arm: curve.note for arm, curve in curves.items()} == {"lora": "1 of 2 runs", "reg_none": "0 of 2 runs"}
    assert curves["lora"].having(MotionAccuracy.columns[1].measure).value.tolist() == [50, 50]
    assert curves["reg_none"].points.empty
    page = write(found, tmp_path / "out", two.root, figure7=figure7) / "report.md"
    assert "scores.csv" in page.read_text()


def test_a_folder_in_which_no_run_reads_is_refused_naming_the_first(two):
    for arm in ("method", "lora"):
        (two.root / arm / "swiping_down/seed0/run.json").write_text("[]")
    with pytest.raises(VmcError, match=r"in which no run reads; the first: .*run\.json holds no JSON object"):
        find_runs(two.root)


def test_a_damaged_run_beside_its_successor_is_only_listed(two, scored):
    (two.root / "lora/swiping_down/seed0/run.json").write_text("{")
    evaluations = {0: scored(appearance=0.3, correct=(1,) * 4), 100: scored(appearance=0.2, correct=(1,) * 4)}
    two.run("lora", evaluations=evaluations, folder="again")
    found = Report(found=find_runs(two.root))
    assert len(found.results["lora"].matched) == 1 and len(found.found.damaged) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"config": {"prompts": {"file": "others.csv", "limit": 3}}},
        {"threshold": 0.1},
        {"config": {"model": {"path": "other", "frames": 8}}},
    ],
)
def test_a_run_that_was_never_evaluated_is_listed_whatever_it_would_have_been_evaluated_on(two, tmp_path, other):
    two.run("reg_none", evaluations={}, reason="steps", step=300, **other)
    found = Report(found=find_runs(two.root))
    assert found.threshold == 0.25
    assert found.results["reg_none"].status == "not evaluated"
    assert "run `python -m vmc.evaluate` on it" in csv_rows(found)["reg_none"]["remark"]
    assert (write(found, tmp_path / "out", two.root) / "index.html").is_file()


# --- somebody else's run ---------------------------------------------------------------------------------------------


@pytest.fixture
def foreign(two, tmp_path):
    """A run that asks for a video of the reader's: by a link, a linked folder, a path and a pipe."""
    secret = tmp_path / "secret" / "0001.mp4"
    write_video(secret, picture(7), fps=3)
    (run,) = [run for run in find_runs(two.root).runs if run.arm == "lora"]
    videos = run.path / "evaluation/000100/videos"
    write_video(videos / "0000.mp4", picture(1), fps=3)
    (videos / "0001.mp4").symlink_to(secret)
    os.mkfifo(videos / "0002.mp4")
    (videos / "page.html").write_text("<script>")
    (run.path / "evaluation/000000/videos").symlink_to(secret.parent)
    return run


def again(run: FoundRun) -> FoundRun:
    """As it lies there now."""
    (found,) = [other for other in find_runs(run.path.parents[2]).runs if other.path == run.path]
    return found


def test_only_regular_videos_of_the_run_are_taken_into_the_gallery(foreign, tmp_path, caplog):
    names = ["0000.mp4", "0001.mp4", "0002.mp4", "page.html", "../videos/0000.mp4", str(tmp_path / "secret/0001.mp4")]
    linked = link_videos(foreign.evaluations[100], [{"video": name} for name in names], tmp_path / "gallery")
    assert set(linked) == {"0000.mp4"}
    assert [file.name for file in (tmp_path / "gallery").iterdir()] == ["0000.mp4"]
    assert "5 videos are left out of the gallery" in caplog.text
    behind_a_link = link_videos(foreign.evaluations[0], [{"video": "0001.mp4"}], tmp_path / "another")
    assert not behind_a_link and not list((tmp_path / "another").iterdir())


def exemplars(folder: Path, rows: Sequence[tuple[object, str]]) -> None:
    """A `clips.csv` of these paths and checksums."""
    table = "".join(f"exemplar,{path},a sign,{digest}\n" for path, digest in rows)
    (folder / "clips.csv").write_text(f"role,path,caption,sha256\n{table}")


def test_what_is_no_clip_is_not_taken_for_an_exemplar(foreign, tmp_path):
    (tmp_path / "key.pem").write_text("secret")
    (tmp_path / "key.mp4").write_text("secret")
    os.mkfifo(tmp_path / "pipe.mp4")
    write_video(tmp_path / "clip0.mp4", picture(2), fps=12)
    named = [tmp_path / name for name in ("key.pem", "key.mp4", "clip0.mp4")]
    others = [(tmp_path / "pipe.mp4", "0"), (tmp_path / "gone.mp4", "0"), (f"{'x' * 300}.mp4", "0")]
    exemplars(foreign.path, [*((path, fingerprint(path)) for path in named), *others])
    listed = write_exemplars([again(foreign)], tmp_path / "gallery")
    assert {one["name"] for one in listed if one["file"]} == {"clip0.mp4"}
    (file,) = (tmp_path / "gallery").iterdir()
    assert len(read_frames(file)) == 4 and file.stat().st_nlink == 1  # made anew of its frames
    assert "secret" not in json.dumps(listed) and "key.pem" not in json.dumps(listed)


def test_a_clip_of_the_readers_is_shown_only_where_the_run_knows_its_content(foreign, tmp_path, caplog):
    """Else anybody's table could name the reader's own pictures."""
    write_video(tmp_path / "mine.mp4", picture(2), fps=12)
    frames = tmp_path / "photos"
    frames.mkdir()
    Image.new("RGB", (64, 64)).save(frames / "00001.png")
    (foreign.path / "clips.csv").write_text(f"role,path,caption\nexemplar,{tmp_path / 'mine.mp4'},a sign\n")
    assert not again(foreign).exemplars  # a table of an earlier version knows none
    exemplars(foreign.path, [(tmp_path / "mine.mp4", "0" * 64), (frames, "0" * 64), (tmp_path, "0" * 64)])
    assert not again(foreign).exemplars
    assert "clips.csv names 3 clips that are not here as the run had them (mine.mp4)" in caplog.text
    exemplars(foreign.path, [(path, fingerprint(path)) for path in (tmp_path / "mine.mp4", frames)])
    assert again(foreign).exemplars == {"mine.mp4": tmp_path / "mine.mp4", "photos": frames}


@pytest.mark.parametrize("about", [None, "[]", "[" * 100_000, "{"])
def test_weights_that_do_not_say_what_they_are_of_are_passed_over(two, about):
    """A pipe in their place, or something else than an object in their metadata."""
    file = two.root / "lora/swiping_down/seed0/weights/000100.safetensors"
    file.parent.mkdir()
    if about is None:
        os.mkfifo(file)
    else:
        save_file({"x": torch.zeros(1)}, file, metadata={"vmc": about})
    assert all("denoiser" not in run.base for run in find_runs(two.root).runs)


def test_figures_of_a_foreign_run_show_nothing_of_the_readers(foreign, two, tmp_path):
    out = write(Report(found=find_runs(two.root)), tmp_path / "out", two.root, **FIGURES)
    played = list(out.rglob("*.mp4"))
    secret = (tmp_path / "secret" / "0001.mp4").read_bytes()
    assert played and not any(file.read_bytes() == secret for file in played)


def test_a_formula_in_a_text_cell_is_text_and_a_number_a_number():
    text = to_csv([{"arm": '=HYPERLINK("x")', "label": "@sum", "remark": "-2+3", "p": "-0.500000", "step": "+1e3"}])
    (row,) = csv.DictReader(io.StringIO(text))
    assert row == {
        "arm": '\'=HYPERLINK("x")',
        "label": "'@sum",
        "remark": "'-2+3",
        "p": "-0.500000",
        "step": "+1e3",
    }


# --- where nothing can be written or read -----------------------------------------------------------------------------


def test_an_output_that_cannot_be_written_is_a_sentence(entered, two, monkeypatch):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(Path.cwd()) and access(path, mode))
    status, said = entered(report, f"runs={two.root}", "output=out/deep")
    assert status == 1 and "Traceback" not in said
    assert f"output is out/deep, but {Path.cwd()} cannot be written to (permission); choose another folder" in said


def test_a_full_disk_leaves_the_earlier_report(tmp_path):
    with report_folder(tmp_path / "out") as folder:
        (folder / "report.md").write_text("first")
    with (
        pytest.raises(VmcError, match=r"out cannot be written \(No space left.*\); choose another output"),
        report_folder(tmp_path / "out"),
    ):
        raise OSError(28, "No space left on device")
    assert (tmp_path / "out/report.md").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_runs_that_is_shut_is_named(two, monkeypatch):
    """As the walk meets it; a test that runs as root is let in everywhere."""
    scandir, shut = os.scandir, two.root / "lora"

    def refuse(path):
        if Path(path) == shut:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = find_runs(two.root)
    assert [run.arm for run in found.runs] == ["method"]
    ((folder, reason),) = found.damaged
    assert folder == shut and "Permission denied" in reason
