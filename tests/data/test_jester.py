import shutil
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from vmc.config.folders import config_folder
from vmc.data.clips import check_readable
from vmc.data.jester import KEYS, REGULARIZATION, Jester
from vmc.data.video import count_frames
from vmc.utils.errors import VmcError

LABELS = ["Doing other things", "No gesture", "Swiping Down", "Thumb Up"]
CAPTION = "a person doing a {token} sign"


@pytest.fixture(params=["release", "mirror"])
def root(request):
    return request.getfixturevalue(f"jester_{request.param}")


def jester(root, **settings):
    return Jester(root, **{"exemplars": 2, "regularization_count": 2} | settings)


def ids(clips):
    return [clip.path.name for clip in clips]


def test_labels_and_tables_of_both_layouts(root, make):
    source = jester(root)
    assert source.labels() == LABELS
    table = source.index("validation")
    assert list(table[["id", "label"]].itertuples(index=False, name=None)) == make.jester_rows(), "in natural order"
    assert set(table["frames"]) == {"3" if root.name == "mirror" else ""}
    assert source.index("train")[["id", "label"]].values.tolist() == [["999", "Thumb Up"]]


def test_clips_without_labels_of_the_test_split(jester_release):
    assert jester(jester_release).index("test").values.tolist() == [["1234", "", ""], ["5678", "", ""]]


def test_exemplars_are_distinct_clips_of_the_class_with_frames(root, make):
    clips = jester(root, exemplars=3).exemplars(label="Swiping Down", caption=CAPTION, seed=0)
    of_class = {id for id, label in make.jester_rows() if label == "Swiping Down"}
    assert len(set(ids(clips))) == 3 and set(ids(clips)) <= of_class
    assert {(clip.caption, clip.role) for clip in clips} == {(CAPTION, "exemplar")}
    assert [count_frames(clip.path) for clip in clips] == [3, 3, 3]


def test_draws_hang_on_seed_and_class_alone(jester_release, jester_mirror):
    draws = {seed: ids(jester(jester_release).exemplars(label="Thumb Up", caption="x", seed=seed)) for seed in range(8)}
    assert len({tuple(draw) for draw in draws.values()}) > 1
    for seed, draw in draws.items():
        assert ids(jester(jester_mirror).exemplars(label="Thumb Up", caption="y", seed=seed)) == draw
    table = jester_release / "jester-v1-validation.csv"
    table.write_text("\n".join(reversed(table.read_text().splitlines())))
    assert ids(jester(jester_release).exemplars(label="Thumb Up", caption="x", seed=3)) == draws[3]


def test_regularization_clips_of_both_classes(root, make):
    clips = jester(root).regularization(seed=0)
    assert [clip.caption for clip in clips] == [caption for caption in REGULARIZATION.values() for _ in range(2)]
    labels = dict(make.jester_rows())
    assert [labels[id] for id in ids(clips)] == [label for label in REGULARIZATION for _ in range(2)]
    assert {clip.role for clip in clips} == {"regularization"}
    assert len(set(ids(clips))) == 4
    assert clips != jester(root).regularization(seed=1) or clips != jester(root).regularization(seed=2)
    assert jester(root, regularization_count=0).regularization(seed=0) == []
    assert jester(root, regularization={}).regularization(seed=0) == []


@pytest.mark.parametrize("label", ["swiping down", "  Swiping   Down", "SWIPING_DOWN"])
def test_labels_are_matched_whatever_their_case_and_spaces(root, label):
    source = jester(root)
    plain = source.exemplars(label="Swiping Down", caption="x", seed=0)
    assert source.exemplars(label=label, caption="x", seed=0) == plain


def test_the_parent_folder_and_the_frames_folder_are_enough(root):
    expected = jester(root).exemplars(label="Thumb Up", caption="x", seed=0)
    frames = expected[0].path.parent
    for path in (frames, root.parent):
        assert jester(path).exemplars(label="Thumb Up", caption="x", seed=0) == expected


def test_tables_in_a_folder_beside_the_frames(jester_release):
    expected = jester(jester_release).exemplars(label="Thumb Up", caption="x", seed=0)
    (jester_release / "tables").mkdir()
    for table in jester_release.glob("*.csv"):
        shutil.move(table, jester_release / "tables")
    assert jester(jester_release).exemplars(label="Thumb Up", caption="x", seed=0) == expected


def test_frames_that_lie_beside_the_tables(jester_release):
    for clip in list((jester_release / "20bn-jester-v1").iterdir()):
        shutil.move(clip, jester_release)
    folder = jester(jester_release).frames_folder("validation", "7")
    assert folder == jester_release / "7" and count_frames(folder) == 3


# Bad input.


def test_an_unknown_label_lists_near_ones(root):
    with pytest.raises(VmcError, match=r"'Swipe Down' is no label of Jester: use one of Swiping Down"):
        jester(root).exemplars(label="Swipe Down", caption="x", seed=0)
    with pytest.raises(VmcError, match=", ".join(LABELS)):
        jester(root, regularization={"xyz": "x"}).regularization(seed=0)


def test_too_few_clips_are_counted(root):
    with pytest.raises(
        VmcError,
        match=r"data.source.exemplars is 5, but the validation split has 4 clips of 'Thumb Up': set it to 4 or less",
    ):
        jester(root, exemplars=5).exemplars(label="thumb up", caption="x", seed=0)
    with pytest.raises(
        VmcError, match=r"data.source.regularization_count is 50, .* has 4 clips of 'Doing other things'"
    ):
        jester(root, regularization_count=50).regularization(seed=0)
    with pytest.raises(VmcError, match=r"train split has 0 clips of 'No gesture': set it to 0, or choose another"):
        jester(root, split="train", regularization={"No gesture": "x"}).regularization(seed=0)


def test_missing_frames_are_named(root):
    source = jester(root, exemplars=4)
    lost = source.exemplars(label="Thumb Up", caption="x", seed=0)[1].path
    shutil.rmtree(lost)
    with pytest.raises(
        VmcError, match=f"frames of 1 of the 4 clips drawn of 'Thumb Up' are missing, the first in {lost}"
    ):
        source.exemplars(label="Thumb Up", caption="x", seed=0)


def test_a_clip_with_a_gap_is_refused_before_training_or_left_out(root):
    source = jester(root, exemplars=4)
    whole = source.exemplars(label="Thumb Up", caption="x", seed=0)
    file = sorted(whole[1].path.iterdir())[1]
    file.unlink()
    clips = source.exemplars(label="Thumb Up", caption="x", seed=0)
    with pytest.raises(VmcError, match=rf"clip {whole[1].path} has no frame {file.name}: unpack .*data\.skip_bad=true"):
        check_readable(clips, skip_bad=False)
    assert check_readable(clips, skip_bad=True) == [clip for clip in whole if clip.path != whole[1].path]


def test_keys_of_errors_are_in_the_config():
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        config = compose("train", ["data=jester", *(f"{key}=x" for key in KEYS.values())])
    assert [OmegaConf.select(config, key) for key in KEYS.values()] == ["x"] * 4


def test_a_folder_that_is_not_jester_is_named(tmp_path):
    with pytest.raises(VmcError, match=r"data.path is \S*gone, which is no folder"):
        jester(tmp_path / "gone").labels()
    with pytest.raises(VmcError, match=r"where no table of Jester lies: put jester-v1-validation.csv"):
        jester(tmp_path).labels()
    with pytest.raises(VmcError, match=r"data.path is not set"):
        jester(None).exemplars(label="Thumb Up", caption="x", seed=0)


def test_a_folder_without_permission_is_named(jester_release, monkeypatch):
    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(self))

    for name in ("exists", "is_dir"):
        with monkeypatch.context() as patch, pytest.raises(VmcError, match=r"cannot be read \(Permission denied\)"):
            patch.setattr(Path, name, refuse)
            jester(jester_release).labels()


def test_several_folders_are_refused():
    with pytest.raises(VmcError, match=r"data.path is \['a', 'b'\], which names several"):
        jester(["a", "b"])


def test_a_missing_table_is_named(jester_mirror):
    with pytest.raises(VmcError, match=r"Test.csv does not exist"):
        jester(jester_mirror).index("test")


def test_an_empty_table_is_named(jester_mirror):
    (jester_mirror / "Validation.csv").write_text("")
    with pytest.raises(VmcError, match=r"Validation.csv does not read as a table"):
        jester(jester_mirror).index("validation")
    (jester_mirror / "Validation.csv").write_text("a,b\n1,2\n")
    with pytest.raises(VmcError, match=r"Validation.csv has the columns a, b: it needs video_id"):
        jester(jester_mirror).index("validation")


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"exemplars": 0}, "data.source.exemplars is 0"),
        ({"regularization_count": -1}, "data.source.regularization_count is -1"),
        ({"split": "val"}, "data.source.split is 'val'"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(wrong, name):
    with pytest.raises(VmcError, match=name):
        Jester("anywhere", **wrong)


def test_label_and_caption_must_be_given(root):
    with pytest.raises(VmcError, match=r"motion.label is not set"):
        jester(root).exemplars(label=None, caption="x", seed=0)
    with pytest.raises(VmcError, match=r"motion.caption is not set"):
        jester(root).exemplars(label="Thumb Up", caption=None, seed=0)
