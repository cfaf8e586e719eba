"""The miniature's stand-ins of internet motions: pictures, layouts, and the classifier that tells them apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vmc.data.co3d import CO3D
from vmc.data.prompts import read_prompts
from vmc.metrics.networks.trn import load_trn
from vmc.mini.makers import classes
from vmc.mini.shipped import shipped
from vmc.mini.world import internet
from vmc.mini.world.gestures import GESTURES, LABELS
from vmc.mini.world.objects import OBJECTS, ObjectSpec, render_object
from vmc.mini.world.specs import sample_clip
from vmc.mini.world.unseen import UNSEEN, render_unseen
from vmc.training.regularization import WebVidRegularization
from vmc.utils.errors import VmcError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VMC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(internet, "OTHERS", 2)
    return tmp_path / "cache"


@pytest.mark.parametrize("gesture", UNSEEN)
def test_unseen_gestures_are_performed_and_leave_the_renderers_table_as_it_is(gesture: str) -> None:
    clip = sample_clip("exemplars", 1, gestures=(gesture,), framing="web", frames=(28, 28))
    frames_FHWC = render_unseen(clip, 64)
    assert np.array_equal(frames_FHWC, render_unseen(clip, 64))
    resting = render_unseen(sample_clip("exemplars", 1, gestures=("No gesture",), framing="web", frames=(28, 28)), 64)
    assert np.abs(frames_FHWC[14].astype(int) - resting[14]).mean() > 4  # both arms are up
    assert tuple(sorted(GESTURES)) == LABELS


def test_an_object_turns_once_either_way_or_rests() -> None:
    def drawn(turn: float, frames: int = 8) -> np.ndarray:
        return render_object(ObjectSpec(category="chair", color="red", turn=turn, frames=frames, seed=3), 64).astype(
            int
        )

    once, back, still = drawn(360.0), drawn(-360.0), drawn(0.0)
    assert np.array_equal(once[0], back[0]) and np.array_equal(once[1:], back[:0:-1])
    assert np.array_equal(still[0], still[7]) and np.array_equal(still[0], once[0])
    assert np.abs(once[0] - once[4]).mean() > 2
    assert np.array_equal(drawn(720.0, 16)[8], once[0])  # closed


def test_every_object_looks_other_from_some_side_and_in_its_color() -> None:
    for category in OBJECTS:
        views = render_object(ObjectSpec(category=category, color="blue", frames=8, seed=1), 64).astype(int)
        assert max(np.abs(views[0] - view).mean() for view in views) > 1, category
        blue_FHW = views[..., 2] - views[..., 0] > 60
        assert 0.02 < blue_FHW.mean() < 0.5, category
    with pytest.raises(VmcError, match="there is no object 'pear'; choose one of box, chair"):
        ObjectSpec(category="pear", color="blue")
    with pytest.raises(VmcError, match="there is no color 'mauve'"):
        ObjectSpec(category="box", color="mauve")


def test_sequences_lie_as_co3ds_do(tmp_path: Path) -> None:
    internet.write_category(tmp_path, "box", sequences=2, frames=6)
    internet.write_category(tmp_path, "vase", sequences=2, frames=6)
    drawn = CO3D(tmp_path, count=3).exemplars(seed=0)
    assert {clip.caption for clip in drawn} == {"A camera {token} around a box", "A camera {token} around a vase"}
    sizes = set()
    for clip in drawn:
        files = sorted(clip.path.iterdir())
        assert [file.name for file in files] == [f"frame{place:06d}.jpg" for place in range(1, 7)]
        sizes.add(Image.open(files[0]).size)
    assert len(sizes) > 1 and all(height > width for width, height in sizes)
    assert (tmp_path / "box" / "frame_annotations.jgz").is_file()


@pytest.mark.parametrize("objects", [False, True])
def test_other_videos_lie_as_webvids_do(cache: Path, objects: bool) -> None:
    folder = internet.other_clips(objects=objects)
    clips = WebVidRegularization(path=folder, count=2).clips()
    assert len({clip.path for clip in clips}) == 2
    assert sum("box" in clip.caption for clip in clips) == objects
    assert internet.other_clips(objects=objects) == folder and folder.is_relative_to(cache)


def test_the_objects_that_are_asked_for_are_shown_nowhere(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(internet, "render_object", lambda *_: None)  # captions are looked at alone
    prompts = read_prompts(internet.object_test_set(), template="{subject}", seeds=[0])
    asked = {prompt.text for prompt in prompts}
    assert len(prompts) == 72 and len(asked) == 24
    assert {text.split()[-1] for text in asked} == set(internet.HELD_OUT)
    captions = {internet._object_at_rest(2 * number)[0].removesuffix(" on a table") for number in range(50)}
    assert not captions & asked and not set(internet.HELD_OUT) & set(internet.TURNING)


def test_the_classifier_keeps_jesters_logits_and_tells_the_new_classes(cache: Path) -> None:
    names = classes.class_names()
    own = load_trn(shipped("classifier.pth.tar"), classes=27)
    grown = load_trn(classes.classifier_file(), classes=len(names))
    right = 0
    for name in classes.NEW:
        for number in range(classes.VALIDATION + 1000, classes.VALIDATION + 1004):
            frames_FHWC, shown = classes.video(name, number, pool="card")
            frames_BSCHW = torch.from_numpy(frames_FHWC).permute(0, 3, 1, 2)[None]
            with torch.no_grad():
                before_K, after_K = own(frames_BSCHW)[0], grown(frames_BSCHW)[0]
            assert torch.allclose(before_K, after_K[:27], atol=1e-3)
            right += names[int(after_K.argmax())] == shown
    assert right >= 18  # of 20


def test_rows_beside_another_classifier_are_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classes, "ROWS", tmp_path / "rows.safetensors")
    monkeypatch.setattr(classes, "sha256_of", lambda file: "other")
    classes.save_rows(torch.zeros(len(classes.NEW), 896), torch.zeros(len(classes.NEW)), classes.ROWS)
    monkeypatch.undo()
    monkeypatch.setattr(classes, "ROWS", tmp_path / "rows.safetensors")
    with pytest.raises(VmcError, match=r"was learned beside another .* run `python -m vmc.mini classes` again"):
        classes.classifier_file()
