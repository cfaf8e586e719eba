"""Values that decide what is measured, each with its source, so that none can change unnoticed."""

from collections import Counter
from functools import cache

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from vmc.config.folders import config_folder
from vmc.data.jester import Jester
from vmc.data.prompts import jester_test_set, read_prompts
from vmc.metrics.copying import COPY_THRESHOLD
from vmc.metrics.networks.trn import BACKBONES, TRN
from vmc.mini.card.reading import read_card
from vmc.training.module import MotionModule

PAPER = [
    # what is trained, and how
    ("model.path", "cerspense/zeroscope_v2_576w", "release"),
    ("parameters.groups", ["temporal", "spatial_kv"], "Sec. 3.2, Table 2a and 2b"),
    ("token.trained", False, "Table 2c"),
    ("steps", 3000, "Sec. 4"),
    ("batch_size", 1, "Sec. 4"),
    ("optimizer._target_", "torch.optim.AdamW", "release"),
    ("optimizer.lr", 5e-6, "Sec. 4"),
    ("optimizer.betas", [0.9, 0.999], "release"),
    ("optimizer.eps", 1e-8, "release"),
    ("optimizer.weight_decay", 0.01, "release"),
    ("trainer.clip_norm", 1.0, "release"),
    ("timesteps._target_", "vmc.diffusion.timesteps.CoarseNoise", "Sec. 3.2, Table 2d"),
    ("timesteps.alpha", 0.5, "Sec. 3.2"),
    ("regularization._target_", "vmc.training.regularization.RealRegularization", "Eq. 3, Table 2e"),
    ("regularization.mix", "paired", "release"),
    ("regularization.weight", 0.5, "release"),
    # its clips
    ("data.frames", 16, "release"),
    ("data.size", 384, "release"),
    ("data.fps", 12.0, "Jester's own rate"),
    ("data.start", "random", "release"),
    ("data.source.exemplars", 10, "Sec. 4"),
    ("data.source.regularization_count", 50, "Sec. 4"),
    (
        "data.source.regularization",
        {"Doing other things": "a person doing other things", "No gesture": "a person in front of a computer"},
        "Sec. 4",
    ),
    ("data.source.split", "validation", "Sec. 4"),
    ("motion.caption", "a person doing a {token} sign", "Sec. 4.1"),
    ("motion.mirror", False, "a mirrored gesture may be another one"),
    # its videos and scores
    ("motion.prompt", "{subject} doing the {token} sign.", "Fig. 9"),
    ("sampler.steps", 25, "release, while training"),
    ("sampler.guidance", 9.0, "release"),
    ("stop.appearance", 0.265, "Sec. 4"),
    ("search.appearance", 0.265, "as far as arms are compared"),
    ("metrics.copy_threshold", 0.25, "Sec. 4.2"),
    ("metrics.copying.short_side", 288, "SSCD's README"),
    ("metrics.appearance.architecture", "ViT-B-32-quickgelu", "OpenAI's weights"),
    ("prompts.limit", None, "the whole test set, Fig. 9"),
]
MINI = [
    ("data.source.exemplars", 10, "as the paper's"),
    ("data.source.regularization_count", 50, "as the paper's"),
    ("data.frames", 8, "of the base model"),
    ("optimizer.weight_decay", 0.01, "as the paper's"),
    ("timesteps.alpha", 0.5, "as the paper's"),
    ("regularization.weight", 0.5, "as the paper's"),
    ("motion.caption", "a person doing a {token} sign", "as the paper's"),
    ("search.appearance", read_card()["thresholds"]["appearance"]["value"], "the card's rule"),
    ("metrics.copy_threshold", read_card()["thresholds"]["copy"]["value"], "the card's rule"),
]


@cache
def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        return compose("train", overrides=list(overrides))


@pytest.mark.parametrize(("key", "value", "source"), PAPER, ids=[key for key, *_ in PAPER])
def test_the_papers_stack(key, value, source):
    found = OmegaConf.select(composed("stack=paper", "data.path=."), key)
    found = OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found
    assert found == value, f"{key} is {value} by the paper's {source}"


@pytest.mark.parametrize(("key", "value", "source"), MINI, ids=[key for key, *_ in MINI])
def test_the_miniatures_stack(key, value, source):
    assert OmegaConf.select(composed(), key) == value, f"{key} is {value}: {source}"


def test_both_stacks_draw_from_the_validation_split():
    for overrides in (("data.path=.",), ("stack=paper", "data.path=.")):
        source = instantiate(composed(*overrides).data.source)
        assert (source.split, source.exemplar_count, source.regularization_count) == ("validation", 10, 50)
    plain = Jester(None)
    assert (plain.split, plain.exemplar_count, plain.regularization_count) == ("validation", 10, 50)


def test_jesters_frames_are_taken_one_after_the_other():
    """At Jester's 12 frames a second the paper's 16 frames show 1.3 s; the miniature's 8 show two and a half."""
    for overrides, step in (((), 4), (("stack=paper", "data.path=."), 1)):
        assert 12 / composed(*overrides).data.fps == step


def test_the_thresholds_name_is_the_papers():
    assert COPY_THRESHOLD == 0.25  # Sec. 4.2


def test_the_papers_test_set_has_100_subjects_with_three_seeds_each():
    prompts = read_prompts(jester_test_set(), template="{subject} doing the {token} sign.", token="sks", seeds=[])
    counts = Counter(prompt.subject for prompt in prompts)
    assert len(prompts) == 300 and len(counts) == 100 and set(counts.values()) == {3}
    assert len({(prompt.subject, prompt.seed) for prompt in prompts}) == 300


def test_adamw_decays_the_unet_and_not_the_tokens_row(base):
    """The release's settings. A row that decayed would lose the word's meaning at a rate of its own."""
    config = composed("stack=paper", "data.path=.", "token=trained", f"model.path={base.path}")
    token = instantiate(config.token)
    module = MotionModule(
        model=base,
        denoiser=base.denoiser(),
        subset=instantiate(config.parameters),
        optimizer=instantiate(config.optimizer),
        encoder=base.text_encoder(token),
    )
    optimizer = module.configure_optimizers()
    unet, row = optimizer.param_groups
    assert type(optimizer) is torch.optim.AdamW and not unet["amsgrad"] and not unet["maximize"]
    for group, lr, decay in ((unet, 5e-6, 0.01), (row, config.rates.token, 0.0)):
        assert (group["lr"], group["weight_decay"]) == (lr, decay)
        assert (tuple(group["betas"]), group["eps"]) == ((0.9, 0.999), 1e-8)
    assert [len(tensor) for tensor in row["params"]] == [base.text_encoder().network.config.hidden_size]


def test_gradients_are_clipped_at_the_releases_norm():
    for choice in ("cpu", "ddp"):
        hardware = instantiate(composed(f"trainer={choice}", "trainer.accelerator=cpu", "trainer.devices=1").trainer)
        assert hardware.trainer(steps=1, callbacks=[]).gradient_clip_val == 1.0


# --- the frames that TRN sees (github.com/zhoubolei/TRN-pytorch: GroupScale(256), GroupCenterCrop(224), BGR) ---------


@pytest.fixture(scope="module")
def trn() -> TRN:
    return TRN(arch="BNInception", classes=27)


def prepared(trn: TRN, image_HWC: np.ndarray) -> np.ndarray:
    """What the network sees of an image, back in RGB from 0 to 255."""
    images = trn.prepare(torch.from_numpy(image_HWC).permute(2, 0, 1)[None])
    mean = torch.tensor(BACKBONES["BNInception"].mean).view(1, 3, 1, 1)
    return (images + mean).flip(1)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(("height", "width"), [(256, 342), (342, 256), (256, 256)])
def test_trn_sees_the_center(trn, height, width):
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows % 251, columns % 241, (rows + columns) % 239], 2).astype(np.uint8)
    top, left = (height - 224) // 2, (width - 224) // 2
    assert np.allclose(prepared(trn, image), image[top : top + 224, left : left + 224], atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(100, 132), (100, 176), (384, 384), (480, 640)])
def test_trn_sees_frames_resized_as_pillow_does(trn, height, width):
    """Bilinear, over all pixels that fall together where a frame becomes smaller."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    scale = 256 / min(height, width)
    size = (round(width * scale), round(height * scale))
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)).astype(float)
    top, left = (size[1] - 224) // 2, (size[0] - 224) // 2
    assert np.abs(prepared(trn, image) - resized[top : top + 224, left : left + 224]).max() <= 1.01
