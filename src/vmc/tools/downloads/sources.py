"""What `python -m vmc.weights get` knows: where each network is published, under which licence, and where it goes.

The file names are those that `conf/metrics/paper.yaml` looks for, the hub names those of `conf/model/`.
"""

import os
from dataclasses import dataclass
from pathlib import Path

VIT_B_32 = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"  # OpenAI puts the SHA-256 into the path


@dataclass(frozen=True, kw_only=True)
class Source:
    """A published network: what it is, about how many GB, and what is known of its licence, and where from."""

    title: str
    license: str
    size: float


@dataclass(frozen=True, kw_only=True)
class FileSource(Source):
    """A single file.

    Args:
        url: its address, which ends with its name.
        sha256: as published; None where nothing is, so that the first download is recorded.
        kind: what `vmc.tools.downloads.kinds` checks it as.
    """

    url: str
    sha256: str | None = None
    kind: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class HubSource(Source):
    """A pipeline of a family of models on the Hugging Face hub, and repositories of single networks beside it."""

    repository: str
    family: str = "unet3d"
    beside: tuple[str, ...] = ()


NONCOMMERCIAL = "CC BY-NC 4.0, says its page on the hub: no commercial use"
SOURCES: dict[str, FileSource | HubSource] = {
    "zeroscope": HubSource(
        title="ZeroScope v2 576w, text to video (stack=paper)",
        license=NONCOMMERCIAL,
        size=3.7,
        repository="cerspense/zeroscope_v2_576w",
    ),
    "modelscope": HubSource(
        title="ModelScope text to video 1.7B (model=modelscope)",
        license=NONCOMMERCIAL,
        size=7.4,
        repository="damo-vilab/text-to-video-ms-1.7b",
    ),
    "animatediff": HubSource(
        title="AnimateDiff 1.5-2, motion modules for Stable Diffusion 1.5, and that (model=animatediff)",
        license=(
            "CreativeML Open RAIL-M for Stable Diffusion 1.5, says its page on the hub; Apache 2.0 for AnimateDiff's"
            " repository (github.com/guoyww/AnimateDiff), whether the weights have another is unknown"
        ),
        size=6.1,
        repository="stable-diffusion-v1-5/stable-diffusion-v1-5",
        family="animatediff",
        beside=("guoyww/animatediff-motion-adapter-v1-5-2",),
    ),
    "sscd": FileSource(
        title="SSCD disc_mixup, copy descriptor (ResNet-50)",
        license=(
            "CC BY-NC 4.0 for its repository (github.com/facebookresearch/sscd-copy-detection) in the version that was"
            " read, look there for today's; whether the weights have another is unknown"
        ),
        size=0.1,
        url="https://dl.fbaipublicfiles.com/sscd-copy-detection/sscd_disc_mixup.torchvision.pt",
        kind="sscd",
    ),
    "clip": FileSource(
        title="CLIP ViT-B/32 by OpenAI",
        license="MIT for its repository (github.com/openai/CLIP); whether the weights have another is unknown",
        size=0.35,
        url=f"https://openaipublic.azureedge.net/clip/models/{VIT_B_32}/ViT-B-32.pt",
        sha256=VIT_B_32,
        kind="clip",
    ),
    "trn": FileSource(
        title="TRN on Jester, gesture classifier (BNInception, 8 segments)",
        license=(
            "BSD 2-Clause for its repository (github.com/zhoubolei/TRN-pytorch); of the weights, and of Jester, which"
            " they were trained on, it is unknown here"
        ),
        size=0.05,
        url="http://relation.csail.mit.edu/models/TRN_jester_RGB_BNInception_TRNmultiscale_segment8_best.pth.tar",
        kind="trn",
    ),
}
"""By the name that the command line gives."""


def weights_folder() -> Path:
    """Where single files go, as `conf/metrics/paper.yaml` has it: `$VMC_WEIGHTS`, else `weights` in this folder."""
    return Path(os.environ.get("VMC_WEIGHTS") or "weights").expanduser()
