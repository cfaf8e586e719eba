import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vmc.data.clips import Clip, check_readable
from vmc.data.co3d import CO3D, object_name
from vmc.data.frames import ClipTransform
from vmc.utils.errors import VmcError


def write_sequences(root: Path, category: str, names: dict[str, int], *, size: tuple[int, int] = (30, 20)) -> None:
    """A category with sequences of so many frames, each frame's gray its place; None stands for no folder."""
    rows = []
    for place, (name, frames) in enumerate(names.items()):
        images = root / category / name / "images"
        images.mkdir(parents=True)
        for index in range(frames):
            pixels = np.full((*size, 3), 2 * index, dtype=np.uint8)
            Image.fromarray(pixels).save(images / f"frame{index + 1:06d}.jpg", quality=95)
        rows.append({"sequence_name": name, "category": category, "viewpoint_quality_score": 0.2 * place})
    table = root / category / "sequence_annotations.jgz"
    table.write_bytes(gzip.compress(json.dumps(rows).encode()))


@pytest.fixture(scope="module")
def co3d(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("co3d")
    write_sequences(root, "apple", {f"1{n}_1_2": 40 + n for n in range(4)})
    write_sequences(root, "toybus", {f"2{n}_3_4": 25 for n in range(4)}, size=(24, 18))
    return root


def test_ten_sequences_are_drawn_by_seed_and_captioned_by_their_category(co3d: Path) -> None:
    source = CO3D(co3d, count=5)
    drawn = source.exemplars(seed=3)
    assert drawn == source.exemplars(seed=3) != source.exemplars(seed=4)
    assert len({clip.path for clip in drawn}) == 5
    captions = {clip.path.parts[-3]: clip.caption for clip in source.exemplars(seed=3)}
    assert captions == {
        "apple": "A camera {token} around an apple",
        "toybus": "A camera {token} around a toy bus",
    }
    assert not source.regularization(seed=3)


def test_a_sequence_is_called_by_its_name_and_any_other_clip_by_its_own(co3d: Path) -> None:
    names = {clip.name for clip in CO3D(co3d, count=8).exemplars()}
    assert names == {f"1{n}_1_2" for n in range(4)} | {f"2{n}_3_4" for n in range(4)}
    assert Clip(path=co3d / "a.mp4", caption="", role="exemplar").name == "a.mp4"


def test_held_out_sequences_are_those_that_are_no_exemplars(co3d: Path) -> None:
    source = CO3D(co3d, count=5)
    held_out = {clip.path for clip in source.held_out(label=None, seed=1)}
    assert len(held_out) == 3 and not held_out & {clip.path for clip in source.exemplars(seed=1)}
    with pytest.raises(VmcError, match=r"data\.source\.count is 8, which leaves no sequence held out; set it to less"):
        CO3D(co3d, count=8).held_out(label=None, seed=1)


def test_named_sequences_categories_and_a_category_of_its_own_are_taken(co3d: Path) -> None:
    named = CO3D(co3d, sequences=["21_3_4", "10_1_2"], caption="[object], {token}").exemplars()
    assert [clip.caption for clip in named] == ["a toy bus, {token}", "an apple, {token}"]
    assert {clip.path.parts[-3] for clip in CO3D(co3d, count=4, categories=["toybus"]).exemplars()} == {"toybus"}
    assert {clip.path.parts[-3] for clip in CO3D(co3d / "apple", count=4).exemplars()} == {"apple"}
    asked = CO3D(co3d, count=2).exemplars(caption="a {token} turn")
    assert {clip.caption for clip in asked} == {"a {token} turn"}


def test_sequences_of_low_viewpoint_quality_are_left_out_where_that_is_asked_for(co3d: Path) -> None:
    drawn = CO3D(co3d, count=4, min_quality=0.4).exemplars()
    assert {clip.path.parent.name[1] for clip in drawn} == {"2", "3"}


def test_frames_are_taken_evenly_over_the_whole_sequence_of_any_size(co3d: Path) -> None:
    (long,) = CO3D(co3d, sequences=["12_1_2"]).exemplars()  # 42 upright frames
    transform = ClipTransform(frames=6, fps=12, start="whole", size=16)
    frames_FCHW = transform(long.path, variant=0)
    assert frames_FCHW.shape == (6, 3, 16, 16)
    shown = frames_FCHW.float().mean((1, 2, 3)) / 2
    assert shown.round().tolist() == [0, 7, 14, 21, 28, 35]


def test_what_is_missing_is_refused_in_a_sentence(co3d: Path, tmp_path: Path) -> None:
    def refused(sentence: str, **settings: object) -> None:
        with pytest.raises(VmcError, match=f"^{re.escape(sentence)}"):
            CO3D(**{"path": co3d, "count": 1, **settings}).exemplars()  # type: ignore[arg-type]

    (tmp_path / "apple" / "10_1_2" / "images").mkdir(parents=True)
    refused(
        f"data.path is {tmp_path}, where no sequence_annotations.jgz lies: give CO3D's folder, whose categories",
        path=tmp_path,
    )
    (tmp_path / "apple" / "sequence_annotations.jgz").write_bytes(b"no gzip")
    refused(f"{tmp_path}/apple/sequence_annotations.jgz does not read as CO3D's annotations", path=tmp_path)
    refused("data.path is not set: give a folder of clips or a video file", path=None)
    refused("data.source.categories names 'aple', which is not there: use apple", categories=["aple"])
    refused("data.source.sequences names '10_1_3', which sequence_annotations.jgz does not", sequences=["10_1_3"])
    refused("data.source.count is 9, but 8 sequences are there: set it to 8 or less", count=9)
    refused("data.source.count is 0; it must be at least 1", count=0)


def test_a_sequence_without_images_is_refused_or_left_out(tmp_path: Path) -> None:
    write_sequences(tmp_path, "chair", {"1_1_1": 0, "2_2_2": 3})
    clips = CO3D(tmp_path, count=2).exemplars()
    with pytest.raises(VmcError, match=r"1_1_1/images holds no images: unpack the sequence's images again"):
        check_readable(clips, skip_bad=False)
    assert [clip.path.parent.name for clip in check_readable(clips, skip_bad=True)] == ["2_2_2"]
    (tmp_path / "chair" / "1_1_1" / "images").rmdir()
    assert [clip.path.parent.name for clip in CO3D(tmp_path, count=1).exemplars()] == ["2_2_2"]
    with pytest.raises(VmcError, match=r"sequence 1_1_1 has no folder .*1_1_1/images: unpack its images there"):
        CO3D(tmp_path, sequences=["1_1_1"]).exemplars()


@pytest.mark.parametrize(
    ("category", "said"),
    [("apple", "an apple"), ("tv", "a TV"), ("wineglass", "a wine glass"), ("umbrella", "an umbrella")],
)
def test_objects_are_named_as_english_writes_them(category: str, said: str) -> None:
    assert object_name(category) == said
