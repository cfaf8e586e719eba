"""An export describes itself, and goes to the hub: `export=DIR push=NAME`. The hub is played by a few lines."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from diffusers import TextToVideoSDPipeline
from huggingface_hub import HfApi, RepoUrl, constants

from vmc.generate import main as generate
from vmc.tools.model_card import base_license, card_text
from vmc.utils.files import fingerprint


class Refused(Exception):
    """As the hub's library has it: the answer hangs on the error."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status} Client Error\nwith more lines")
        self.response = type("Response", (), {"status_code": status})()


MADE = {"pipelines": ("AnimateDiffPipeline",), "half": "float16", "frames": 8, "size": 64, "fps": 3.0}
"""Of a base model."""


@pytest.fixture
def hub(monkeypatch):
    """What was asked of the hub, in order; an error put into `fails` is raised by the next upload."""
    asked: list = []
    fails: list = []

    def create(self, name, *, private, exist_ok):
        asked.append(("create", name, private, exist_ok))
        return RepoUrl(f"https://huggingface.co/{name}")

    def upload(self, *, repo_id, folder_path, commit_message):
        if fails:
            raise fails.pop()
        asked.append(("upload", repo_id, sorted(file.name for file in Path(folder_path).iterdir())))

    monkeypatch.setattr(HfApi, "create_repo", create)
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "a token")
    return asked, fails


@pytest.fixture(scope="module")
def run(train_into, metrics, tmp_path_factory):
    folder = tmp_path_factory.mktemp("push")
    settings = ["evaluate_every=2", "evaluate_subset=2", "steps=2", f"cache={folder / 'cache'}", "token.word=pll"]
    return train_into(folder / "run", *metrics, *settings)


def metadata(card: str) -> dict:
    return yaml.safe_load(card.split("---")[1])


PARTS = ["README.md", "model_index.json", "scheduler", "text_encoder", "tokenizer", "unet", "vae"]


def test_an_export_says_what_it_is_and_is_uploaded(run, entered, hub):
    asked, _ = hub
    status, said = entered(generate, f"run={run.path}", "export=exported", "push=me/mine")
    assert status == 0, said
    assert "https://huggingface.co/me/mine: uploaded" in said
    assert asked == [("create", "me/mine", True, True), ("upload", "me/mine", PARTS)]
    card = Path("exported/README.md").read_text()
    assert metadata(card) == {
        "library_name": "diffusers",
        "pipeline_tag": "text-to-video",
        "tags": ["text-to-video", "motion-customization"],
    }
    assert "| 3 | exemplar | a square doing the pll sign |" in card
    assert "“A firefighter, a square doing the pll sign.”" in card
    made = yaml.safe_load(card.split("```yaml\n")[1].partition("```")[0])
    assert (made["step"], made["batch_size"], made["parameters"]["groups"]) == (2, 2, ["temporal", "spatial_kv"])
    assert (made["data"]["frames"], made["data"]["size"], made["data"]["fps"]) == (8, 32, 12)
    assert "At step 2, on 6 of 6 videos" in card
    value = json.loads((run.evaluation(2) / "summary.json").read_text())["metrics"]["appearance"]["value"]
    assert f"| appearance | {value:.4f} |" in card
    assert fingerprint(run.weights(2)) in card and 'from_pretrained("me/mine", ' in card
    assert str(run.path.parent) not in card and "look it up" in card
    TextToVideoSDPipeline.from_pretrained("exported")


def test_what_was_exported_before_gets_the_name_that_it_is_uploaded_by(run, entered, hub):
    assert entered(generate, f"run={run.path}", "export=exported")[0] == 0
    card = Path("exported/README.md")
    assert 'from_pretrained("THIS FOLDER", ' in card.read_text()
    card.write_text(card.read_text() + "Made on a Sunday.")
    status, said = entered(generate, f"run={run.path}", "export=exported", "push=me/mine")
    assert status == 0 and "exported before" in said
    assert 'from_pretrained("me/mine", ' in card.read_text() and card.read_text().endswith("Made on a Sunday.")


def test_an_upload_that_fails_is_tried_again_by_the_same_command(run, entered, hub):
    asked, fails = hub
    arguments = [f"run={run.path}", "export=exported", "push=me/mine", "private=false"]
    for error, words in (
        (ConnectionError("Name or service not known"), "the hub cannot be reached (ConnectionError: Name or service"),
        (Refused(403), "the hub refuses it (403); log in with `hf auth login`"),
        (Refused(500), "the hub refuses it (500 Client Error)"),
    ):
        fails.append(error)
        status, said = entered(generate, *arguments)
        assert status == 1 and "Traceback" not in said
        assert "exported is exported but not uploaded to me/mine" in said and words in said
    # A card that its owner has written on is uploaded as it is.
    card = Path("exported/README.md")
    card.write_text("Mine. " + card.read_text())
    asked.clear()
    status, said = entered(generate, *arguments)
    assert status == 0, said
    assert "exported before" in said and card.read_text().startswith("Mine. ")
    assert asked == [("create", "me/mine", False, True), ("upload", "me/mine", PARTS)]
    # Weights of another step are another model.
    status, said = entered(generate, *arguments[1:], f"model.path={entered.model}")
    assert status == 1 and "exists already" in said


def test_what_cannot_be_uploaded_is_said_before_anything_is_loaded(entered, hub, monkeypatch):
    asked, _ = hub
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    status, said = entered(generate, "export=new", "push=me/mine", "model.path=absent")
    assert status == 1 and "nobody is logged in" in said and "hf auth login" in said
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    status, said = entered(generate, "export=new", "push=me/mine", "model.path=absent")
    assert status == 1 and "HF_HUB_OFFLINE is set" in said
    assert asked == [] and not Path("new").exists()


def test_the_base_model_has_a_card_too(entered):
    status, said = entered(generate, f"model.path={entered.model}", "export=exported")
    assert status == 0, said
    card = Path("exported/README.md").read_text()
    assert "base model as it is" in card and "Measured" not in card and "height=64" in card


def test_licenses_are_those_of_the_base_model(tmp_path):
    short, said = base_license("cerspense/zeroscope_v2_576w")
    assert short == "cc-by-nc-4.0" and "no commercial use" in said
    (tmp_path / "README.md").write_text("---\nlicense: openrail\ntags: [a]\n---\n# Model\n--- more\n")
    assert base_license(str(tmp_path)) == ("openrail", "It names openrail.")
    (tmp_path / "README.md").write_text("---\n: [\n---\n")
    assert base_license(str(tmp_path))[0] is None
    assert base_license("someone/else")[0] is None
    base = SimpleNamespace(path="cerspense/zeroscope_v2_576w", **MADE)
    found = metadata(card_text(base, fingerprint="0", sampler={"steps": 25, "guidance": 9.0}))
    assert (found["license"], found["base_model"]) == ("cc-by-nc-4.0", "cerspense/zeroscope_v2_576w")


def test_metrics_of_an_untrained_or_later_step_are_not_shown(run, entered, tmp_path):
    copy = Path(shutil.copytree(run.path, tmp_path / "copy"))
    (copy / "evaluation" / "000002").rename(copy / "evaluation" / "000009")
    status, said = entered(generate, f"run={copy}", "export=exported")
    assert status == 0, said
    assert "Not evaluated." in Path("exported/README.md").read_text()


def test_texts_of_several_lines_do_not_break_the_page(tmp_path):
    config = {
        "motion": {"name": "x", "prompt": "{subject}\ndoing {token}", "caption": None},
        "token": {"word": "pll"},
        "data": {"frames": 8, "size": 64, "fps": 3.0, "step": 1},
        **{"arm": "method", "batch_size": 1, "seed": 0, "optimizer": {"lr": 1.0}, "timesteps": None, "objective": None},
        "regularization": None,
        "parameters": {"_target_": "own.norms.Norms"},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "clips.csv").write_text('role,caption\nexemplar,"a man\ndoing | pll"\n')
    evaluation = tmp_path / "evaluation" / "000001"
    evaluation.mkdir(parents=True)
    (evaluation / "summary.json").write_text('{"step": 1, "videos": 1, "of": 1, "metrics": {}}')
    base = SimpleNamespace(path="b", **MADE)
    page = card_text(base, fingerprint="m", sampler={"steps": 1, "guidance": 1.0}, run=tmp_path, step=1)
    assert r"| 1 | exemplar | a man doing \| pll |" in page and "_target_: own.norms.Norms" in page
    assert "“A firefighter doing pll”" in page and "from diffusers import AnimateDiffPipeline" in page
