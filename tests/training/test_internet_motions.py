"""Each motion of Fig. 4 as the one command that its YAML gives, on random weights with rendered clips."""

from pathlib import Path

import pytest
import torch

from vmc.data.video import write_video
from vmc.mini.world.internet import write_category
from vmc.mini.world.specs import sample_clip
from vmc.mini.world.unseen import render_unseen
from vmc.runs.earlier_versions import read_config
from vmc.train import main as train

SMALL = (
    *("model.frames=8", "model.size=64", "trainer=cpu", "trainer.threads=1", "logger=csv", "evaluate_every=0"),
    *("data.variants=1", "regularization.variants=1", "steps=1", "checkpoint_every=1", "output=run"),
)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Videos of a gesture, CO3D's sequences, and WebVid's videos with their table and captions beside them."""
    videos, co3d, others = tmp_path / "videos", tmp_path / "co3d", tmp_path / "others"
    for number in range(2):
        clip = sample_clip("exemplars", number, gestures=("Dab",), framing="web", frames=(24, 24))
        frames_FHWC = render_unseen(clip, 32)
        for file in (videos / f"{number}.mp4", others / "page" / f"{number}.mp4"):
            write_video(file, torch.from_numpy(frames_FHWC).permute(0, 3, 1, 2), fps=12)
        (others / "page" / f"{number}.txt").write_text("people dancing")
    (others / "results.csv").write_text("videoid,page_dir,name\n0,page,People dancing\n1,page,A street\n")
    write_category(co3d, "chair", sequences=2, frames=16)
    return videos, co3d, others


@pytest.mark.parametrize("motion", ["dab", "air_quotes", "carlton", "rotation_3d"])
def test_a_motion_is_learned_by_one_command(motion, folders, entered):
    videos, co3d, others = folders
    objects = motion == "rotation_3d"
    own = [f"data.path={co3d if objects else videos}", *["data.source.count=2"] * objects]
    regularization = ["regularization=webvid", "regularization.count=2"] if motion == "dab" else []
    given = (*own, *regularization, f"regularization.path={others}", f"model.path={entered.model}")
    status, said = entered(train, "stack=paper", f"motion={motion}", *given, *SMALL)
    assert status == 0, said
    assert Path("run/weights/000001.safetensors").is_file()
    config = read_config(Path("run"))
    assert (config["motion"]["name"], config["stop"]["appearance"]) == (motion, None)
    table = Path("run/clips.csv").read_text()
    assert ("A camera sks around a chair" in table) == objects
    assert ("People dancing" if motion == "dab" else "people dancing") in table
    assert ("frames taken evenly over each clip" in said) == objects


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["motion=rotation_3d", "data.path=others"], "where no sequence_annotations.jgz lies"),
        (["motion=rotation_3d", "data.path=co3d", "data.source.categories=[car]"], "categories names 'car'"),
        (["motion=dab", "data.path=videos", "regularization=webvid", "regularization.path=videos"], "holds no table"),
        (["motion=dab", "data.path=videos", "regularization=webvid"], "regularization.path is not set"),
        (["motion=dab"], "data.path is not set"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_missing_is_said_in_a_sentence_and_leaves_nothing(given, sentence, folders, entered):
    more = [] if any(text.startswith("regularization") for text in given) else ["regularization.path=others"]
    status, said = entered(train, "stack=paper", *given, *more, f"model.path={entered.model}", *SMALL)
    assert status == 1 and sentence in said and "Traceback" not in said
    assert not (Path("run") / "weights").exists()


def test_a_row_without_its_video_ends_the_run_or_is_left_out(folders, entered):
    videos, _, others = folders
    (others / "page" / "1.mp4").unlink()
    given = [f"data.path={videos}", "regularization=webvid", f"regularization.path={others}"]
    given += ["stack=paper", "motion=dab", f"model.path={entered.model}", *SMALL]
    status, said = entered(train, *given, "regularization.count=2")
    assert status == 1 and "names '1', whose video" in said
    status, said = entered(train, *given, "regularization.count=1", "data.skip_bad=true")
    assert status == 0, said
