"""A preference score by a folder of transformers' CLIP, made here with random weights."""

import pytest
import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

from vmc.metrics.appearance import Preference
from vmc.metrics.base import Record, RunContext
from vmc.utils.errors import VmcError


@pytest.fixture(scope="module")
def folder(blank, tmp_path_factory):
    path = tmp_path_factory.mktemp("judge")
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokenizer = CLIPTokenizer.from_pretrained(blank / "tokenizer")
    text = {**small, "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vision = {**small, "image_size": 32, "patch_size": 8}
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    model.save_pretrained(path)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(images, tokenizer).save_pretrained(path)
    return path


def videos(count: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 5, 3, 48, 64), dtype=torch.uint8, generator=draw)


def records(*texts: str | None) -> list[Record]:
    return [Record(video=f"{number}.mp4", prompt="sks", language=text) for number, text in enumerate(texts)]


def test_the_score_is_the_scaled_cosine_of_frames_and_caption(folder):
    metric = Preference(path=folder).begin(RunContext())
    frames = videos(2)
    found = metric.score(frames, records("a man waving", None))["preference"]
    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    with torch.no_grad():
        told = model(**processor(text=["a man waving"], images=list(frames[0]), return_tensors="pt"))
        cosines = (told.image_embeds @ told.text_embeds.T)[:, 0]
    assert found == [pytest.approx((model.logit_scale.exp() * cosines).mean().item(), rel=1e-5), None]
    (other,) = metric.score(frames[:1], records("a dog"))["preference"]
    assert other != pytest.approx(found[0], rel=1e-3)
    (alone,) = metric.score(frames[1:], records("a man waving"))["preference"]
    both = metric.score(frames, records("a man waving", "a man waving"))["preference"]
    assert both == pytest.approx([found[0], alone], rel=1e-5)


def test_the_folder_is_checked_and_told(folder, tmp_path):
    metric = Preference(path=folder, get="get it")
    metric.check()
    assert metric.missing() == [] and len(metric.begin(RunContext()).describe()["model"]["sha256"]) == 64
    absent = Preference(path=tmp_path / "PickScore_v1", get="get it")
    assert absent.missing() == [f"{tmp_path / 'PickScore_v1'} (get it)"]
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text("{")
    with pytest.raises(VmcError) as refused:
        Preference(path=tmp_path / "damaged", get="get it").check()
    assert "does not load" in str(refused.value) and "\n" not in str(refused.value)
    damaged = tmp_path / "cut"
    damaged.mkdir()
    for file in folder.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    (damaged / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(VmcError, match="does not load"):
        Preference(path=damaged).check()
