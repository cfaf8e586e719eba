"""`stack=paper` on small files in the published formats: everything but the base model's size is real."""

import csv
import json
from collections import OrderedDict
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from vmc.metrics.networks.sscd import SSCDNetwork
from vmc.metrics.networks.trn import TRN
from vmc.mini.world.jester_folder import write
from vmc.train import main as train

TRN_FILE = "TRN_jester_RGB_BNInception_TRNmultiscale_segment8_best.pth.tar"
CLASSES = ("Swiping Down", "Doing other things", "No gesture")


@pytest.fixture(scope="module")
def layouts(tmp_path_factory) -> dict[str, Path]:
    """The same rendered clips as Jester's release and as its later mirror lay them out."""
    folder = tmp_path_factory.mktemp("jester")
    write(folder / "release", per_class=3, classes=CLASSES, train_per_class=1, test_clips=1, workers=1)
    (folder / "mirror").mkdir()
    for split in ("train", "validation"):
        name = split.capitalize()
        (folder / "mirror" / name).mkdir()
        with (folder / "mirror" / f"{name}.csv").open("w", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(["video_id", "label", "frames", "label_id", "shape", "format"])
            for line in (folder / "release" / f"jester-v1-{split}.csv").read_text().splitlines():
                id, label = line.split(";")
                frames = folder / "release" / "20bn-jester-v1" / id
                rows.writerow([id, label, len(list(frames.iterdir())), 0, "(100, 132)", "jpg"])
                (folder / "mirror" / name / id).symlink_to(frames)
    return {name: folder / name for name in ("release", "mirror")}


@pytest.fixture(scope="module")
def weights(tmp_path_factory, openai_archive) -> Path:
    """What `python -m vmc.weights get` would leave in its folder, with random weights of the real shapes."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classifier = TRN(arch="BNInception", classes=27)
        state = OrderedDict()
        for name, tensor in classifier.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                state[f"module.{name}"] = tensor[None] if "_bn." in name else tensor
        published = {"epoch": 120, "arch": "BNInception", "state_dict": state, "best_prec1": 94.78}
        torch.save(published, folder / TRN_FILE)
        copying = SSCDNetwork(bottleneck=True, layers=[3, 4, 6, 3], width=512).eval()
        torch.save(copying.state_dict(), folder / "sscd_disc_mixup.torchvision.pt")
        openai_archive(open_clip.create_model("ViT-B-32-quickgelu").state_dict(), folder / "ViT-B-32.pt")
    return folder


SMALL = (
    *("model.frames=8", "model.size=64", "data.source.exemplars=2", "data.source.regularization_count=2"),
    *("data.variants=2", "regularization.variants=1", "metrics.copying.short_side=64", "sampler.steps=1"),
    *("trainer=cpu", "trainer.threads=1", "steps=2", "stop.appearance=null", "prompts.limit=1", "evaluate_subset=1"),
)


@pytest.mark.slow
def test_published_files_go_through_to_a_finished_run(layouts, weights, blank, entered, monkeypatch, tmp_path):
    monkeypatch.setenv("VMC_WEIGHTS", str(weights))
    settings = ("stack=paper", *SMALL, f"model.path={blank}", f"cache={tmp_path / 'cache'}")
    status, said = entered(train, *settings, f"data.path={layouts['release']}")
    assert status == 0, said
    folder = tmp_path / "outputs" / "paper" / "method" / "swiping_down" / "seed0"
    state = json.loads((folder / "run.json").read_text())
    assert (state["status"], state["reason"], state["step"]) == ("finished", "steps", 2)
    summary = json.loads((folder / "evaluation" / "000002" / "summary.json").read_text())
    assert (summary["videos"], summary["of"]) == (3, 3)
    for name in ("motion_accuracy", "appearance", "text_alignment", "copy_score", "frame_consistency"):
        assert summary["metrics"][name]["value"] is not None, name
    with (folder / "evaluation" / "000002" / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["seed"] for row in rows] == ["52205064", "182776", "61612"]  # the shipped test set's
    assert {row["prompt"] for row in rows} == {"A woman doing the sks sign."}
    assert all(-1 <= float(row["copy_similarity_first"]) <= 1 for row in rows)
    with (folder / "clips.csv").open() as stream:
        captions = [row["caption"] for row in csv.DictReader(stream)]
    assert captions.count("a person doing a sks sign") == 2
    assert captions.count("a person in front of a computer") == 2 == captions.count("a person doing other things")

    # The other layout on disk is the same data, and gives the same bits.
    only_weights = ("output=mirror", "evaluate_every=0", "logger=csv")
    status, said = entered(train, *settings, f"data.path={layouts['mirror']}", *only_weights)
    assert status == 0, said
    one, two = (load_file(path / "weights" / "000002.safetensors") for path in (folder, tmp_path / "mirror"))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_what_is_missing_is_named_at_once_with_its_commands(layouts, entered, monkeypatch):
    monkeypatch.setenv("VMC_WEIGHTS", "own")
    settings = ["stack=paper", f"data.path={layouts['mirror']}", *SMALL, "logger=csv"]
    status, said = entered(train, *settings)
    assert status == 1 and "Traceback" not in said
    for file, name in ((TRN_FILE, "trn"), ("ViT-B-32.pt", "clip"), ("sscd_disc_mixup.torchvision.pt", "sscd")):
        assert f"own/{file} (python -m vmc.weights get {name})" in said
    monkeypatch.setenv("VMC_WEIGHTS", "")  # is as good as none
    assert f" weights/{TRN_FILE} (" in entered(train, *settings)[1]
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *words, **more: 1 / 0)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *words, **more: 1 / 0)
    status, said = entered(train, *settings, "evaluate_every=0")
    assert status == 1 and "Traceback" not in said
    assert "cerspense/zeroscope_v2_576w" in said and "python -m vmc.weights get zeroscope" in said
    assert not Path("outputs").exists()


def test_where_jester_is_not_named_the_remedy_is(entered):
    status, said = entered(train, "+ablation=params_kv", "stack=paper", "trainer=gpu")
    assert status == 1 and said.count("\n") == 1
    assert "data.path is not set" in said and "data.path=FOLDER" in said and "vmc.prepare jester FOLDER" in said
