"""The user study: its page in a real browser, its key, what is read back, and the table of what was chosen."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vmc.data.video import count_frames, write_video
from vmc.metrics.statistics import crossed_interval, no_hit_bound
from vmc.report import main as report
from vmc.reporting.choice_answers import ANSWER_COLUMNS, agreement, choice_table, read_answers, read_key
from vmc.reporting.choice_page import FOLDER, KEY, PAGE, find_page, opaque_name
from vmc.reporting.reading import find_runs
from vmc.reporting.report import Report
from vmc.reporting.writing import write_report
from vmc.runs.clips import COLUMNS
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint
from vmc.utils.tables import to_latex

SUBJECTS = ("A man", "A <b>woman</b>", "A robot")
MOTIONS = ("swiping_down", "zooming")
ARMS = ("method", "tune_a_video")
PAIRS = len(SUBJECTS) * len(MOTIONS)
QUICK = tuple(f"figures.{name}=null" for name in ("figure3_strips", "figure7", "figure8_copies", "timesteps"))


def film(seed: int) -> torch.Tensor:
    """frames_FCHW of large squares, no two frames alike."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (8, 3, 4, 4), generator=draw, dtype=torch.uint8)
    return coarse.repeat_interleave(16, 2).repeat_interleave(16, 3)


def at_last(scored: Callable[..., Any]) -> dict[int, Any]:
    """Evaluations, the last of which is below the threshold."""
    looks = {0: 0.30, 100: 0.24}
    return {step: scored(appearance=look, correct=(1,) * 3, subjects=SUBJECTS) for step, look in looks.items()}


@pytest.fixture(scope="module")
def runs(lasting, scored) -> Path:
    """Two arms of two motions with all videos, no two alike, and a third arm without any."""
    made = lasting()
    clip = made.root.parent / "clip.mp4"
    write_video(clip, film(0), fps=12)
    for number, (motion, arm) in enumerate((motion, arm) for motion in MOTIONS for arm in ARMS):
        evaluations = at_last(scored)
        token = {"token": {"word": "sks"}}
        path = made.run(arm, motion=motion, evaluations=evaluations, config=token)
        with (path / "clips.csv").open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, ("exemplar", clip, "a sign", fingerprint(clip))])
        for index in range(len(SUBJECTS)):
            write_video(path / f"evaluation/000100/videos/{index:04d}.mp4", film(10 * number + index + 1), fps=3)
    made.run("lora", evaluations=at_last(scored))
    return made.root


@pytest.fixture(scope="module")
def first_pages(runs, tmp_path_factory) -> Callable[..., Path]:
    """The report with the page of these questions and settings, made once."""
    made: dict[str, Path] = {}

    def first(**settings: Any) -> Path:
        if (name := str(settings)) not in made:
            made[name] = write_page(runs, tmp_path_factory.mktemp("page") / "out", **settings)
        return made[name]

    return first


def write_page(runs: Path, folder: Path, *, questions: Any = ("motion",), pairs: int | None = None) -> Path:
    """A report with the page of both arms."""
    found = Report(found=find_runs(runs))
    words = {
        "motion": "In which video does the person do the motion better?",
        "text": "Which video shows the text better?",
    }
    page = find_page(found, arms=[*ARMS], questions=[*questions], words=words, pairs=pairs, named=True)
    write_report(found, folder, runs=runs, figures={}, study=page)
    return folder


@pytest.fixture
def asked(first_pages, runs, tmp_path) -> Callable[..., Path]:
    """A report with such a page in the test's own folder; a second one replaces it."""

    def write(**settings: Any) -> Path:
        folder = tmp_path / "out"
        if folder.exists():
            return write_page(runs, folder, **settings)
        return Path(shutil.copytree(first_pages(**settings), folder))

    return write


def study(folder: Path) -> dict[str, Any]:
    """What the page knows."""
    page = (folder / FOLDER / PAGE).read_text(encoding="utf-8")
    return json.loads(re.findall(r'id="study">(.*?)</script>', page, re.DOTALL)[0])


def export(file: Path, folder: Path, chosen: Mapping[str, Mapping[int, str]], *, question: str = "motion") -> Path:
    """A CSV as the page saves it: by rater the arm that was chosen of the pairs of these places."""
    key = read_key(folder / KEY)
    arm_of = {row["video"]: row["arm"] for row in key}
    pairs = study(folder)["pairs"]
    rows = []
    for rater, choices in chosen.items():
        for place, arm in choices.items():
            left, right = pairs[place]["videos"]
            taken = next(video for video in (left, right) if arm_of[video] == arm)
            rows.append([study(folder)["page"], rater, "", question, pairs[place]["id"], left, right, taken, "2.50"])
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([ANSWER_COLUMNS, *rows])
    return file


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_and_its_folder_do_not_tell_the_arms(asked):
    folder = asked(questions=("motion", "text"))
    page = (folder / FOLDER / PAGE).read_text(encoding="utf-8")
    for word in (*ARMS, "seed0", "swiping_down", "/runs/"):
        assert word not in json.dumps(study(folder))  # the style of all pages speaks of a method
    known = study(folder)
    computed = {opaque_name(pair["id"], arm) for pair in known["pairs"] for arm in ARMS}
    assert not computed & {video for pair in known["pairs"] for video in pair["videos"]}
    key = read_key(folder / KEY)
    files = sorted((folder / FOLDER / "videos").iterdir())
    assert len(known["pairs"]) == PAIRS and len(files) == 2 * PAIRS == len(key)
    assert {file.stem for file in files} == {row["video"] for row in key}
    assert len({file.stat().st_mtime for file in files}) == 1
    # Neither by their order, which is that of names in which one arm comes first as often as the other.
    first = sum(opaque_name(str(pair), ARMS[0]) < opaque_name(str(pair), ARMS[1]) for pair in range(1000))
    assert 450 < first < 550
    assert [pair["id"] for pair in known["pairs"]] == sorted(pair["id"] for pair in known["pairs"])
    assert all(list(pair["videos"]) == sorted(pair["videos"]) for pair in known["pairs"])
    # Nothing outside the folder is named, and what is named is there.
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    named = {file for pair in known["pairs"] for file in (pair["example"], *pair["videos"].values())}
    assert named == {file.relative_to(folder / FOLDER).as_posix() for file in (folder / FOLDER).rglob("*.mp4")}
    assert count_frames(folder / FOLDER / known["pairs"][0]["example"]) == 8
    assert "A <b>woman</b> doing the “Swiping Down” sign." in {pair["text"] for pair in known["pairs"]}
    assert [one["id"] for one in known["questions"]] == ["motion", "text"]


def test_the_key_leads_to_the_videos(asked):
    folder = asked()
    for row in read_key(folder / KEY):
        source = Path(row["source"])
        assert source.read_bytes() == (folder / FOLDER / "videos" / f"{row['video']}.mp4").read_bytes()
        assert source.parts[-7:-5] == (row["arm"], row["motion"]) and row["step"] == "100"


def test_the_same_command_gives_the_same_page_and_an_earlier_key_stays(asked):
    folder = asked()
    first = study(folder)
    whole = read_key(folder / KEY)
    assert study(asked()) == first and read_key(folder / KEY) == whole
    other = study(asked(pairs=4, questions=("text",)))
    assert other["page"] != first["page"] and len(other["pairs"]) == 4
    key = read_key(folder / KEY)
    assert [row for row in key if row["page"] == first["page"]] == whole
    assert len(key) == len(whole) + 8
    motions = [row["motion"] for row in key if row["page"] == other["page"]]
    assert sorted(motions) == ["swiping_down"] * 4 + ["zooming"] * 4  # evenly


def test_a_report_without_a_study_keeps_the_earlier_page(entered, runs, tmp_path):
    status, said = entered(
        report, f"runs={runs}", f"output={tmp_path}/out", "choice.arms=[tune_a_video,method]", *QUICK
    )
    folder = tmp_path / "out"
    assert status == 0 and f"{folder}/choice/choice.html: {PAIRS} pairs of method and Tune-A-Video" in said
    page, key = (folder / FOLDER / PAGE).read_bytes(), (folder / KEY).read_bytes()
    status, said = entered(report, f"runs={runs}", f"output={folder}", *QUICK)
    assert status == 0, said
    assert (folder / FOLDER / PAGE).read_bytes() == page and (folder / KEY).read_bytes() == key
    assert len(list((folder / FOLDER / "videos").iterdir())) == 2 * PAIRS
    assert not (folder / "tables/choice.csv").exists()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["choice.arms=[method]"], "choice.arms is ['method']; give two arms"),
        (["choice.arms=[method,method]"], "give two arms"),
        (
            ["choice.arms=[method,dreambooth]"],
            "names dreambooth, of which no finished run is evaluated; there are method, ",
        ),
        (["choice.arms=[method,lora]"], "have no video of one motion, seed and prompt in common"),
        (["choice.questions=[style]"], "choice.questions is ['style']; give [motion], [text] or [motion,text]"),
        (["choice.motion="], "choice.motion is empty, but choice.questions asks it"),
        (["choice.pairs=0"], "choice.pairs is 0; it must be a whole number of 1 or more"),
    ],
)
def test_a_page_that_cannot_be_is_refused(entered, runs, tmp_path, settings, sentence):
    status, said = entered(
        report, f"runs={runs}", f"output={tmp_path}/out", "choice.arms=[method,tune_a_video]", *settings
    )
    assert status == 1 and sentence in said
    assert not (tmp_path / "out").exists()


def test_without_an_exemplar_the_motion_is_not_asked_about(entered, runs, tmp_path):
    shutil.copytree(runs, tmp_path / "runs")
    for file in (tmp_path / "runs").rglob("clips.csv"):
        file.unlink()
    command = (f"runs={tmp_path}/runs", f"output={tmp_path}/out", "choice.arms=[method,tune_a_video]", *QUICK)
    status, said = entered(report, *command)
    assert status == 1 and "asks about the motion, but no exemplar of" in said and not (tmp_path / "out").exists()
    status, said = entered(report, *command, "choice.questions=[text]")
    assert status == 0, said


# --- what comes back -------------------------------------------------------------------------------------------------


def test_answers_become_a_table(asked, tmp_path, entered, runs):
    folder = asked()
    a = export(tmp_path / "a.csv", folder, {"ann": dict.fromkeys(range(6), "method")})
    b = export(tmp_path / "b.csv", folder, {"bob": {0: "method", 1: "tune_a_video", 2: "method", 3: "tune_a_video"}})
    status, said = entered(report, f"runs={runs}", f"output={folder}", f"choice.answers=[{a},{b}]", *QUICK)
    assert status == 0, said
    assert "User study" in said
    table = list(csv.DictReader((folder / "tables/choice.csv").open()))
    assert [row["motion"] for row in table] == ["all", *MOTIONS]
    whole = table[0]
    assert (whole["arm"], whole["other"], whole["chosen"], whole["other_chosen"]) == (*ARMS, "0.800000", "0.200000")
    assert (whole["raters"], whole["answers"], whole["not_answered"], whole["pairs_of_several"]) == (
        "2",
        "10",
        "2",
        "4",
    )
    assert 0 <= float(whole["chosen_low"]) < 0.8 < float(whole["chosen_high"]) <= 1
    assert (
        sum(int(row["answers"]) for row in table[1:]) == 10 and sum(int(row["not_answered"]) for row in table[1:]) == 2
    )
    text = (folder / "report.md").read_text()
    assert "80.0 (" in text and "10 of 12" in text and "choice/choice.html" in text
    assert "choice.svg" in text and (folder / "figures/choice.png").is_file()
    assert "tab:choice" in (folder / "tables/choice.tex").read_text()
    assert "50 % is no preference" in (folder / "tables/choice.md").read_text()
    assert "User study: which of two videos people chose" in (folder / "index.html").read_text()


def test_answers_are_found_in_a_folder_and_by_a_key_elsewhere(asked, tmp_path, entered, runs):
    folder = asked(questions=("text",))
    (tmp_path / "came").mkdir()
    for rater in ("ann", "bob"):
        export(tmp_path / "came" / f"{rater}.csv", folder, {rater: {0: "method"}}, question="text")
    command = [f"runs={runs}", f"output={tmp_path}/second", f"choice.answers={tmp_path}/came", *QUICK]
    status, said = entered(report, *command)
    assert status == 1 and "second/choice_key.csv does not read" in said
    status, said = entered(report, *command, f"choice.key={folder / KEY}")
    assert status == 0, said
    (row,) = csv.DictReader((tmp_path / "second/tables/choice.csv").open())
    assert (row["question"], row["chosen"], row["answers"], row["raters"]) == ("text", "1.000000", "2", "2")


FAULTS = {
    "page": ("nowhere", "is of page 'nowhere', which"),
    "pair": ("nothing", "has pair 'nothing', which"),
    "rater": ("", "has '' as rater, which cannot be"),
    "question": ("text", "has 'text' as question, which cannot be"),
    "left": ("x", "has 'x' as left, which cannot be"),
    "right": ("x", "has 'x' as right, which cannot be"),
    "chosen": ("x", "has 'x' as chosen, which cannot be"),
    "seconds": ("-1", "has '-1' as seconds, which cannot be"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_answer_that_cannot_be_is_named(answered, name):
    file, key, source = answered
    value, sentence = FAULTS[name]
    rows = list(csv.DictReader(file.open()))
    rows[1][name] = value
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ANSWER_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(VmcError) as refused:
        read_answers([file], key, source=source)
    assert sentence in str(refused.value) and f"{file}, line 3" in str(refused.value)


@pytest.fixture
def answered(asked, tmp_path) -> tuple[Path, list[dict[str, str]], Path]:
    """A file of answers, the key and where it lies."""
    folder = asked()
    file = export(tmp_path / "a.csv", folder, {"ann": {0: "method", 1: "tune_a_video"}})
    return file, read_key(folder / KEY), folder / KEY


def test_files_that_are_none_are_named(answered, tmp_path):
    file, key, source = answered
    with pytest.raises(
        VmcError, match=r"line 2 has rater ann's answer to pair \w+ \(motion\) again, after .*a.csv, line 2"
    ):
        read_answers([file, shutil.copyfile(file, tmp_path / "b.csv")], key, source=source)
    for content, sentence in (("a,b\n1,2\n", "has other columns than"), ("", "has other columns than")):
        (tmp_path / "c.csv").write_text(content)
        with pytest.raises(VmcError, match=sentence):
            read_answers([tmp_path / "c.csv"], key, source=source)
    (tmp_path / "d.csv").write_text(",".join(ANSWER_COLUMNS) + "\n")
    with pytest.raises(VmcError, match="holds no line below its head"):
        read_answers([tmp_path / "d.csv"], key, source=source)
    (tmp_path / "e.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(VmcError, match="does not read as a table"):
        read_answers([tmp_path / "e.csv"], key, source=source)
    lines = source.read_text().splitlines(keepends=True)
    (tmp_path / "key.csv").write_text("".join(lines[:-1]))
    with pytest.raises(VmcError, match="has other than two videos of two arms for pair"):
        read_key(tmp_path / "key.csv")


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_an_interval_of_crossed_clusters_covers_what_it_should():
    """Answers of 8 raters on 16 subjects, both of whom lean, a fifth of them missing."""
    draw, inside, alone = np.random.default_rng(0), 0, 0
    truth = float((1 / (1 + np.exp(-0.5 - np.hypot(0.6, 0.6) * draw.standard_normal(10**6)))).mean())
    for _ in range(300):
        lean_AS = 0.6 * draw.standard_normal((8, 1)) + 0.6 * draw.standard_normal((1, 16))
        hits_AS = draw.random((8, 16)) < 1 / (1 + np.exp(-0.5 - lean_AS))
        raters, subjects = np.nonzero(draw.random((8, 16)) < 0.8)
        low, high = crossed_interval(hits_AS[raters, subjects].astype(float), raters.tolist(), subjects.tolist())
        inside += low <= truth <= high
        each = hits_AS[raters, subjects].mean()
        alone += abs(each - truth) <= 1.96 * (each * (1 - each) / len(raters)) ** 0.5
    assert inside >= 0.94 * 300 and alone < 0.9 * 300  # as if all answers were independent


def test_an_interval_of_few_clusters_says_so():
    hits = np.ones(6)
    assert crossed_interval(hits, ["a", "b"] * 3, [*"uuvvww"]) == (pytest.approx(1 - no_hit_bound(2)), 1.0)
    assert crossed_interval(hits, ["a"] * 6, [*"uuvvww"]) == (pytest.approx(1 - no_hit_bound(3)), 1.0)
    assert all(np.isnan(crossed_interval(hits, ["a"] * 6, ["u"] * 6)))
    # One answer of each subject by one rater: as Student's interval of the subjects.
    hits = np.array([1.0, 0.0] * 20)
    low, high = crossed_interval(hits, ["a"] * 40, [str(number) for number in range(40)])
    assert (low, high) == (pytest.approx(0.5 - 2.0227 * 0.5 / 39**0.5, abs=1e-3), pytest.approx(1 - low))


def test_kappa_is_that_of_fleiss(answered):
    """His own table has ten subjects, fourteen raters and five categories; here two of each, worked out by hand."""
    import pandas as pd

    def of(*rows: str) -> tuple[int, float]:
        table = [{"page": "p", "pair": pair, "arm": arm} for pair, arms in enumerate(rows) for arm in arms]
        return agreement(pd.DataFrame(table))

    assert of("aa", "bb") == (2, pytest.approx(1))
    assert of("ab", "ab") == (2, pytest.approx(-1))
    # Agreement 1 and 1/3; chance (4/6)^2 + (2/6)^2 = 5/9: (2/3 - 5/9) / (4/9) = 1/4.
    assert of("aaa", "abb", "b") == (2, pytest.approx(0.25))
    assert of("a", "b")[0] == 0 and np.isnan(of("aa", "aa")[1])


def test_names_of_motions_and_arms_may_hold_markup(answered):
    file, key, source = answered
    text, _ = choice_table(read_answers([file], key, source=source), key)
    assert [row[2] for row in text.rows] == ["method"] * len(text.rows)
    assert "\\label{tab:choice}" in to_latex(text)


# --- in a browser ----------------------------------------------------------------------------------------------------

browsed = pytest.mark.browser
READY = "!document.getElementById('left').disabled"


class Person:
    """Somebody with the page open, who takes the arm that is wanted of each pair."""

    def __init__(self, context: Any, folder: Path) -> None:
        self.page = context.new_page()
        self.said = list[str]()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.folder = folder
        self.arm_of = {row["video"]: row["arm"] for row in read_key(folder / KEY)}
        self.page.goto((folder / FOLDER / PAGE).as_uri())

    def wait(self, expression: str) -> None:
        for _ in range(400):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never true: {expression}")

    def sides(self) -> list[str]:
        """The videos, from left to right."""
        return [Path(self.page.locator(f"#{side} video").get_attribute("src")).stem for side in ("left", "right")]

    def choose(self, arm: str, *, key: bool = True) -> str:
        """The side on which the arm's video stood."""
        self.wait(READY)
        side = "left" if self.arm_of[self.sides()[0]] == arm else "right"
        before = self.text("#count")
        self.page.keyboard.press(f"Arrow{side.title()}") if key else self.page.locator(f"#{side}").click()
        self.wait(f"document.getElementById('count').textContent !== {json.dumps(before)}")
        return side

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def save(self, place: Path) -> list[dict[str, str]]:
        with self.page.expect_download() as saved:
            self.page.locator(".export:visible").click()
        saved.value.save_as(place)
        return list(csv.DictReader(place.open(newline="")))


@browsed
def test_a_study_is_answered_and_the_table_says_what_was_clicked(browser, asked, entered, runs, tmp_path):
    folder = asked(questions=("motion", "text"))
    context = browser.new_context(accept_downloads=True, viewport={"width": 1100, "height": 800})
    ann = Person(context, folder)
    page = ann.page
    assert "You will choose 12 times, first by one question, then by another: In which" in ann.text(
        "#task"
    ) and "0 of 12 answered" in ann.text("#count")
    page.locator("#name").fill('=Ann, "A"')
    page.locator("#start").click()
    assert ann.text("#question").startswith("In which video does the person do the motion better?")
    assert page.locator("#example").is_visible() and not page.locator("#prompt").is_visible()
    seen = [ann.sides()]
    ann.choose("method")
    seen.append(ann.sides())
    ann.choose("tune_a_video", key=False)
    page.keyboard.press("Backspace")  # and again
    ann.wait(READY)
    assert ann.sides() == seen[1] and "1 of 12 answered" in ann.text("#count")
    ann.choose("tune_a_video")
    page.keyboard.press(" ")  # plays again and chooses nothing, though a video's button has the focus
    page.locator("#left").focus()
    page.keyboard.press(" ")
    page.wait_for_timeout(200)
    assert "2 of 12 answered" in ann.text("#count")
    before = ann.sides()
    page.reload()
    assert ann.text("#start") == "Go on" and page.locator("#name").input_value() == '=Ann, "A"'
    page.locator("#start").click()
    assert ann.sides() == before
    for _ in range(4):
        ann.choose("method")
    assert ann.text("#question") == "Which video shows the text better?"
    assert page.locator("#prompt").is_visible() and not page.locator("#example").is_visible()
    part = ann.save(tmp_path / "part.csv")
    assert len(part) == 6
    texts = set()
    for _ in range(6):
        texts.add(ann.text("#prompt"))
        ann.choose("tune_a_video")
    assert "“A <b>woman</b> doing the “Swiping Down” sign.”" in texts
    assert page.locator("#end").is_visible() and "All 12 are answered" in ann.text("#result")
    rows = ann.save(tmp_path / "ann.csv")
    assert len(rows) == 12 and rows[:6] == part
    assert {row["name"] for row in rows} == {'\'=Ann, "A"'} and len({row["rater"] for row in rows}) == 1
    assert all(float(row["seconds"]) >= 0 for row in rows)
    assert len({row["left"] < row["right"] for row in rows}) == 2  # sides are drawn

    page.locator("#next").click()  # somebody else
    page.locator("#start").click()
    ann.choose("method")
    both = ann.save(tmp_path / "both.csv")
    assert len(both) == 13 and len({row["rater"] for row in both}) == 2
    assert ann.said == []
    context.close()

    status, said = entered(report, f"runs={runs}", f"output={folder}", f"choice.answers=[{tmp_path}/both.csv]", *QUICK)
    assert status == 0, said
    table = {(row["question"], row["motion"]): row for row in csv.DictReader((folder / "tables/choice.csv").open())}
    whole, text = table["motion", "all"], table["text", "all"]
    assert (whole["chosen"], whole["answers"], whole["not_answered"]) == ("0.857143", "7", "5")
    assert (text["other_chosen"], text["answers"], text["not_answered"]) == ("1.000000", "6", "6")


@browsed
def test_order_and_sides_are_the_persons_own(browser, asked):
    folder = asked()
    orders = []
    for _ in range(3):
        context = browser.new_context(viewport={"width": 1100, "height": 800})
        person = Person(context, folder)
        person.page.locator("#start").click()
        seen = []
        for _ in range(PAIRS):
            person.wait(READY)
            seen.append(tuple(person.sides()))
            person.page.keyboard.press("ArrowLeft")
            person.wait(f"document.getElementById('count').textContent.startsWith('{len(seen)} ')")
        orders.append(seen)
        assert person.said == []
        context.close()
    assert len({tuple(order) for order in orders}) == 3
    assert all({frozenset(pair) for pair in order} == {frozenset(pair) for pair in orders[0]} for order in orders)


@browsed
def test_a_video_that_does_not_play_is_passed_over_and_a_phone_shows_all(browser, asked):
    folder = asked()
    first = study(folder)["pairs"][0]
    (folder / FOLDER / next(iter(first["videos"].values()))).write_bytes(b"nothing")
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, reduced_motion="reduce")
    person = Person(context, folder)
    page = person.page
    page.locator("#start").click()
    for number in range(1, PAIRS + 1):
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        person.wait(f"{READY} || !document.getElementById('skip').hidden")
        if page.locator("#skip").is_visible():
            assert person.text("#warning") == "A video of this pair does not play here."
            page.locator("#skip").click()
        else:
            assert page.locator("#right").bounding_box()["y"] + page.locator("#right").bounding_box()["height"] < 844
            page.locator("#right").tap()
        del number
    assert "1 of 6 are not answered, because their videos did not play" in person.text("#result")
    context.close()
