import logging
import os
import re
import shutil
import unicodedata
from pathlib import Path

import pytest

from vmc.data.folder import VideoFolder
from vmc.data.subject_images import StillFolder
from vmc.data.video import check_clip
from vmc.utils.errors import VmcError


@pytest.fixture
def folder(template, tmp_path):
    return Path(shutil.copytree(template, tmp_path / "clips"))


@pytest.fixture(scope="session")
def template(tmp_path_factory, make):
    root = tmp_path_factory.mktemp("template")
    make.encode(root / "clip-10.mp4", make.numbered(2))
    make.encode(root / "clip-2.mp4", make.numbered(2))
    make.save_images(root / "frames.v1", make.numbered(3))
    make.save_images(root, make.numbered(1), pattern="photo.png")
    (root / ".hidden.mp4").write_text("")
    (root / "notes").mkdir()
    (root / "readme.md").write_text("")
    return root


def names(clips):
    return [clip.path.name for clip in clips]


def test_all_clips_in_natural_order(folder):
    clips = VideoFolder(folder).exemplars(label=None, caption="a {token}", seed=0)
    assert names(clips) == ["clip-2.mp4", "clip-10.mp4", "frames.v1"]
    assert {(clip.caption, clip.role) for clip in clips} == {("a {token}", "exemplar")}


def test_a_still_beside_videos_is_a_clip_where_it_is_meant(folder):
    """Else it is a cover or a preview."""
    assert "photo.png" in names(VideoFolder(folder, stills=True).exemplars(caption="x"))
    for stem in ("clip-2", "clip-10", "frames.v1", "photo"):
        (folder / f"{stem}.txt").write_text("a caption of its own")
    assert "photo.png" in names(VideoFolder(folder).exemplars(caption=None))
    assert "photo.png" not in names(VideoFolder(folder).exemplars(caption="x"))


def test_a_caption_file_of_a_video_does_not_make_its_thumbnail_a_clip(folder, make):
    for name in ("Clip-2.png", "frames.v1.png"):
        make.save_images(folder, make.numbered(1), pattern=name)
    for stem in ("clip-2", "clip-10", "frames.v1"):
        (folder / f"{stem}.txt").write_text("a caption of its own")
    assert names(VideoFolder(folder).exemplars(caption=None)) == ["clip-2.mp4", "clip-10.mp4", "frames.v1"]
    assert "Clip-2.png" in names(VideoFolder(folder, stills=True).exemplars(caption="x"))


def test_one_video_file_is_one_clip(folder):
    assert names(VideoFolder(str(folder / "clip-2.mp4")).exemplars(caption="x")) == ["clip-2.mp4"]


def test_a_folder_of_images_alone_is_one_clip_of_frames(folder):
    frames = folder / "frames.v1"
    assert names(VideoFolder(frames).exemplars(caption="x")) == ["frames.v1"]
    assert names(VideoFolder(frames, stills=True).exemplars(caption="x")) == ["00001.png", "00002.png", "00003.png"]


def test_captions_come_from_the_argument_then_the_table_then_the_text_file(folder):
    (folder / "captions.csv").write_text('file,caption\nclip-2.mp4,"from the {token}, table"\nphoto.png,\n')
    for stem in ("clip-2", "clip-10", "frames.v1", "photo"):
        (folder / f"{stem}.txt").write_text(f"from the text\n of {stem}\n")
    captions = [clip.caption for clip in VideoFolder(folder).exemplars(caption=None)]
    texts = [f"from the text of {stem}" for stem in ("clip-10", "frames.v1", "photo")]
    assert captions == ["from the {token}, table", *texts]
    assert {clip.caption for clip in VideoFolder(folder).exemplars(caption="given")} == {"given"}


def test_a_clip_without_caption_is_named_with_every_remedy(folder):
    with pytest.raises(VmcError, match=r"clip-2.mp4 has no caption: set motion.caption, .*captions.csv .*clip-2.txt"):
        VideoFolder(folder).exemplars(caption=None)


def test_a_table_that_names_an_absent_file_is_an_error(folder):
    (folder / "captions.csv").write_text("file,caption\nclip-3.mp4,a\n")
    with pytest.raises(VmcError, match=r"captions.csv names 'clip-3.mp4', which is not in"):
        VideoFolder(folder).exemplars(caption=None)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("clip-2.mp4,a caption\n", "file,caption"),
        ("", "file,caption"),
        ("file,caption\nclip-2.mp4,a man, skiing\n", "quote captions"),
        ("file,caption\nclip-2.mp4,a\nclip-2.mp4,b\n", "twice"),
        ("file,caption\n,a\n", "names ''"),
    ],
)
def test_broken_tables_are_named(folder, table, message):
    (folder / "captions.csv").write_text(table)
    with pytest.raises(VmcError, match=f"captions.csv.*{message}"):
        VideoFolder(folder).exemplars(caption=None)


ROWS = [("clip-2.mp4", "a café, by {token}"), ("clip-10.mp4", "ten"), ("frames.v1", "frames")]


def table_text(rows, header="file,caption", mark=","):
    cells = [header, *(f'{name}{mark}"{caption}"' for name, caption in rows)]
    return "\n".join([cells[0].replace(",", mark), *cells[1:]]) + "\n"


@pytest.mark.parametrize(
    "content",
    [
        table_text(ROWS).encode("utf-8-sig"),
        table_text(ROWS).encode("utf-16"),
        table_text(ROWS).encode("utf-16-le"),
        table_text(ROWS).encode("utf-16-be"),
        table_text(ROWS).encode("cp1252"),
        table_text(ROWS, mark=";").encode(),
        table_text(ROWS, mark="\t").encode("utf-16"),
        b"sep=;\r\n" + table_text(ROWS, mark=";").replace("\n", "\r\n").encode("cp1252"),
        table_text(ROWS, header="File,Caption").encode(),
        table_text(ROWS, header=" file , CAPTION ,").encode(),
        table_text([(f" {name} ", caption) for name, caption in ROWS]).encode() + b"\n,\n",
        table_text([(name.upper(), caption) for name, caption in ROWS]).encode(),
        table_text([(f"./{name}", caption) for name, caption in ROWS]).encode(),
        table_text([(f".\\{name}", caption) for name, caption in ROWS]).encode(),
        table_text([(name.removesuffix(".mp4"), caption) for name, caption in ROWS]).encode(),
    ],
)
def test_tables_are_read_as_editors_and_spreadsheets_save_them(folder, content):
    (folder / "captions.csv").write_bytes(content)
    clips = VideoFolder(folder).exemplars(caption=None)
    assert [(clip.path.name, clip.caption) for clip in clips] == ROWS


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_are_found_in_either_unicode_form(tmp_path, make, forms):
    stored, written = (unicodedata.normalize(form, "café.mp4") for form in forms)
    make.encode(tmp_path / stored, make.numbered(2))
    (tmp_path / "captions.csv").write_text(f"file,caption\n{written},x\n", encoding="utf-8")
    assert VideoFolder(tmp_path).exemplars(caption=None)[0].caption == "x"
    (tmp_path / "captions.csv").unlink()
    (tmp_path / unicodedata.normalize(forms[1], "café.txt")).write_text("y")
    assert VideoFolder(tmp_path).exemplars(caption=None)[0].caption == "y"


def test_a_name_that_fits_two_clips_is_refused(folder, make):
    shutil.copy(folder / "clip-2.mp4", folder / "CLIP-2.mp4")
    (folder / "captions.csv").write_text("file,caption\nClip-2.mp4,a\n")
    with pytest.raises(VmcError, match=r"names 'Clip-2.mp4', which may be CLIP-2.mp4 or clip-2.mp4"):
        VideoFolder(folder).exemplars(caption=None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_caption_file_is_read_in_any_encoding(folder, encoding, caplog):
    (folder / "clip-2.txt").write_bytes("a café\r\nby {token}".encode(encoding))
    assert VideoFolder(folder / "clip-2.mp4").exemplars(caption=None)[0].caption == "a café by {token}"
    assert ("clip-2.txt is not in UTF-8" in caplog.text) == (encoding == "cp1252")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x00\x01\x02" * 100, "holds bytes that are no text"),
        (b"\xff\xfea", "is cut off or damaged"),
        (b"word " * 3000, "holds a text of 14,999 characters .*10,000 are read at most"),
        (b"x" * (17 << 20), "has more than 16 MiB"),
    ],
)
def test_what_is_no_caption_is_refused_by_name(folder, content, message):
    (folder / "clip-2.txt").write_bytes(content)
    with pytest.raises(VmcError, match=f"clip-2.txt {message}"):
        VideoFolder(folder / "clip-2.mp4").exemplars(caption=None)


def test_a_caption_file_that_is_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "clip-2.txt")
    with pytest.raises(VmcError, match=r"clip-2.txt is no regular file"):
        VideoFolder(folder / "clip-2.mp4").exemplars(caption=None)


def test_clips_in_subfolders_are_found_and_named_by_tables_of_either_folder(folder, make, caplog):
    make.encode(folder / "ann" / "1.mp4", make.numbered(2))
    make.encode(folder / "ben" / "deep" / "2.webm", make.numbered(2), codec="libvpx")
    (folder / "captions.csv").write_text(table_text([*ROWS, ("ann/1.mp4", "ann's")]))
    (folder / "ben" / "deep" / "captions.csv").write_text("file,caption\n2,ben's\n")
    with caplog.at_level(logging.INFO):
        clips = VideoFolder(folder).exemplars(caption=None)
    assert [clip.caption for clip in clips] == ["ann's", "ben's", *(caption for _, caption in ROWS)]
    (alone,) = VideoFolder(folder / clips[2].path.name).exemplars(caption=None)  # whose table names others too
    assert alone == clips[2]
    assert "5 clips of 9 files" in caplog.text and "2 of them in 2 subfolders" in caplog.text


def test_the_log_counts_and_names_what_is_left_out(folder, make, caplog):
    (folder / "film.xyz").write_text("")
    for name in ("@eaDir", "__MACOSX", ".cache"):
        shutil.copytree(folder / "frames.v1", folder / name)
    with caplog.at_level(logging.INFO):
        assert len(VideoFolder(folder).exemplars(caption="x")) == 3
    (line,) = [record.message for record in caplog.records]
    assert line == (
        f"data.path: 3 clips of 8 files in {folder}; left out 3: "
        "photo.png (an image beside clips, see data.source.stills), film.xyz (no clip), readme.md (no clip)"
    )


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("a.mp4",), "1 clip of 1 file in {}"),
        (("ann/a.mp4",), "1 clip of 1 file in {}, in 1 subfolder"),
        (("ann/a.mp4", "ben/b.mp4"), "2 clips of 2 files in {}, in 2 subfolders"),
        (("a.mp4", "ben/b.mp4"), "2 clips of 2 files in {}, 1 of them in 1 subfolder"),
    ],
)
def test_one_is_not_told_as_several(names, sentence, tmp_path, make, caplog):
    for name in names:
        make.encode(tmp_path / name, make.numbered(2))
    with caplog.at_level(logging.INFO):
        VideoFolder(tmp_path).exemplars(caption="x")
    assert [record.message for record in caplog.records] == [f"data.path: {sentence.format(tmp_path)}"]


def test_a_name_that_may_mean_several_clips_is_refused_with_all_of_them(tmp_path, make):
    for name in ("a.mp4", "a.mkv"):
        make.encode(tmp_path / name, make.numbered(2))
    (tmp_path / "captions.csv").write_text("file,caption\na,x\n")
    with pytest.raises(VmcError) as refused:
        VideoFolder(tmp_path).exemplars(caption=None)
    assert str(refused.value) == (
        f"{tmp_path / 'captions.csv'} names 'a', which may be a.mkv or a.mp4: write the name as it is, with its suffix"
    )


def test_a_table_that_names_what_cannot_be_read_is_an_error(folder):
    (folder / "film.xyz").write_text("")
    (folder / "captions.csv").write_text("file,caption\nfilm.xyz,a\n")
    with pytest.raises(VmcError, match=r"captions.csv names 'film.xyz', which is no video or image that is read"):
        VideoFolder(folder).exemplars(caption=None)


def test_photographs_are_not_taken_for_the_frames_of_one_clip(tmp_path, make):
    for name in ("anna.png", "at the sea.png", "IMG_7.png"):
        make.save_images(tmp_path, make.numbered(1), pattern=name)
    with pytest.raises(VmcError, match=r"3 images \(anna.png, .*look like photographs: set data.source.stills=true"):
        VideoFolder(tmp_path).exemplars(caption="x")
    assert len(VideoFolder(tmp_path, stills=True).exemplars(caption="x")) == 3
    (tmp_path / "captions.csv").write_text("file,caption\nanna.png,anna\nIMG_7.png,she\n")
    assert names(VideoFolder(tmp_path).exemplars(caption=None)) == ["anna.png", "IMG_7.png"]


def test_photographs_of_regularization_are_told_what_helps_there(tmp_path, make):
    for name in ("anna.png", "IMG_7.png"):
        make.save_images(tmp_path, make.numbered(1), pattern=name)
    source = VideoFolder(None, regularization_path=tmp_path)
    with pytest.raises(VmcError, match=r"look like photographs: write the caption of each .*\(anna.txt, ...\) where"):
        source.regularization(seed=0)
    for name in ("anna", "IMG_7"):
        (tmp_path / f"{name}.txt").write_text(name)
    assert names(source.regularization(seed=0)) == ["anna.png", "IMG_7.png"]


def test_numbered_photographs_of_a_subfolder_are_told_how_they_become_clips(tmp_path, make):
    photos = make.save_images(tmp_path / "photos", make.numbered(1), pattern="IMG_1.png")
    make.save_images(photos, make.numbered(1, height=32), pattern="IMG_2.png")
    (clip,) = VideoFolder(tmp_path, stills=True).exemplars(caption="x")
    with pytest.raises(VmcError, match=r"names that differ in more than a number, and captions of their own or data\."):
        check_clip(clip.path)
    (photos / "IMG_2.png").rename(photos / "anna.png")
    assert names(VideoFolder(tmp_path, stills=True).exemplars(caption="x")) == ["anna.png", "IMG_1.png"]
    for stem in ("anna", "IMG_1"):
        (photos / f"{stem}.txt").write_text(stem)
    assert names(VideoFolder(None, tmp_path).regularization()) == ["anna.png", "IMG_1.png"]


def test_animated_images_are_videos_and_no_frames(tmp_path, make):
    make.encode(tmp_path / "a.mp4", make.numbered(2))
    make.animate(tmp_path / "moving.webp", make.numbered(4))
    make.animate(tmp_path / "moving.png", make.numbered(4))
    make.save_images(tmp_path, make.numbered(1), pattern="cover.png")
    assert names(VideoFolder(tmp_path).exemplars(caption="x")) == ["a.mp4", "moving.png", "moving.webp"]


def test_a_link_that_leads_back_is_followed_once(folder):
    (folder / "frames.v1" / "back").symlink_to(folder, target_is_directory=True)
    assert len(VideoFolder(folder).exemplars(caption="x")) == 3


def test_a_folder_of_too_many_files_is_refused(folder, monkeypatch):
    monkeypatch.setattr("vmc.data.folder.MAX_ENTRIES", 5)
    with pytest.raises(VmcError, match=r"data.path is .* holds more than 5 files"):
        VideoFolder(folder).exemplars(caption="x")


@pytest.mark.parametrize("path", [["a.mp4", "b.mp4"], "[a.mp4,b.mp4]"])
def test_several_paths_are_refused(path):
    with pytest.raises(VmcError, match=r"data.path is \[.*names several: put the clips into one folder"):
        VideoFolder(path).exemplars(caption="x")


def test_folders_and_files_without_permission_are_named(folder, monkeypatch):
    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(self))

    (folder / "clip-2.txt").write_text("x")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", refuse)
        with pytest.raises(VmcError, match=r"\S*clips cannot be read \(Permission denied\)"):
            VideoFolder(folder).exemplars(caption="x")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(VmcError, match=r"clip-2.txt cannot be read \(Permission denied\)"):
            VideoFolder(folder / "clip-2.mp4").exemplars(caption=None)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", refuse)
        with pytest.raises(VmcError, match=r"clips cannot be read \(Permission denied\)"):
            VideoFolder(folder).exemplars(caption="x")


def test_regularization_clips_have_captions_of_their_own(folder, tmp_path, make):
    assert VideoFolder(folder).regularization(seed=0) == []
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(folder / "clip-2.mp4", other / "r.mp4")
    source = VideoFolder(folder, other)
    with pytest.raises(VmcError, match=r"r.mp4 has no caption: add a row"):
        source.regularization(seed=0)
    (other / "r.txt").write_text("a person waving")
    assert [(c.path.name, c.caption, c.role) for c in source.regularization(seed=0)] == [
        ("r.mp4", "a person waving", "regularization")
    ]


def test_missing_folders_and_empty_ones_are_named(tmp_path, folder):
    with pytest.raises(VmcError, match=r"data.path is \S*gone, which does not exist"):
        VideoFolder(tmp_path / "gone").exemplars(caption="x")
    with pytest.raises(VmcError, match=r"data.path is not set"):
        VideoFolder(None).exemplars(caption="x")
    with pytest.raises(VmcError, match=rf"data.path is {re.escape(str(folder / 'notes'))}, which holds no clips"):
        VideoFolder(folder / "notes").exemplars(caption="x")
    with pytest.raises(VmcError, match=r"regularization.path is \S*gone"):
        VideoFolder(folder, tmp_path / "gone").regularization(seed=0)


# --- stills of a subject ---------------------------------------------------------------------------------------------


@pytest.fixture
def photographs(tmp_path, make):
    folder = tmp_path / "photographs"
    make.save_images(folder, make.numbered(2), pattern="{:02d}.png")
    make.save_images(folder, make.numbered(1), pattern="anna.jpg")
    return folder


def test_stills_are_clips_of_a_subject_with_captions_of_their_own(photographs):
    clips = StillFolder(photographs).stills(caption="a {subject_token} man")
    assert [clip.path.name for clip in clips] == ["01.png", "02.png", "anna.jpg"]
    assert {(clip.role, clip.caption) for clip in clips} == {("subject", "a {subject_token} man")}
    (photographs / "captions.csv").write_text('file,caption\n01.png,"{subject_token}, a man"\n02,close\n')
    (photographs / "anna.txt").write_text("smiling")
    assert [clip.caption for clip in StillFolder(photographs).stills()] == [
        "{subject_token}, a man",
        "close",
        "smiling",
    ]
    assert len(StillFolder(str(photographs / "anna.jpg")).stills(caption="x")) == 1


def test_numbered_stills_are_no_frames_of_a_clip(photographs):
    (photographs / "anna.jpg").unlink()
    assert len(StillFolder(photographs).stills(caption="x")) == 2


@pytest.mark.parametrize(("name", "told"), [("a.mp4", "a video"), ("a.gif", "a video"), ("a", "a folder of numbered")])
def test_what_moves_is_no_still(photographs, make, name, told):
    write = {".mp4": make.encode, ".gif": make.animate, "": make.save_images}[Path(name).suffix]
    write(photographs / name, make.numbered(2))
    with pytest.raises(VmcError, match=rf"^subject.path is .*photographs, in which {name} is {told}.*: leave still"):
        StillFolder(photographs).stills(caption="x")


def test_stills_that_are_not_there_or_have_no_caption_are_refused(photographs, tmp_path):
    with pytest.raises(VmcError, match=r"01.png has no caption: set subject.caption, add a row to .*captions.csv or"):
        StillFolder(photographs).stills()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.md").write_text("x")
    with pytest.raises(VmcError, match=r"^subject.path is .*empty, which holds no stills: put .jpg, .* files into it$"):
        StillFolder(tmp_path / "empty").stills(caption="x")
    with pytest.raises(
        VmcError, match=r"^subject.path is .*gone, which does not exist: give a folder of still images$"
    ):
        StillFolder(tmp_path / "gone").stills(caption="x")
