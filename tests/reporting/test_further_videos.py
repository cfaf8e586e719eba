"""Applications in the gallery: merged runs, suites, stills of a subject, a motion without a classifier, one arm."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from vmc.data.prompts import Prompt
from vmc.data.video import write_video
from vmc.evaluation.generation import note_videos
from vmc.reporting.gallery import further_places
from vmc.reporting.reading import find_runs
from vmc.reporting.report import Report
from vmc.reporting.writing import write_report
from vmc.runs.clips import COLUMNS
from vmc.utils.files import fingerprint

SUITES = ("people", "people", "timing", "views")


def film(seed: int) -> torch.Tensor:
    """frames_FCHW of large squares, no two frames alike."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (8, 3, 4, 4), generator=draw, dtype=torch.uint8)
    return coarse.repeat_interleave(16, 2).repeat_interleave(16, 3)


def fill(folder: Path, count: int = 4) -> None:
    """The videos of an evaluation."""
    for number in range(count):
        write_video(folder / "videos" / f"{number:04d}.mp4", film(number), fps=3)


@pytest.fixture
def found(made_up, scored, tmp_path) -> Path:
    """One arm of a motion that no classifier knows, with a subject's still and all that was made of it besides."""
    own = scored(appearance=0.24, correct=(1,) * 4)
    for row, suite in zip(own, SUITES, strict=True):
        row |= {"motion_correct": None, "motion_probability": None, "predicted": None, "subject": None, "suite": suite}
    path = made_up.run(motion="dab", evaluations={100: own}, threshold=None)
    fill(path / "evaluation/000100")
    clip, still = tmp_path / "clip.mp4", tmp_path / "her.png"
    write_video(clip, film(9), fps=12)
    Image.new("RGB", (90, 70), "teal").save(still)
    with (path / "clips.csv").open("w", newline="") as file:
        rows = [(role, clip, "", fingerprint(clip)) for role, clip in (("exemplar", clip), ("subject", still))]
        csv.writer(file).writerows([COLUMNS, *rows])
    for place in (
        "evaluation/000100-applications",
        "../../../merged/dab/dab@1+her@0.6/000100",
        "../../../theirs-scores",
    ):
        folder = path / place
        made_up.evaluation(folder, own[1:3], protocol=made_up.protocol("dab", 0))
        if "theirs" not in place:
            fill(folder, 3)
    for number in (1, 2):
        write_video(path / "../../../theirs" / f"{number:04d}.mp4", film(number), fps=3)
    made_up.evaluation(path / "evaluation/000100-known", own, protocol=made_up.protocol("dab", 0))
    prompts = [Prompt(text="A robot dabs.", seed=3, subject="A robot"), Prompt(text="A chef dabs.", seed=4)]
    files = [path / "videos/000100" / f"{number}.mp4" for number in range(2)]
    for number, file in enumerate(files):
        write_video(file, film(number), fps=3)
    note_videos(files[0].parent, prompts, files)
    return made_up.root


@pytest.fixture
def written(found, tmp_path) -> Path:
    report = Report(found=find_runs(found))
    write_report(report, tmp_path / "out", runs=found, figures={})
    return tmp_path / "out"


def embedded(folder: Path) -> list[Any]:
    page = (folder / "index.html").read_text()
    return [json.loads(text) for text in re.findall(r'class="place"[^>]*>(.*?)</script>', page, re.DOTALL)]


def test_the_gallery_shows_what_stands_in_no_table(written):
    first, *others = embedded(written)
    assert first["label"] == "dab, training seed 0" and first["suites"] == list(SUITES)
    assert [one["name"] for one in first["exemplars"]] == ["clip.mp4", "still: her.png"]
    assert [one["frames"] for one in first["exemplars"]] == [8, 1]
    scored, generated = others
    assert scored["label"] == "further videos: dab"
    assert [(column["name"], column["detail"]) for column in scored["columns"]] == [
        ("dab@1+her@0.6", "merged/dab/dab@1+her@0.6/000100"),
        ("method", "seed 0, evaluation/000100-applications"),
        ("theirs-scores", "theirs-scores"),
    ]
    assert generated["rows"] == [["A robot", "A robot dabs.", 3], ["A chef dabs.", "A chef dabs.", 4]]
    assert generated["columns"][0]["detail"] == "seed 0, videos/000100" and generated["suites"] == []
    for place in (first, scored, generated):
        for column in place["columns"]:
            for cell in column["cells"]:
                assert (written / column["folder"] / cell[0]).is_file()


def test_a_table_of_generated_videos_grows_and_names_what_is_there(tmp_path):
    files = [tmp_path / f"{number}.mp4" for number in range(3)]
    for file in files[:2]:
        file.touch()
    prompts = [Prompt(text="A, b", seed=1, subject="A"), Prompt(text="C", seed=2), Prompt(text="gone", seed=3)]
    note_videos(tmp_path, prompts[:1], files[:1])
    note_videos(tmp_path, prompts[1:], files[1:])
    rows = list(csv.DictReader((tmp_path / "videos.csv").open()))
    assert [(row["video"], row["prompt"], row["subject"], row["seed"]) for row in rows] == [
        ("0.mp4", "A, b", "A", "1"),
        ("1.mp4", "C", "", "2"),
    ]


def test_tables_of_videos_that_do_not_read_are_left_out(found, tmp_path):
    table = next(found.rglob("videos.csv"))
    for content in ("video\n0.mp4\n", "video,prompt,seed\n0.mp4,A,x\n", 'video,prompt\n"0.mp4,A\n'):
        table.write_text(content)
        labels = [one.name for one in find_runs(found).further]
        assert "method/dab/seed0/videos/000100" not in labels and len(labels) == 3
    table.write_text("video,prompt\n../../secret.mp4,A\n")
    write_report(Report(found=find_runs(found)), tmp_path / "out", runs=found, figures={})
    *_, generated = embedded(tmp_path / "out")
    assert generated["columns"][0]["cells"][0][0] is None


@pytest.mark.browser
def test_suites_are_a_filter_and_what_was_not_measured_is_none(browser, written):
    page = browser.new_page()
    said = list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((written / "index.html").as_uri())
    options = page.locator("#suite option").all_text_contents()
    assert options == ["all suites", "people", "timing", "views"]
    page.locator("#suite").select_option("people")
    page.wait_for_timeout(300)
    assert page.locator("#head .corner").inner_text() == "2 of 4 prompts"
    assert page.locator(".row:visible .prompt small").all_text_contents() == ["seed 1 · people"] * 2
    for name in ("verdict", "copied", "within", "arms"):
        assert not page.locator(f"#{name}").is_visible()
    page.locator("#clear").click()
    assert page.locator("#head .corner").inner_text() == "4 prompts"
    assert page.locator("#exemplars video").count() == 2
    page.locator("#place").select_option(label="further videos: dab")
    assert page.locator("#within").is_visible() and page.locator("#suite").is_visible()
    page.locator("#place").select_option(index=2)
    assert not page.locator("#suite").is_visible()
    page.locator(".row .cell").first.click()
    assert page.locator("#asked").inner_text() == "A robot dabs." and page.locator("#marks").inner_text() == ""
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator("#more").click()
    page.locator("#place").select_option(index=0)
    page.locator(".row .prompt p").first.wait_for()
    assert page.locator(".row .prompt p").first.bounding_box()["width"] > 200  # one arm's width is no prompt's
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert said == []
    page.close()


def test_motions_with_a_test_set_of_their_own_stand_in_the_gallery_and_in_no_table(made_up, scored, tmp_path, caplog):
    """Beside the motions of the tables, each with its own exemplars, which may all have one name."""
    evaluations = {100: scored(appearance=0.24, correct=(1,) * 4)}
    made_up.run("method", evaluations=evaluations)
    classes = {"metrics": {"classifier": {"labels": {"_target_": "names"}}}}
    for motion, config in (("dab", classes), ("air_quotes", classes), ("turn", {"prompts": {"file": "objects.csv"}})):
        path = made_up.run("method", motion=motion, evaluations=evaluations, threshold=None, config=config)
        clips = [tmp_path / motion / number / "images.mp4" for number in "12"]
        for clip in clips:
            write_video(clip, film(9), fps=12)
        with (path / "clips.csv").open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *(("exemplar", clip, "", fingerprint(clip)) for clip in clips)])
    found = find_runs(made_up.root)
    assert {run.motion for run in found.runs} == {"swiping_down"}
    assert all(f"the motion {motion} brings a test set" in caplog.text for motion in ("dab", "air_quotes", "turn"))
    shown = further_places(found.further)
    assert sorted(place.label for place in shown) == [f"further videos: {one}" for one in ("air quotes", "dab", "turn")]
    assert all(set(place.runs[0].exemplars) == {"1", "2"} for place in shown)
    assert len(Report(found=found).runs) == 1


def test_a_control_of_classes_of_its_own_without_a_run_is_told_and_stands_in_no_table(made_up, scored, caplog):
    evaluations = {100: scored(appearance=0.24, correct=(1,) * 4)}
    made_up.run("method", evaluations=evaluations)
    classes = made_up.protocol("dab", 0) | {"motion": {"classifier": {"sha256": "more classes"}, "target": "Dab"}}
    made_up.evaluation(made_up.root / "base" / "dab" / "real", evaluations[100], protocol=classes)
    made_up.evaluation(
        made_up.root / "base" / "shaking_hand" / "real",
        evaluations[100],
        protocol=made_up.protocol("shaking_hand", 0),
    )
    found = find_runs(made_up.root)
    assert [control.motion for control in found.controls] == ["shaking_hand"]
    assert "base/dab/real: the motion dab brings classes of its own and has no run here" in caplog.text
    assert len(Report(found=found).runs) == 1
