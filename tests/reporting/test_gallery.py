"""The gallery: what it is made of, and how it behaves in a real browser."""

import csv
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import torch

from vmc.data.video import count_frames, write_video
from vmc.reporting.figures.common import BANDS
from vmc.reporting.figures.curves import figure7
from vmc.reporting.gallery import FLAGS, SCRIPTS, link_videos, places, render_page
from vmc.reporting.loaded_runs import Scored
from vmc.reporting.reading import find_runs
from vmc.reporting.report import Report
from vmc.reporting.writing import write_report
from vmc.runs.clips import COLUMNS
from vmc.utils.files import fingerprint

SUBJECTS = ("A man", "A <script>document.title = 'run'</script>", "A robot", "A chef")
SEEDS = (1, 2, 3)
FRAMES = 8
ARMS = ("method", "reg_none", "lora")
FIGURES = {"figure7": figure7}


def film(seed: int, frames: int) -> torch.Tensor:
    """frames_FCHW of large squares, no two frames alike."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (frames, 3, 4, 4), generator=draw, dtype=torch.uint8)
    return coarse.repeat_interleave(16, 2).repeat_interleave(16, 3)


def write(made: Any, scored: Callable[..., Any], folder: Path) -> Path:
    """A report on three arms (one failed, one video missing), twelve prompts, and two motions."""
    clip = made.root.parent / "clip <0>.mp4"
    write_video(clip, film(0, 12), fps=12)
    pool = [made.root.parent / f"{number}.mp4" for number in range(3)]
    for number, file in enumerate(pool):
        write_video(file, film(number + 1, FRAMES), fps=3)
    count = len(SUBJECTS) * len(SEEDS)
    for motion, arms in (("swiping_down", ARMS), ("zooming", ARMS[:1])):
        for place, arm in enumerate(arms):
            evaluations = {
                step: scored(
                    appearance=appearance,
                    correct=[step > 0 and index % (place + 2) == 0 for index in range(count)],
                    copied=[step > 0 and index == 3 for index in range(count)],
                    subjects=SUBJECTS,
                    seeds=SEEDS,
                )
                for step, appearance in ((0, 0.30), (100, 0.24))
            }
            for row in (row for rows in evaluations.values() for row in rows):
                row |= {"nearest_clip": clip.name, "nearest_frame": 5}
            failed = {"status": "failed", "reason": "<b>no</b> memory"} if arm == "lora" else {}
            path = made.run(arm, motion=motion, evaluations=evaluations, **failed)
            with (path / "clips.csv").open("w", newline="") as file:
                csv.writer(file).writerows([COLUMNS, ("exemplar", clip, "a sign", fingerprint(clip))])
            for step in evaluations:
                videos = path / "evaluation" / f"{step:06d}" / "videos"
                videos.mkdir()
                for index in range(count):
                    if (arm, index) != ("reg_none", 1):
                        shutil.copyfile(pool[(index + place) % 3], videos / f"{index:04d}.mp4")
    report = Report(found=find_runs(made.root))
    write_report(report, folder, runs=made.root, figures=FIGURES)
    return folder


@pytest.fixture(scope="module")
def report(lasting, scored, tmp_path_factory) -> Path:
    return write(lasting(), scored, tmp_path_factory.mktemp("gallery") / "report")


@pytest.fixture(scope="module")
def crowded(tmp_path_factory) -> Path:
    """A page of the size of a whole sweep: 13 arms on 300 prompts, all of them one video, and their curves."""
    folder = tmp_path_factory.mktemp("crowded")
    write_video(folder / "one.mp4", film(0, FRAMES), fps=3)
    arms = ["method", *(f"arm{number}" for number in range(1, 13))]
    seeds = [(subject, 1000 * subject - place) for subject in range(100) for place in range(3)]  # no two alike
    column = {
        "detail": "step 100",
        "state": "",
        "folder": ".",
        "threshold": 0.25,
        "cells": [["one.mp4", True, True, False, None, None]] * len(seeds),
    }
    place = {
        "label": "swiping down, training seed 0",
        "notes": [],
        "columns": [column | {"name": arm, "colour": "#332288"} for arm in arms],
        "rows": [[f"Subject {subject}", f"Subject {subject} waves.", seed] for subject, seed in seeds],
        "folder": ".",
        "exemplars": [{"name": "one", "file": "one.mp4", "frames": FRAMES}] * 10,
        "frames": FRAMES,
        "fps": 3.0,
        "aspect": 1.0,
    }
    points = {"accuracy": [[0, 0, 0.0, 0.0, 5.0, True], [100, 400, 50.0, 40.0, 60.0, True]]}
    curve = {"note": "", "dash": "", "points": points, "runs": []}
    curves = [curve | {"arm": arm, "name": arm, "colour": None if arm == "method" else "#332288"} for arm in arms]
    page = render_page(
        "page.html",
        SCRIPTS,
        runs="crowded",
        places=[place],
        common={"fields": [], "flags": list(FLAGS)},
        charts={
            "sets": [{"title": "Figure 7", "arms": curves}],
            "panels": [{"name": "accuracy", "title": "Accuracy, %", "digits": 1, "threshold": None}],
            "bands": BANDS,
        },
        tables=[],
        table_files={},
        figures={},
    )
    (folder / "index.html").write_text(page, encoding="utf-8")
    return folder


def embedded(page: str) -> list[Any]:
    return [json.loads(text) for text in re.findall(r'class="place"[^>]*>(.*?)</script>', page, re.DOTALL)]


# --- without a browser -----------------------------------------------------------------------------------------------


def test_the_page_stands_alone_and_names_files_that_are_there(report):
    page = (report / "index.html").read_text()
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    first, second = embedded(page)
    assert [column["name"] for column in first["columns"]] == [
        "method",
        "no regularization",
        "LoRA",
        "Untuned model (floor)",
    ]
    assert first["columns"][0]["detail"] == "step 100, appearance 0.2400"
    assert first["columns"][2]["state"] == "failed at step 100 of 300: <b>no</b> memory"
    assert (first["frames"], first["fps"], first["aspect"]) == (FRAMES, 3.0, 1.0)
    assert first["label"] == "swiping down, training seed 0" and second["label"] == "zooming, training seed 0"
    named = {
        f"{column['folder']}/{cell[0]}"
        for one in (first, second)
        for column in one["columns"]
        for cell in column["cells"]
        if cell[0]
    }
    there = {file.relative_to(report).as_posix() for file in (report / "videos").rglob("*.mp4")}
    assert named == there and len(there) == 6 * 12 - 1
    assert first["columns"][1]["cells"][1][0] is None
    assert first["exemplars"] == [{"name": "clip <0>.mp4", "file": "0000.mp4", "frames": 12}]
    assert count_frames(report / "exemplars/0/0000.mp4") == 12
    assert "<script>document" not in page and "<b>no" not in page
    listed = json.loads((report / "report.json").read_text())["files"]
    links = re.findall(r'href="((?:tables|figures)/[^"]+)"', page)
    assert sorted(links) == sorted(file for file in listed if file.startswith(("tables/", "figures/")))
    assert "index.html" in listed and there <= set(listed)


def test_videos_are_linked_and_copied_where_that_cannot_be(report, tmp_path, monkeypatch):
    video = report / "videos/0/0/0000.mp4"
    assert video.stat().st_nlink == 2

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "videos").mkdir()
    shutil.copyfile(video, tmp_path / "videos" / "a b.mp4")
    scored = Scored(tmp_path, tmp_path, {"metrics": {}, "videos": 1, "protocol": {}})
    assert link_videos(scored, [{"video": "a b.mp4"}], tmp_path / "gallery") == {"a b.mp4": "video-0.mp4"}
    copy = tmp_path / "gallery" / "video-0.mp4"
    assert copy.stat().st_nlink == 1 and copy.read_bytes() == video.read_bytes()


def test_no_video_takes_the_place_of_another(tmp_path):
    """Videos whose names need quoting, beside some that are called as these would be; all are links."""
    names = ("a b.mp4", "video-0.mp4", "video-1.mp4", "c d.mp4", "video-3.mp4")
    (tmp_path / "videos").mkdir()
    for name in names:
        (tmp_path / "videos" / name).write_text(name)
    scored = Scored(tmp_path, tmp_path, {"metrics": {}, "videos": 5, "protocol": {}})
    linked = link_videos(scored, [{"video": name} for name in names], tmp_path / "gallery")
    assert {name: (tmp_path / "gallery" / file).read_text() for name, file in linked.items()} == {n: n for n in names}
    assert [(tmp_path / "videos" / name).read_text() for name in names] == list(names)


@pytest.mark.parametrize(("protocol", "expected"), [({}, 0.25), ({"copying": {"threshold": 0}}, 0.0)])
def test_a_copy_threshold_of_zero_is_one(tmp_path, protocol, expected):
    scored = Scored(tmp_path, tmp_path, {"metrics": {}, "videos": 1, "protocol": protocol})
    assert scored.copy_threshold == expected


def test_a_video_outside_its_folder_is_not_taken(made_up, scored, tmp_path):
    rows = scored(appearance=0.24, correct=(1,) * 4)
    rows[0]["video"] = "../../secret.mp4"
    path = made_up.run(evaluations={100: rows})
    write_video(path / "evaluation" / "secret.mp4", film(0, 2), fps=3)
    found = Report(found=find_runs(made_up.root))
    write_report(found, tmp_path / "out", runs=made_up.root, figures={})
    assert not list((tmp_path / "out" / "videos").rglob("*.mp4"))


def test_a_run_without_an_evaluation_is_said(made_up, scored):
    made_up.run(
        evaluations={0: scored(appearance=0.30, correct=(0,) * 4), 100: scored(appearance=0.24, correct=(1,) * 4)}
    )
    made_up.run("lora", evaluations={}, status="stopped", reason="signal", step=7)
    found = Report(found=find_runs(made_up.root))
    (place,) = places(found.results, found.found.controls)
    assert [column.arm for column in place.columns] == ["method", "floor"]
    assert place.notes == ["LoRA, nothing to show: half-finished, stopped at step 7 of 300"]


def test_a_page_without_anything_is_a_page():
    page = render_page(
        "page.html",
        SCRIPTS,
        runs="a & b",
        places=[],
        common={"fields": [], "flags": []},
        charts={"sets": [], "panels": [], "bands": BANDS},
        tables=[],
        table_files={},
        figures={},
    )
    assert "Report on a &amp; b" in page and "nothing yet to draw" in page


# --- in a browser ----------------------------------------------------------------------------------------------------


class Shown:
    """The gallery in a page of the browser, with all that it complained of and asked for."""

    def __init__(self, browser: Any, report: Path, **options: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1300, "height": 900}} | options))
        self.page = self.context.new_page()
        self.report = report
        self.said, self.asked = list[str](), list[str]()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto((report / "index.html").as_uri())

    def until(self, expression: str, seconds: float = 20) -> Any:
        """What an expression gives as soon as it gives something; the page allows no evaluation within itself."""
        end = time.monotonic() + seconds
        while not (value := self.page.evaluate(expression)):
            assert time.monotonic() < end, f"never true: {expression}"
            self.page.wait_for_timeout(50)
        return value

    def rows(self) -> list[str]:
        return self.page.locator(".row:visible .prompt p").all_text_contents()

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def check(self) -> None:
        """Nothing was complained of, and nothing outside the folder was asked for."""
        outside = [url for url in self.asked if not url.startswith((self.report.as_uri() + "/", "data:"))]
        assert self.said == [] and outside == []
        assert {urlparse(url).scheme for url in self.asked} <= {"file", "data"}


@pytest.fixture
def shown(browser, report) -> Iterator[Shown]:
    found = Shown(browser, report)
    yield found
    found.check()
    found.context.close()


LOADED = "[...document.querySelectorAll('.row video[src]')].filter(video => video.readyState >= 2)"
browsed = pytest.mark.browser


@browsed
def test_videos_play_in_step(shown):
    assert shown.until(f"{LOADED}.length > 8 && {LOADED}.every(video => !video.paused)")
    before = shown.page.evaluate(f"{LOADED}[0].currentTime")
    assert shown.until(f"Math.abs({LOADED}[0].currentTime - {before}) > 0.3")
    # On a circle, as all of them start over; the exemplar has another length and keeps the same part of it.
    ready = "[...document.querySelectorAll('video[src]')].filter(video => video.readyState >= 2)"
    parts = f"{ready}.map(video => video.currentTime / video.duration)"
    assert shown.until(f"{parts}.every((part, _, all) => Math.abs(((part - all[0] + 1.5) % 1) - 0.5) < 0.1)")
    shown.page.keyboard.press(" ")
    assert shown.until(f"{LOADED}.every(video => video.paused)")


@browsed
def test_one_slider_and_the_arrows_move_all_videos(shown):
    shown.until(f"{LOADED}.length > 8")
    shown.page.locator("#scrub").fill("5")
    at = "{0}.every(video => Math.abs(video.currentTime - {1} / 3) < 0.02 && video.paused && !video.seeking)"
    shown.until(at.format(LOADED, 5.5))
    assert shown.text("#frame") == "frame 6 of 8"
    shown.page.locator("#stage").focus()
    shown.page.keyboard.press("ArrowRight")
    shown.until(at.format(LOADED, 6.5))
    for _ in range(2):
        shown.page.keyboard.press("ArrowLeft")
    shown.until(at.format(LOADED, 4.5))
    shown.page.keyboard.press(" ")
    shown.until(f"{LOADED}.some(video => !video.paused)")


@browsed
def test_filters_leave_what_passes(shown):
    page = shown.page
    assert shown.text("#head .corner") == "12 prompts"
    page.keyboard.press("/")
    page.keyboard.type("ROBOT")
    shown.until("document.querySelector('#head .corner').textContent === '3 of 12 prompts'")
    page.locator(".row:visible .prompt p").nth(2).wait_for()
    assert set(shown.rows()) == {"A robot doing the sks sign."}
    assert page.locator("#seed option").all_text_contents() == ["all seeds", "first seed", "second seed", "third seed"]
    page.locator("#seed").select_option("second seed")
    shown.until("document.querySelector('#head .corner').textContent === '1 of 12 prompts'")
    page.keyboard.press("Escape")  # leaves the field, then clears the filters
    page.keyboard.press("Escape")
    shown.until("document.querySelector('#head .corner').textContent === '12 prompts'")
    page.locator("#copied").select_option("yes")
    shown.until("document.querySelector('#head .corner').textContent === '1 of 12 prompts'")
    page.locator(".row:visible .cell:not(.dim)").nth(2).wait_for()
    assert page.locator(".row:visible .cell:not(.dim)").count() == 3  # the untuned model did not copy
    assert page.locator(".row:visible .cell.dim").count() == 1
    page.locator("#copied").select_option("")
    page.locator("#verdict").select_option("right")
    page.locator("#within").select_option(label="in no regularization")
    shown.until("document.querySelector('#head .corner').textContent === '4 of 12 prompts'")
    page.locator("#seed").select_option("third seed")
    page.locator("#verdict").select_option("wrong")
    page.locator("#within").select_option(label="in Untuned model (floor)")
    shown.until("document.querySelector('#head .corner').textContent === '4 of 12 prompts'")
    page.locator("#subject").fill("nobody")
    shown.until("!document.getElementById('nothing').hidden")
    page.locator("#clear").click()
    shown.until("document.querySelector('#head .corner').textContent === '12 prompts'")
    page.locator(".row:visible .prompt p").nth(3).wait_for()
    page.locator("#arms summary").click()
    page.locator("#arms label", has_text="LoRA").click()
    assert page.locator("#head strong").all_text_contents() == ["method", "no regularization", "Untuned model (floor)"]
    page.locator("#place").select_option(label="zooming, training seed 0")
    assert page.locator("#head strong").all_text_contents() == ["method", "Untuned model (floor)"]
    shown.until(f"{LOADED}.length > 4")


@browsed
def test_markup_in_prompts_and_reasons_is_shown_as_text(shown):
    text = "A <script>document.title = 'run'</script> doing the sks sign."
    shown.page.locator("#subject").fill("<script>")
    shown.until("document.querySelector('#head .corner').textContent === '3 of 12 prompts'")
    shown.page.locator(".row:visible .prompt p").nth(2).wait_for()
    assert shown.rows() == [text] * 3
    shown.page.locator(".row:visible .cell").nth(2).click()
    assert shown.text("#asked") == text and "<b>no</b> memory" in shown.text("#whose")
    shown.page.keyboard.press("Escape")
    shown.page.keyboard.press("3")
    assert "<b>no</b> memory" in shown.text("#tables")
    assert shown.page.title().startswith("Report on ")


@browsed
def test_a_click_shows_scores_and_the_nearest_exemplar(shown):
    page = shown.page
    page.locator(".row .cell").first.click()
    assert page.locator("#detail").is_visible()
    assert shown.text("#asked") == "A man doing the sks sign."
    assert "Classified as\nSwiping Down" in shown.text("#scores") and "0.2400" in shown.text("#scores")
    assert shown.text("#nearest-says") == "Nearest exemplar: frame 6 of clip clip <0>.mp4"  # scores count from 0
    assert "more similar than 0.2500 to the first frame of an exemplar" in shown.text("#copying")
    shown.until(
        "(v => v.readyState >= 2 && Math.abs(v.currentTime - 5.5 / 12) < 0.01)(document.getElementById('nearest'))"
    )
    shown.until("(v => v.readyState >= 2 && !v.paused)(document.getElementById('made'))")
    page.keyboard.press("ArrowDown")
    assert "seed 2" in shown.text("#whose")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    assert not page.locator("#detail").is_visible()
    page.locator(".row .cell").nth(5).click()
    assert shown.text("#made-says") == "The video is missing."
    page.keyboard.press("Escape")


@browsed
def test_curves_can_be_looked_into(shown):
    page = shown.page
    page.keyboard.press("2")
    assert page.locator(".panel h2").all_text_contents() == ["Accuracy, %", "Appearance", "Copies, %"]
    assert page.locator(".panel").nth(1).locator(".mean").count() == 3
    page.locator(".panel").nth(1).locator(".arm[data-arm=reg_none] .point").last.hover(force=True)  # below another's
    shown.until("!document.getElementById('tip').hidden")
    assert "Appearance: 0.2400" in shown.text("#tip") and "step 100, 400 exemplar updates" in shown.text("#tip")
    page.locator("#legend button", has_text="LoRA").click()
    assert page.locator(".panel").nth(1).locator(".mean").count() == 2
    page.locator("#axis").select_option("1")
    assert page.locator(".panel text", has_text="exemplar updates").count() == 3
    page.locator("[data-tab=videos]").click()
    page.keyboard.press(" ")  # the tab's button does not keep it
    shown.until("document.getElementById('play').getAttribute('aria-pressed') === 'false'")
    page.keyboard.press("4")
    assert page.locator("figure img").first.evaluate("image => image.decode().then(() => image.naturalWidth > 0)")


@browsed
def test_light_dark_and_a_phone(browser, report):
    phone = Shown(browser, report, viewport={"width": 390, "height": 844}, color_scheme="dark", reduced_motion="reduce")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = phone.page.evaluate(ground)
    phone.until(f"{LOADED}.length > 2")
    assert phone.page.evaluate(f"{LOADED}.every(video => video.paused)")  # whoever wants less motion starts it
    for tab in ("videos", "curves", "tables", "figures"):
        phone.page.locator(f"[data-tab={tab}]").click()
        assert phone.page.evaluate("document.documentElement.scrollWidth") == 390
    assert phone.page.locator("figure img").first.bounding_box()["width"] >= 760  # is scrolled, so that it can be read
    phone.page.locator("#theme").click()
    light = phone.page.evaluate(ground)
    assert max(map(int, re.findall(r"\d+", dark))) < 60 and min(map(int, re.findall(r"\d+", light))) > 200
    phone.page.reload()
    assert phone.page.evaluate(ground) == light  # remembered
    phone.check()
    phone.context.close()


@browsed
def test_of_many_arms_the_band_of_the_method_and_of_one_more_is_shown(browser, crowded):
    many = Shown(browser, crowded)
    page, bands = many.page, many.page.locator("#panels .band:visible")
    page.keyboard.press("2")
    assert bands.count() == 1 and page.locator("#panels .method .band").is_visible()
    page.locator("#legend button", has_text="arm7").hover()
    assert bands.count() == 2 and page.locator("#panels [data-arm=arm7] .band").is_visible()
    page.locator("#panels h2").hover()
    assert bands.count() == 1
    page.locator("#legend button").first.focus()
    page.keyboard.press("Tab")  # the keyboard shows it too
    assert page.locator("#panels [data-arm=arm1] .band").is_visible()
    last = "[...document.querySelectorAll('#panels .arm')].at(-1).dataset.arm"
    assert page.evaluate(last) == "method"  # on top of the others
    for number in range(BANDS, 13):
        page.locator("#legend button").nth(number).click()
    page.locator("#panels h2").hover()
    assert bands.count() == BANDS
    many.check()
    many.context.close()


SEEN = """[...document.querySelectorAll('.row video')].filter(video => {
    const box = video.getBoundingClientRect(), stage = document.getElementById('stage').getBoundingClientRect();
    return box.height && box.bottom > stage.top && box.top < stage.bottom && box.left < stage.right;
})"""


@browsed
@pytest.mark.parametrize("made", ["report", "crowded"])
def test_only_what_can_be_seen_is_open(browser, made, request):
    small = Shown(browser, request.getfixturevalue(made), viewport={"width": 700, "height": 500})
    rows = small.page.locator(".row")
    last = rows.count() - 1
    assert last == {"report": 11, "crowded": 299}[made]

    def few_are_open() -> None:
        small.until(f"{SEEN}.length > 2 && {SEEN}.every(video => video.readyState >= 2)")
        assert small.page.locator("video[src]").count() < 30

    few_are_open()
    small.page.evaluate("document.getElementById('stage').scrollTop = 1e6")
    few_are_open()
    small.until(f"{SEEN}.at(-1).closest('.row').dataset.row === '{last}'")
    small.until(f"document.querySelectorAll('.row')[{last - 11}].childElementCount === 0")
    small.until("document.querySelectorAll('#exemplars video[src]').length === 0")
    small.page.locator("#stage").focus()
    for _ in range(12):
        small.page.keyboard.press("ArrowUp")
    small.until(f"document.querySelectorAll('.row')[{last - 11}].childElementCount > 0")
    few_are_open()
    small.page.evaluate("document.getElementById('stage').scrollTop = 1e6")
    small.page.locator("#seed").select_option("third seed")
    assert small.text("#head .corner") == f"{(last + 1) // 3} of {last + 1} prompts"
    few_are_open()
    small.check()
    small.context.close()
