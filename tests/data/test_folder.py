import re
import shutil

import pytest

from vmc.data.folder import VideoFolder
from vmc.errors import VmcError


@pytest.fixture
def folder(tmp_path, make):
    root = tmp_path / "clips"
    root.mkdir()
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
    assert names(clips) == ["clip-2.mp4", "clip-10.mp4", "frames.v1", "photo.png"]
    assert {(clip.caption, clip.role) for clip in clips} == {("a {token}", "exemplar")}


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


def test_a_table_in_another_encoding_is_named(folder):
    (folder / "captions.csv").write_bytes("file,caption\nclip-2.mp4,caf\xe9\n".encode("latin-1"))
    with pytest.raises(VmcError, match=r"captions.csv cannot be read.*UTF-8"):
        VideoFolder(folder).exemplars(caption=None)


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
