import re
from pathlib import Path

import pytest

from vmc.training.regularization import WebVidRegularization
from vmc.utils.errors import VmcError

HEADER = "contentUrl,duration,page_dir,videoid,name"


def write_table(folder: Path, rows: int, *, header: str = HEADER, videos: bool = True) -> Path:
    """A table in the order of WebVid's columns, every other caption of a dance; videos lie in two ways."""
    order = header.lower().split(",")
    lines = [header]
    for number in range(rows):
        page = f"{number // 10:06d}_{number // 10 + 50:06d}"
        said = f'"Women, number {number}, {"dancing" if number % 2 else "at the sea"}"'
        cells = {"contenturl": "https://example.org/v.mp4", "duration": "PT00H00M09S", "page_dir": page}
        cells |= {"videoid": str(1000 + number), "name": said}
        lines.append(",".join(cells[name] for name in order))
        place = folder / (page if number % 3 else "") / f"{1000 + number}.mp4"
        if videos:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
    file = folder / "results_2M_val.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_rows_are_drawn_by_seed_with_their_captions(tmp_path: Path) -> None:
    write_table(tmp_path, 40)
    clips = WebVidRegularization(path=tmp_path, count=12, seed=1).clips()
    again, other = (WebVidRegularization(path=tmp_path, count=12, seed=seed).clips() for seed in (1, 2))
    assert clips == again != other
    assert len({clip.path for clip in clips}) == 12 and all(clip.path.is_file() for clip in clips)
    number = int(clips[0].path.stem) - 1000
    assert clips[0].caption == f"Women, number {number}, {'dancing' if number % 2 else 'at the sea'}"
    assert {clip.role for clip in clips} == {"regularization"}


def test_captions_may_have_to_hold_a_word_and_columns_stand_in_any_order(tmp_path: Path) -> None:
    table = write_table(tmp_path, 30, header="NAME,videoid,page_dir")
    (tmp_path / "more.csv").write_text("a,b\n")
    drawn = WebVidRegularization(path=tmp_path, csv=table, count=10, words=["Dancing", "ballet"], seed=0).clips()
    assert all("dancing" in clip.caption for clip in drawn)
    with pytest.raises(VmcError, match=r"regularization\.count is 16, but .* has 15 rows that match: set it to that"):
        WebVidRegularization(path=tmp_path, csv=table, count=16, words=["dancing"], seed=0).clips()
    with pytest.raises(VmcError, match=r"which holds 2 tables: give the one as regularization\.csv=FILE"):
        WebVidRegularization(path=tmp_path, seed=0).clips()


def test_a_row_without_its_video_is_refused_or_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = write_table(tmp_path, 20)
    for video in tmp_path.rglob("10[01][02468].mp4"):
        video.unlink()
    with pytest.raises(VmcError, match=r"names '10\d\d', whose video .*mp4 does not exist: .*data\.skip_bad=true"):
        WebVidRegularization(path=tmp_path, csv=table, count=10, seed=0).clips()
    clips = WebVidRegularization(path=tmp_path, csv=table, count=10, skip_bad=True, seed=0).clips()
    assert {int(clip.path.stem) % 2 for clip in clips} == {1} and len(clips) == 10
    assert re.search(r"skipped, 10 of \d\d rows drawn of .* have a video", caplog.text)
    with pytest.raises(VmcError, match=r"count is 11, but .* has 10 rows with a video"):
        WebVidRegularization(path=tmp_path, csv=table, count=11, skip_bad=True, seed=0).clips()


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    def refused(sentence: str, **settings: object) -> None:
        with pytest.raises(VmcError, match=sentence):
            WebVidRegularization(**{"path": tmp_path, **settings}, seed=0).clips()  # type: ignore[arg-type]

    refused("which holds no table: give the one as regularization.csv=FILE")
    refused("regularization.csv is .*none.csv, which does not exist", csv=tmp_path / "none.csv")
    (tmp_path / "captions.tsv").write_text("file,caption\n")
    refused("has no column videoid: its first line must name videoid, page_dir, name", csv=tmp_path / "captions.tsv")
    (tmp_path / "captions.tsv").write_bytes(b"")
    refused("does not read as a table", csv=tmp_path / "captions.tsv")
    refused("regularization.path is not set", path=None)
    refused("regularization.count is 0; it must be at least 1", count=0)


def test_videos_are_looked_for_only_as_their_rows_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "results.csv"
    table.write_text("videoid,page_dir,name\n" + "".join(f"{row},p,people {row}\n" for row in range(50_000)))
    asked: list[str] = []

    def is_file(path: Path) -> bool:
        asked.append(path.stem)
        return True

    monkeypatch.setattr(Path, "is_file", is_file)
    assert len(WebVidRegularization(path=tmp_path, seed=0).clips()) == len(set(asked)) == len(asked) == 100


def test_a_run_mixes_them_as_other_real_clips(tmp_path: Path) -> None:
    write_table(tmp_path, 10)
    made = WebVidRegularization(source=None, seed=1, path=tmp_path, count=4)  # type: ignore[arg-type]
    assert made.clips() == WebVidRegularization(path=tmp_path, count=4, seed=1).clips()
    assert (made.mix, made.weight, made.variants) == ("paired", 0.5, 4)
